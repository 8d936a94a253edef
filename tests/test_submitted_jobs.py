"""Jobs submitted to a real head node with `ray job submit`, as the jobs' docstrings say."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from whole_runs import plant_files

pytestmark = [pytest.mark.ray, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[1]
RAY = Path(sys.executable).with_name("ray")
ENVIRONMENT = {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def head(tmp_path_factory) -> Iterator[str]:
    """The dashboard address of a head node of its own."""
    port, dashboard = free_port(), free_port()
    command = [
        str(RAY), "start", "--head", "--block", f"--port={port}", "--dashboard-host=127.0.0.1",
        f"--dashboard-port={dashboard}", "--num-cpus=4", "--object-store-memory=200000000",
        f"--temp-dir=/tmp/ray-{port}", "--node-ip-address=127.0.0.1",
        # Ray's defaults for these are fixed, and another local Ray may have them.
        f"--dashboard-agent-listen-port={free_port()}", f"--metrics-export-port={free_port()}",
        f"--dashboard-agent-grpc-port={free_port()}", f"--ray-client-server-port={free_port()}",
    ]  # fmt: skip
    log = (tmp_path_factory.mktemp("head") / "log").open("w")
    process = subprocess.Popen(
        command, env=ENVIRONMENT, stdout=log, stderr=log, start_new_session=True
    )
    address = f"http://127.0.0.1:{dashboard}"
    try:
        _wait_for(address, process)
        yield address
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=30)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # what did not leave by itself


def _wait_for(address: str, process: subprocess.Popen) -> None:
    for _ in range(120):
        assert process.poll() is None, "the head node ended"
        try:
            with urlopen(f"{address}/api/version", timeout=2):
                return
        except (URLError, OSError):
            time.sleep(1)
    raise AssertionError("the head node did not answer within two minutes")


def submit(head: str, *entrypoint: str) -> subprocess.CompletedProcess:
    command = [
        str(RAY), "job", "submit", "--address", head, "--working-dir", ".", "--",
        sys.executable, *entrypoint,
    ]  # fmt: skip
    for _ in range(20):
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            check=False,
            timeout=400,
        )
        if "No available agent" not in done.stderr:  # the head's agent starts after its dashboard
            return done
        time.sleep(3)
    return done


def test_a_stage_job_and_then_the_main_job_run_on_a_head_node(head, tmp_path):
    inputs = plant_files(tmp_path / "in", rows=100)
    settings = [
        "--preset", "smoke", "--input", *inputs, "--output", str(tmp_path / "out"),
        "--embedder", "hashing",
    ]  # fmt: skip
    first = submit(head, "jobs/extract.py", *settings)
    assert first.returncode == 0, first.stdout[-3000:] + first.stderr[-1000:]
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert [stage["name"] for stage in run["stages"]] == ["conversations", "extractions"]

    second = submit(head, "jobs/run.py", *settings)
    assert second.returncode == 0, second.stdout[-3000:] + second.stderr[-1000:]
    assert "1  conversations" in second.stdout
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["totals"]["extractions"] == 100
    assert (tmp_path / "out" / run["report"]).exists()


def test_a_job_that_cannot_work_fails_with_the_field_and_the_fix(head, tmp_path):
    done = submit(head, "jobs/run.py", "--input", str(tmp_path / "none-*.jsonl"))
    assert done.returncode != 0
    assert "  fix: " in done.stdout + done.stderr
    assert "Traceback" not in done.stdout.split("  fix: ")[0]
