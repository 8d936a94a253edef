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


def test_a_run_starts_its_own_ray_beside_a_running_head_and_says_so(environment, tmp_path):
    environment.pop("RAY_ADDRESS", None)
    start = ["ray", "start", "--head", "--block", "--port=0", "--include-dashboard=false"]
    head = subprocess.Popen(
        [*start, "--num-cpus=1"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        note = Path(environment["RAY_TMPDIR"]) / "ray" / "ray_current_cluster"
        until = time.monotonic() + 120
        while not note.exists():
            assert time.monotonic() < until, "the head did not start"
            assert head.poll() is None
            time.sleep(0.2)
        job = [sys.executable, str(ROOT / "jobs" / "run.py"), "--preset", "smoke"]
        more = ["--output", str(tmp_path / "run"), "--extractor", "simulated"]
        more += ["--until", "extractions"]
        done = subprocess.run(
            [*job, *more], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
        assert "ray: started on this machine, with" in done.stderr
        assert head.poll() is None
    finally:
        os.killpg(head.pid, signal.SIGKILL)
        head.communicate()
