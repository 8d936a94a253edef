"""A job that is stopped by Ctrl-C or SIGTERM ends in one line, and the same command goes on."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from whole_runs import (
    plant_files,
    run_quietly,
    small_config,
    start_job,
    table_bytes,
    wait_for_segments,
)

pytestmark = pytest.mark.ray
ROWS, SEGMENT_ROWS = 300, 20
STOPPED = re.compile(r"stopped; ([\d,]+) answers are kept; run the same command again")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, local_ray):
    folder = tmp_path_factory.mktemp("undisturbed")
    inputs = plant_files(folder / "in", rows=ROWS)
    config = small_config(inputs, folder / "out", folder / "secret")
    run_quietly(config)
    return config


def start(config, output: Path) -> subprocess.Popen:
    arguments = [
        *("--preset", "smoke", "--output", str(output)),
        *("--input", *config.conversations.input, "--rows-per-part", "100"),
        *("--secret-file", str(config.execution.secret_file), "--embedder", "hashing"),
        *("--extractor", "simulated", "--simulated-seconds-per-row", "0.03"),
        *("--unit-rows", "50", "--segment-rows", str(SEGMENT_ROWS)),
    ]
    return start_job(arguments, PYTHONFAULTHANDLER="1")  # an abort says where it happened


def committed(output: Path) -> int:
    segments = output.glob("private/answers-*/**/*.parquet")
    return len({key for one in segments for key in pq.read_table(one)["key"].to_pylist()})


def log_lines(errors: str) -> list[str]:
    """What stands on standard error, but for the line that Ray's own start writes."""
    return [line for line in errors.splitlines() if "RAY_BACKEND_LOG_LEVEL" not in line]


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_a_stopped_job_says_so_in_a_line_and_the_same_command_reuses_what_is_committed(
    undisturbed, tmp_path, number
):
    output = tmp_path / "out"
    first = start(undisturbed, output)
    wait_for_segments(output, 2, first)
    os.killpg(first.pid, number)  # as a terminal does: to all processes of the job
    told, errors = first.communicate(timeout=60)
    assert first.returncode == 130, errors[-4000:]
    assert "Traceback" not in told + errors
    assert "already" not in errors  # a first run finds no answers
    *before, last = log_lines(errors)
    assert all(re.match(r"\d\d:\d\d:\d\d \w+: ", line) for line in before)
    told_of = int(STOPPED.fullmatch(last)[1])
    kept = committed(output)
    # Once the driver has counted, an actor that is about to be killed may commit a last segment.
    assert 0 < told_of <= kept <= told_of + 2 * SEGMENT_ROWS

    second = start(undisturbed, output)
    told, errors = second.communicate(timeout=240)
    assert second.returncode == 0, errors[-2000:]
    assert f"extractions: {kept} of {ROWS} answers are there already" in errors
    assert f"extractions: {ROWS - kept} answers new, {kept} reused" in errors
    stages = json.loads((output / "run.json").read_text())["stages"]
    details = {stage["name"]: stage["details"] for stage in stages}["extractions"]
    assert (details["answers_new"], details["answers_reused"]) == (ROWS - kept, kept)
    assert table_bytes(output) == table_bytes(undisturbed.execution.output)
