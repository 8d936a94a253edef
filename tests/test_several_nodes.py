"""A cluster of several nodes writes the same bytes as one machine, statistics included."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from whole_runs import SECRET, plant_files, table_bytes

ROOT = Path(__file__).resolve().parents[1]
pytestmark = [pytest.mark.ray, pytest.mark.slow]

CLUSTER = """
import subprocess, sys
from ray.cluster_utils import Cluster

cluster = Cluster(
    initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
)
for _ in range(3):  # each too small for the stage's tasks and actors: they need all of them
    cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20)
cluster.wait_for_nodes()
job = subprocess.run(sys.argv[1:], env={**__import__("os").environ, "RAY_ADDRESS": cluster.address})
cluster.shutdown()
sys.exit(job.returncode)
"""


def job(inputs: list[str], output: Path, secret: Path) -> list[str]:
    secret.write_text(SECRET)
    return [
        *(sys.executable, str(ROOT / "jobs" / "analyze.py"), "--extractor", "simulated"),
        *("--input", *inputs, "--output", str(output), "--secret-file", str(secret)),
        *("--embedder", "hashing", "--rows-per-part", "100", "--unit-rows", "50"),
    ]


def finished(command: list[str], scratch: Path) -> None:
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT)}
    environment |= {"TMPDIR": str(scratch), "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
    environment.pop("RAY_ADDRESS", None)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]


def test_three_nodes_and_one_machine_write_the_same_tables(tmp_path):
    scratch = Path(os.environ.get("TMPDIR", "/tmp"))
    inputs = plant_files(tmp_path / "in", 400)
    alone, spread = tmp_path / "alone", tmp_path / "spread"
    finished(job(inputs, alone, tmp_path / "secret"), scratch)
    cluster = [sys.executable, "-c", CLUSTER, *job(inputs, spread, tmp_path / "secret")]
    finished(cluster, scratch)
    tables = table_bytes(alone)
    assert table_bytes(spread) == tables
    assert {"associations", "cooccurrence", "mirroring", "model_comparison"} <= tables.keys()
