"""A run on a machine where somebody has started a Ray of their own."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def environment():
    """Variables under which both find the same note of a running cluster, and nobody else does."""
    folder = tempfile.mkdtemp(prefix="v", dir="/tmp")
    yield {**os.environ, "RAY_TMPDIR": folder, "RAY_AUTH_MODE": "disabled"}
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def head(environment):
    """A Ray that somebody has started, with two CPUs and no GPU."""
    environment.pop("RAY_ADDRESS", None)
    start = ["ray", "start", "--head", "--block", "--port=0", "--include-dashboard=false"]
    process = subprocess.Popen(
        [*start, "--num-cpus=2", "--num-gpus=0"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        note = Path(environment["RAY_TMPDIR"]) / "ray" / "ray_current_cluster"
        until = time.monotonic() + 240
        while not note.exists():
            assert time.monotonic() < until, "the head did not start"
            assert process.poll() is None
            time.sleep(0.2)
        yield process, note.read_text().strip()
        assert process.poll() is None
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def run_job(environment, output, *more) -> subprocess.CompletedProcess:
    job = [sys.executable, str(ROOT / "jobs" / "run.py"), "--preset", "smoke"]
    job += ["--output", str(output), "--extractor", "simulated", "--until", "extractions"]
    return subprocess.run(
        [*job, *more], env=environment, capture_output=True, text=True, check=False
    )


def test_a_run_starts_its_own_ray_beside_a_running_head_and_says_so(environment, head, tmp_path):
    done = run_job(environment, tmp_path / "run")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "ray: started on this machine, with" in done.stderr


def test_a_run_that_joins_a_head_without_a_gpu_and_asks_for_one_is_refused(
    environment, head, tmp_path
):
    environment["RAY_ADDRESS"] = head[1]
    gpu = ["--device", "gpu", "--gpus-per-actor", "1"]
    done = run_job(environment, tmp_path / "run", *gpu)
    assert done.returncode not in (0, None)
    assert "--gpus-per-actor is 1, and Ray finds 0 GPUs on the largest of 1 nodes" in done.stderr
    assert "have a node join" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "run").rglob("1_conversations-*"))
