"""Files of few bytes that would cost gigabytes: bounded memory, a reject each, no other harm."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
from test_versions import said

from vitw_ray.conversations.listing import list_input
from vitw_ray.conversations.survey import survey
from vitw_ray.errors import InputError

GOOD = {"conversation_id": "good", "messages": said("Be honest.", "I will.")}
STAGE = """
import os
import sys
from pathlib import Path
from vitw_ray import cluster
from reading_stage import ReadStage
cluster.stream = lambda units, function: map(function, units)
stage = ReadStage(Path(sys.argv[1]), [sys.argv[2]], {"source_format": sys.argv[3]})
(peak,) = (line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(peak) // 1024, stage.texts, stage.report.rejected, flush=True)
os._exit(0)  # threads of Arrow may end a process on a busy machine while it is torn down
"""


def read_alone(folder: Path, source_format: str = "auto") -> tuple[int, str]:
    """Run the stage in a process of its own: its most MB of memory, and what came of it."""
    command = [sys.executable, "-c", STAGE, str(folder / "out"), str(folder / "in"), source_format]
    path = [str(Path(__file__).parent), *filter(None, sys.path)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={"PYTHONPATH": ":".join(path)}
    )
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr[-2000:])
    peak, found = done.stdout.split(maxsplit=1)
    return int(peak), found.strip()


def put(folder: Path, **files: bytes) -> Path:
    (folder / "in").mkdir(parents=True)
    (folder / "in" / "good.jsonl").write_text(json.dumps(GOOD))
    for name, data in files.items():
        (folder / "in" / f"{name}.jsonl.gz").write_bytes(data)
    return folder


def many_values(count: int) -> bytes:
    """A row with very many messages, in a thousandth of its bytes."""
    return gzip.compress(b'{"messages":[' + b"{}," * count + b"{}]}\n", 6)


DEEP = gzip.compress(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n")
LONG = gzip.compress(b'{"a":"' + b"a" * (40 << 20) + b'"}\n', 1)


@pytest.mark.parametrize(
    ("data", "reason"),
    [(many_values(3_000_000), "too_many_values"), (DEEP, "too_deep"), (LONG, "row_too_long")],
)
def test_a_file_of_one_row_that_cannot_be_read_is_a_reject_beside_good_files(
    tmp_path, data, reason
):
    folder = put(tmp_path, x=data)
    found = survey(list_input([str(folder / "in")]))
    assert found.shapes == {"good.jsonl": "vitw", "x.jsonl.gz": "vitw"}
    assert read_alone(folder)[1] == f"['Be honest.|I will.'] {{'{reason}': 1}}"


def test_without_a_good_file_beside_it_such_a_file_is_an_error(tmp_path):
    folder = put(tmp_path, x=DEEP)
    (folder / "in" / "good.jsonl").unlink()
    with pytest.raises(InputError, match="none of its first 1 rows can be read"):
        survey(list_input([str(folder / "in")]))


def test_such_a_file_that_is_named_itself_is_an_error(tmp_path):
    folder = put(tmp_path, x=DEEP)
    named = [str(folder / "in" / name) for name in ("good.jsonl", "x.jsonl.gz")]
    with pytest.raises(InputError, match="none of its first 1 rows can be read"):
        survey(list_input(named))


def test_numbers_that_are_no_numbers_cost_themselves(tmp_path):
    odd = {
        "NaN": ("conversation_id", "created_at"),
        "Infinity": ("conversation_id", "created_at"),
        "1e400": ("conversation_id", "created_at"),
        "9" * 4000: ("conversation_id", "created_at", "account_id", "model"),
    }
    rows = [
        json.dumps({"messages": GOOD["messages"]})[:-1] + f', "{name}": {value}}}\n'
        for value, names in odd.items()
        for name in names
    ]
    folder = put(tmp_path, x=gzip.compress("".join(rows).encode()))
    texts, rejects = read_alone(folder)[1].split("] ")
    assert (texts.count("Be honest."), rejects) == (1 + len(rows), "{}")


@pytest.mark.slow
def test_twelve_files_of_millions_of_values_stay_within_a_gigabyte(tmp_path):
    data = many_values(11_000_000)
    assert len(data) < 34_000
    folder = put(tmp_path, **{f"x{n}": data for n in range(12)})
    peak, found = read_alone(folder)
    assert found == "['Be honest.|I will.'] {'too_many_values': 12}"
    assert peak < 1024


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_rejects(tmp_path):
    peaks = []
    for count in (200_000, 600_000):
        folder = put(tmp_path / str(count), x=gzip.compress(b"{}\n" * count))
        peak, found = read_alone(folder, "vitw")
        assert found == f"['Be honest.|I will.'] {{'messages_missing': {count}}}"
        peaks.append(peak)
    assert peaks[1] < peaks[0] + 64


@pytest.mark.slow
def test_a_conversation_of_a_million_turns_is_one_row(tmp_path):
    turns = ",".join(json.dumps(turn) for turn in said("x", "y"))
    row = f'{{"conversation_id": "m", "messages": [{",".join([turns] * 300_000)}]}}\n'
    folder = put(tmp_path, x=gzip.compress(row.encode(), 1))
    peak, found = read_alone(folder)
    assert found.startswith("['Be honest.|I will.', 'x|y|x|y|") or "'too_" in found
    assert peak < 2048
