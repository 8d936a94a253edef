"""Damaged files are found before they are counted, and made again; rubbish is swept."""

import json
import os
import random
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from reading_stage import read_stage
from whole_runs import plant_files, run_quietly, small_config, table_bytes

from vitw_ray import cluster
from vitw_ray.conversations import intake, parts
from vitw_ray.errors import OutputError, Stopped
from vitw_ray.extraction.answers import Answer, Extracted
from vitw_ray.extraction.committed import count_committed, count_set_aside, find_answers
from vitw_ray.extraction.segments import SegmentWriter, open_answers
from vitw_ray.healing import Damaged, sweep, withdraw
from vitw_ray.kept_results import KeptResults
from vitw_ray.keys import Keyed
from vitw_ray.records import LABELS
from vitw_ray.run_folder import StageFolder, TableRef
from vitw_ray.sealed_files import Damage, damage_of, find_damage
from vitw_ray.storage import Storage
from vitw_ray.taxonomy.vectors.vector_files import are_there, write_vectors

ROOT = Path(__file__).resolve().parents[1]
KEYED = Keyed(b"a secret for these tests")
FOLDER = "3_labels-0123456789abcdef"


def flip_a_bit(path: Path, place: int | None = None) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if place is None else place] ^= 1
    path.write_bytes(data)


@pytest.fixture
def storage(tmp_path):
    return Storage(str(tmp_path))


def labels(count: int) -> pa.Table:
    row = {"facet": "ai_values", "label": "care", "accounts": 1, "share": 0.5, "kept": True}
    return pa.Table.from_pylist([{**row, "conversations": count}], LABELS)


@pytest.mark.parametrize("private", [True, False])
def test_every_flipped_bit_of_a_table_is_found(storage, tmp_path, private):
    entry = StageFolder(storage, FOLDER, KEYED).write_table("labels", labels(1), private=private)
    assert damage_of(storage, KEYED, entry) is None
    for place in range(0, entry.bytes, 7):
        flip_a_bit(tmp_path / entry.path, place)
        found = damage_of(storage, KEYED, entry)
        assert found is not None
        assert found.what == "has other bytes than were written"
        flip_a_bit(tmp_path / entry.path, place)


def test_a_missing_and_a_shortened_file_are_named(storage, tmp_path):
    folder = StageFolder(storage, FOLDER, KEYED)
    first, second = (folder.write_table("labels", labels(n), part=n) for n in range(2))
    (tmp_path / first.path).unlink()
    (tmp_path / second.path).write_bytes(b"x")
    found = find_damage(storage, KEYED, [first, second], distributed=False)
    assert [one.file for one in found] == [first, second]
    assert [one.what for one in found] == ["is gone", f"has 1 bytes, not {second.bytes:,}"]


def test_a_part_that_another_attempt_wrote_stays_and_the_manifest_chooses(storage):
    folder = StageFolder(storage, FOLDER, KEYED)
    first = folder.write_table("labels", labels(1))
    assert folder.write_table("labels", labels(1)) == first
    late = folder.write_table("labels", labels(2))
    assert late.path != first.path
    assert damage_of(storage, KEYED, first) is None
    # The name of the attempt is no part of the table's digest.
    alone = StageFolder(storage, "3_labels-fedcba9876543210", KEYED)
    same = alone.write_table("labels", labels(2))
    assert TableRef("labels", (late,)).digest == TableRef("labels", (same,)).digest


def test_a_file_that_is_damaged_again_and_again_ends_the_run(storage):
    entry = StageFolder(storage, FOLDER, KEYED).write_table("labels", labels(1))
    found, attempts = Damaged({FOLDER: [Damage(entry, "is gone")]}), {}
    withdraw(storage, found, attempts)
    withdraw(storage, found, attempts)
    with pytest.raises(OutputError, match="made 2 times"):
        withdraw(storage, found, attempts)


def test_a_sweep_takes_what_no_manifest_names_and_leaves_the_rest(storage, tmp_path):
    folder = StageFolder(storage, FOLDER, KEYED)
    part = folder.write_table("labels", labels(1), private=True)
    late = folder.write_table("labels", labels(2), private=True)
    storage.write(f"private/{FOLDER}/kept/read/1", b"")
    folder.publish({"files": [vars(part)]})
    for other in ("1_conversations-aaaaaaaaaaaaaaaa", "1_conversations-bbbbbbbbbbbbbbbb"):
        storage.write(f"private/{other}/runs/rows/1.parquet", b"")
    storage.write("private/answers-0/of-00001/00000/e1.parquet", b"")
    half = tmp_path / "private" / "answers-0" / ".x.0000.partial~"
    half.write_bytes(b"")
    sweep(storage, {"1_conversations-aaaaaaaaaaaaaaaa"}, keep_scratch=True)
    assert storage.exists("private/1_conversations-bbbbbbbbbbbbbbbb")
    sweep(storage, {"1_conversations-aaaaaaaaaaaaaaaa"})
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {
        part.path,
        f"{FOLDER}/_SUCCESS.json",
        "private/1_conversations-aaaaaaaaaaaaaaaa/runs/rows/1.parquet",
        "private/answers-0/of-00001/00000/e1.parquet",
    }
    assert late.path not in left


@pytest.fixture
def answered(storage):
    """A folder with 40 answers in four segments, and what asks for them."""
    folder = open_answers(storage, "private/answers-0", 1)
    writer = SegmentWriter(folder, 1, 10, 1e9)
    keys = [bytes([n]) * 16 for n in range(1, 41)]
    for key in keys:
        writer.add(key, 0, Extracted(Answer(subjectivity=3)))
    writer.commit()
    return open_answers(storage, "private/answers-0", 1), keys


@pytest.mark.parametrize("seed", range(3))
def test_a_damaged_segment_is_set_aside_and_only_its_rows_are_asked_again(answered, seed):
    folder, keys = answered
    places = np.zeros(len(keys), np.int64)
    assert not find_answers(folder, keys, places).unanswered.any()
    segment = folder.storage.list("private/answers-0")[1]
    flip_a_bit(Path(folder.storage.address(segment.path)), random.Random(seed).randrange(999))
    for _ in range(2):
        assert find_answers(folder, keys, places).unanswered.sum() == 10
    assert count_committed(folder.storage, folder.path) == 30
    assert count_set_aside(folder.storage, folder.path) == 1


def test_a_damaged_file_of_vectors_is_deleted_and_written_again(storage, tmp_path):
    path, rows = "private/vectors-0/ab.parquet", np.eye(4, dtype=np.float32)
    assert not are_there(storage, path)
    assert write_vectors(storage, path, rows)
    for place in range(0, (tmp_path / path).stat().st_size, 31):
        assert are_there(storage, path)
        flip_a_bit(tmp_path / path, place)
        assert not are_there(storage, path)
        assert write_vectors(storage, path, rows)


def test_a_next_attempt_takes_kept_results_whose_files_are_there(storage, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "stream", lambda units, function: map(function, units))
    done: list[int] = []

    def function(unit):
        done.append(unit["n"])
        storage.write(f"private/{FOLDER}/runs/{unit['n']}", b"")
        return {"path": f"private/{FOLDER}/runs/{unit['n']}"}

    def attempt(keyed=KEYED, **options):
        done.clear()
        kept = KeptResults(storage, FOLDER, keyed)
        units = [{"n": n} for n in range(4)]
        results = list(kept.stream("read", units, function, lambda r: [r["path"]], **options))
        assert len(results) == 4
        return done

    assert attempt() == [0, 1, 2, 3]
    assert attempt() == []
    assert attempt(anew={2}) == [2]
    (tmp_path / "private" / FOLDER / "runs" / "1").unlink()
    assert attempt() == [1]
    for record in (tmp_path / "private" / FOLDER / "kept" / "read").iterdir():
        flip_a_bit(record)
    assert attempt() == [0, 1, 2, 3]
    assert attempt(Keyed(b"the secret of somebody else")) == [0, 1, 2, 3]


def test_stage_1_goes_on_where_a_killed_attempt_ended(tmp_path, monkeypatch):
    rows = [
        {
            "conversation_id": f"c{n}",
            "messages": [{"role": role, "content": f"hello {n}"} for role in ("user", "assistant")],
        }
        for n in range(60)
    ]
    files = {f"{n}.jsonl": rows[n::6] for n in range(6)}
    monkeypatch.setattr("vitw_ray.conversations.reading_units.LEAST_UNIT_BYTES", 1)
    undisturbed = read_stage(monkeypatch, tmp_path / "a", files, rows_per_part=8)
    calls: Counter[str] = Counter()
    for where, name in ((intake.FileReader, "read"), (parts._PartWriter, "write")):
        _count_calls(monkeypatch, where, name, calls)
    for ended_in in ("read", "write"):
        calls.clear()
        with monkeypatch.context() as patched:
            _end_in_call(patched, ended_in)
            with pytest.raises(KeyboardInterrupt):
                read_stage(monkeypatch, tmp_path / "b", files, rows_per_part=8)
        calls_before = Counter(calls)
    assert calls_before["read"] == 4  # the rest of the six
    calls.clear()
    resumed = read_stage(monkeypatch, tmp_path / "b", files, rows_per_part=8)
    assert calls["read"] == 0
    assert calls["write"] == 8 - 2
    assert resumed.bytes == undisturbed.bytes
    assert resumed.report.rows_in == undisturbed.report.rows_in


def _count_calls(monkeypatch, kind, name, calls):
    as_it_is = kind.__call__

    def counted(self, unit):
        calls[name] += 1
        return as_it_is(self, unit)

    monkeypatch.setattr(kind, "__call__", counted)


def _end_in_call(monkeypatch, name):
    """Have the third unit of a step end the process."""
    kind = {"read": intake.FileReader, "write": parts._PartWriter}[name]
    as_it_is, seen = kind.__call__, []

    def ending(self, unit):
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(unit)
        return as_it_is(self, unit)

    monkeypatch.setattr(kind, "__call__", ending)


@pytest.fixture(scope="module")
def finished(local_ray, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    config = small_config(plant_files(folder / "in", rows=120), folder / "out", folder / "secret")
    run_quietly(config)
    return config, table_bytes(folder / "out")


def check(output: Path) -> list[str]:
    """The names of the checks that fail."""
    command = [sys.executable, str(ROOT / "jobs" / "check.py"), str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return json.loads(done.stdout.splitlines()[-1])["failed"]


@pytest.mark.ray
def test_a_flipped_bit_in_extractions_is_named_and_healed_before_it_is_counted(finished, log_lines):
    config, before = finished
    output = Path(config.execution.output)
    part = sorted(output.glob("private/2_*/extractions/*.parquet"))[0]
    flip_a_bit(part)
    run_quietly(replace(config, statistics=replace(config.statistics, alpha=0.01)))
    assert any(str(part) in line and "damage" in line for line in log_lines)
    run_quietly(config)
    assert table_bytes(output) == before
    assert check(output) == []


@pytest.mark.ray
@pytest.mark.slow
def test_twenty_flipped_bits_anywhere_are_found_and_never_published(finished):
    config, before = finished
    output, chance = Path(config.execution.output), random.Random(20)
    files = [
        *output.glob("private/*/*/*.parquet"),
        *output.glob("private/vectors-*/*.parquet"),
        *output.glob("private/answers-*/of-*/*/*.parquet"),
        *output.glob("[1-7]_*/*/*.parquet"),
        *output.glob("[67]_*/*.*"),
    ]
    damaged = chance.sample(sorted(set(files)), 20)
    for path in damaged:
        if path.name != "_SUCCESS.json":
            flip_a_bit(path, chance.randrange(path.stat().st_size))
    for folder in output.glob("[2-7]_*"):
        (folder / "_SUCCESS.json").unlink()  # all of it is read again
    run_quietly(config)
    assert table_bytes(output) == before
    assert check(output) == []


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("step", ["extractions: put together", "sweep"])
def test_a_run_that_ends_inside_assembly_or_sweep_goes_on_to_the_same_bytes(
    finished, tmp_path, monkeypatch, step
):
    config, before = finished
    config = replace(config, execution=replace(config.execution, output=str(tmp_path / "out")))
    with monkeypatch.context() as patched:
        patched.setattr(cluster, "disconnect", lambda: None)  # other tests use this Ray
        if step == "sweep":
            patched.setattr("vitw_ray.pipeline.sweep_stage", _end_in_the_middle)
        else:
            patched.setattr("vitw_ray.extraction.assemble.Progress.add", _end_after_a_part)
        with pytest.raises(Stopped):
            run_quietly(config)
    run_quietly(config)
    assert table_bytes(tmp_path / "out") == before
    assert check(tmp_path / "out") == []
    assert not list(tmp_path.rglob("kept"))


def _end_in_the_middle(storage, folder, manifest):
    if folder.startswith("2_"):
        storage.delete(storage.list(f"private/{folder}/kept")[0].path)
        raise KeyboardInterrupt


def _end_after_a_part(self, done, failed=0, reused=0):
    if self._part == "extractions: put together":
        raise KeyboardInterrupt


@pytest.mark.ray
@pytest.mark.slow
def test_a_run_goes_on_over_io_errors_at_random_places(finished, tmp_path):
    config, before = finished
    log = tmp_path / "faults"
    environment = {
        **os.environ,
        "RAY_AUTH_MODE": "disabled",
        "PYTHONPATH": f"{ROOT / 'tests' / 'storage_faults'}{os.pathsep}{ROOT}",
        "VITW_FAULTS": str(log),
        "VITW_FAULT_SHARE": "0.06",
    }
    environment.pop("RAY_ADDRESS", None)
    command = [
        *(sys.executable, "jobs/run.py", "--preset", "smoke", "--embedder", "hashing"),
        *("--input", *config.conversations.input, "--output", str(tmp_path / "out")),
        *("--rows-per-part", "100", "--secret-file", str(config.execution.secret_file)),
        *("--min-conversations", "3", "--min-accounts", "1"),
    ]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(log.read_text().splitlines()) >= 30
    assert table_bytes(tmp_path / "out") == before
    assert check(tmp_path / "out") == []
