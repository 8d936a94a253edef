"""Ctrl-C and SIGTERM within one process: what is raised, and what stands afterwards."""

import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from whole_runs import plant_files, small_config

from vitw_ray import cluster
from vitw_ray.errors import RunLocked, StageFailed, Stopped, StorageFailed
from vitw_ray.extraction.answers import Extracted
from vitw_ray.extraction.extract import answers_folder
from vitw_ray.extraction.segments import SegmentWriter, open_answers
from vitw_ray.interruption import SIGNALS, interruptible
from vitw_ray.lease import EXPIRY_S, acquire
from vitw_ray.pipeline import run
from vitw_ray.storage import Storage


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_raises_and_the_handlers_come_back(number):
    before = [signal.getsignal(each) for each in SIGNALS]
    with pytest.raises(KeyboardInterrupt), interruptible():
        signal.raise_signal(number)
    assert [signal.getsignal(each) for each in SIGNALS] == before


def test_a_second_signal_ends_the_process_at_once():
    script = """
import signal
from vitw_ray.interruption import interruptible
with interruptible():
    try:
        signal.raise_signal(signal.SIGTERM)
    except KeyboardInterrupt:
        signal.raise_signal(signal.SIGINT)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


def test_a_signal_that_the_process_ignores_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruptible():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_run_in_another_thread_leaves_the_handlers_alone():
    seen = []

    def enter():
        with interruptible():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]


def interrupted(config):
    """Run until the plan is announced, then press Ctrl-C."""
    with pytest.raises(Stopped) as stopped:
        run(config, announce=lambda line: signal.raise_signal(signal.SIGINT))
    return stopped.value


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "disconnect", lambda: None)  # other tests use this Ray
    inputs = plant_files(tmp_path / "in", rows=3, files=1)
    return small_config(inputs, tmp_path / "out", tmp_path / "secret")


@pytest.mark.parametrize(
    ("answered", "failed", "line"),
    [
        (0, 0, "stopped; run the same command again"),
        (0, 2, "stopped; run the same command again"),
        (1, 0, "stopped; 1 answer is kept; run the same command again"),
        (1240, 3, "stopped; 1,240 answers are kept; run the same command again"),
    ],
)
def test_a_stopped_run_says_how_many_committed_answers_stand(config, answered, failed, line):
    folder = open_answers(Storage(config.execution.output), answers_folder(config), 4)
    writer = SegmentWriter(folder, 1, 500, 1e9)
    for number in range(answered + failed):
        error = "time_out" if number < failed else None
        writer.add(number.to_bytes(16, "big"), number << 52, Extracted(None, error))
    writer.commit()
    stopped = interrupted(config)
    assert stopped.problem == line
    assert stopped.__context__ is None  # nothing that was under way is held by the error


def test_the_next_driver_finds_the_lease_free(config):
    interrupted(config)
    with acquire(Storage(config.execution.output)) as lease:
        assert lease.epoch == 2


@pytest.mark.s3
def test_the_next_driver_of_a_bucket_need_not_wait_for_the_lease_to_expire(config, s3_server):
    output = f"{s3_server.new_bucket()}/run"
    interrupted(replace(config, execution=replace(config.execution, output=output)))
    start = time.monotonic()
    with acquire(Storage(output)) as lease:
        assert time.monotonic() - start < EXPIRY_S / 2
        assert lease.epoch == 2


def test_a_stage_that_fails_by_storage_goes_on_and_a_lasting_failure_ends_the_run(
    config, monkeypatch
):
    monkeypatch.setattr(cluster, "ROUND_WAITS_S", (0.0, 0.0, 0.0))
    failures = 3

    def fail_often(stage, context, lease):
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise StorageFailed("cannot write x", "see the disk")
        raise StageFailed("the end of this test", "none")

    monkeypatch.setattr("vitw_ray.pipeline.run_stage", fail_often)
    monkeypatch.setattr("vitw_ray.pipeline.preflight", lambda *_: None)
    with pytest.raises(StageFailed, match="the end of this test"):
        run(config, announce=lambda line: None)
    failures = 99
    with pytest.raises(StorageFailed, match="cannot write x"):
        run(config, announce=lambda line: None)


def test_a_driver_that_was_replaced_says_so_whatever_it_failed_by(config, monkeypatch):
    def fail(stage, context, lease):
        Path(lease.path).unlink()
        raise FileNotFoundError("runs/rows/1.parquet")

    monkeypatch.setattr("vitw_ray.pipeline.run_stage", fail)
    monkeypatch.setattr("vitw_ray.pipeline.preflight", lambda *_: None)
    with pytest.raises(RunLocked):
        run(config, announce=lambda line: None)
