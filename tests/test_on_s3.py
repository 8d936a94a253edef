"""A whole run from a bucket to a bucket, on a real S3 server."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from whole_runs import plant_files, run_quietly, small_config, table_bytes

from vitw_ray.lease import PROGRESS, RECORD
from vitw_ray.storage import Storage

pytestmark = [pytest.mark.ray, pytest.mark.s3, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[1]


def job(name: str, *arguments: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT)}
    environment.pop("RAY_ADDRESS", None)
    return subprocess.run(
        [sys.executable, str(ROOT / "jobs" / name), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.fixture(scope="module")
def on_s3(s3_server, tmp_path_factory):
    """A finished run in a bucket, with conversations from a bucket."""
    folder = tmp_path_factory.mktemp("s3")
    bucket = s3_server.new_bucket()
    inputs = plant_files(folder / "in", rows=120, files=3)
    for name in inputs:
        Storage(f"{bucket}/logs").write(Path(name).name, Path(name).read_bytes())
    secret = folder / "secret"
    config = small_config(inputs, folder / "out", secret, rows_per_part=50)
    arguments = [
        "--preset", "smoke", "--input", f"{bucket}/logs/*.jsonl.gz", "--output", f"{bucket}/runs/a",
        "--secret-file", str(secret), "--rows-per-part", "50", "--embedder", "hashing",
        "--min-conversations", "3", "--min-accounts", "1",
    ]  # fmt: skip
    return f"{bucket}/runs/a", arguments, job("run.py", *arguments), config


def test_a_run_in_a_bucket_has_the_bytes_of_a_run_in_a_folder(on_s3, local_ray):
    address, _, done, config = on_s3
    assert done.returncode == 0, done.stderr[-2000:]
    run_quietly(config)
    assert table_bytes(address) == table_bytes(config.execution.output)


def test_the_checker_finds_nothing_wrong_in_the_bucket(on_s3):
    checked = job("check.py", on_s3[0])
    assert checked.returncode == 0, checked.stdout


def kept_objects(address: str) -> dict[str, str]:
    """Version of every object but the lease, and what the driver says of itself."""
    own = (RECORD, PROGRESS)
    return {s.path: s.version for s in Storage(address).list() if s.path not in own}


def test_a_rerun_in_a_bucket_changes_no_object_but_the_lease(on_s3):
    address, arguments, _, _ = on_s3
    before = kept_objects(address)
    again = job("run.py", *arguments)
    assert again.returncode == 0, again.stderr[-2000:]
    assert again.stdout.count(" done") == 7
    assert json.loads(again.stdout.splitlines()[-1])["extractions"] == 120
    assert kept_objects(address) == before
