"""Rows/s of each stage with 1, 2 and 4 workers, each a simulated node of a cluster on this machine.

Three readers: `waiting` sleeps a fixed time for each conversation, as if a GPU worked; `computing`
is the lexicon, which fills a core; `free` answers at once, so that the stages around it are seen.
Nodes of one machine share its cores: rates of what computes end where the cores do. What can be
shown here is that waiting readers are kept busy, and what a unit of work costs its driver.

    python benchmarks/bench_scaling.py [--quick]
"""

import json
import os
import pickle
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import ROOT, Result, arguments, plant

from vitw_ray.config import Execution, RunConfig
from vitw_ray.extraction.units import schedule

WORKERS = (1, 2, 4)
CPUS_PER_NODE = 2  # logical: for the reader of a worker, and for the tasks of the other stages
WAIT_S = 0.02  # ours, for each conversation
STAGES = ("conversations", "extractions", "labels", "statistics")
PART_ROWS = 400  # so that there are tasks for all nodes


@dataclass(frozen=True)
class Work:
    """A reader and the conversations that it gets."""

    reader: str
    rows: int
    flags: tuple[str, ...]


def works(quick: bool) -> list[Work]:
    """What is run on each cluster."""
    waits = ("--extractor", "simulated", "--simulated-seconds-per-row", str(WAIT_S))
    return [
        Work("waiting", 800 if quick else 3_200, waits),
        Work("computing", 200 if quick else 800, ("--extractor", "lexicon")),
        Work("free", 2_000 if quick else 16_000, ("--extractor", "simulated")),
    ]


def run_job(work: Work, workers: int, pattern: str, output: Path, address: str) -> dict[str, Any]:
    """Run all stages up to the statistics on a cluster; its manifest."""
    job = [sys.executable, "-m", "vitw_ray", "run", "--until", "statistics", *work.flags]
    job += ["--input", pattern, "--output", str(output), "--embedder", "hashing"]
    job += ["--actors", str(workers), "--rows-per-part", str(PART_ROWS)]
    environment = {**os.environ, "RAY_ADDRESS": address, "RAY_AUTH_MODE": "disabled"}
    done = subprocess.run(
        job, env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{work.reader}, {workers} workers: {done.stderr[-2000:]}")
    return json.loads((output / "run.json").read_text())


def on_cluster(workers: int, todo: list[Work], folder: Path) -> dict[str, dict[str, float]]:
    """Seconds of each stage by reader, on a cluster of so many nodes and a head without CPUs."""
    from ray.cluster_utils import Cluster

    head: dict[str, Any] = {"num_cpus": 0, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(workers):
            cluster.add_node(num_cpus=CPUS_PER_NODE, object_store_memory=100 * 2**20)
        cluster.wait_for_nodes()
        seconds = {}
        for work in todo:
            pattern = str(folder / work.reader / "conversations-*.jsonl.gz")
            output = folder / f"{work.reader}-{workers}"
            found = run_job(work, workers, pattern, output, cluster.address)
            seconds[work.reader] = {one["name"]: one["seconds"] for one in found["stages"]}
        return seconds
    finally:
        cluster.shutdown()


def units_of(rows: int, workers: int) -> dict[str, float]:
    """How many units the rows of a run are divided into, and the bytes of one on its way."""
    parts = [range(PART_ROWS)] * (rows // PART_ROWS)
    units, _ = schedule(parts, RunConfig(execution=Execution(actors=workers)))
    carried = sum(len(pickle.dumps(unit)) for unit in units)
    return {"units": len(units), "bytes_per_unit": round(carried / len(units))}


def main() -> None:
    quick = arguments(__doc__).quick
    os.environ["RAY_AUTH_MODE"] = "disabled"  # of the nodes, which are on this machine
    result, todo = Result("scaling", quick), works(quick)
    with tempfile.TemporaryDirectory() as name:
        for work in todo:
            plant(Path(name) / work.reader, work.rows, files=8)
        seconds = {workers: on_cluster(workers, todo, Path(name)) for workers in WORKERS}
    result.work = {
        "rows": {work.reader: work.rows for work in todo},
        "wait_s_per_row": WAIT_S,
        "seconds": seconds,
        "units": {workers: units_of(todo[0].rows, workers) for workers in WORKERS},
    }
    waiting = {w: seconds[w]["waiting"]["extractions"] for w in WORKERS}
    for workers in WORKERS:
        ideal_s = todo[0].rows * WAIT_S / workers
        result.ratios[f"waiting_efficiency_{workers}"] = ideal_s / waiting[workers]
        result.ratios[f"waiting_speedup_{workers}"] = waiting[1] / waiting[workers]
        # What is lost, start of the actors and the last units included, in seconds of the driver.
        result.rates[f"lost_s_{workers}"] = waiting[workers] - ideal_s
    for work in todo:
        for stage in STAGES:
            rates = {w: work.rows / seconds[w][work.reader][stage] for w in WORKERS}
            names = {f"{work.reader}_{stage}_{w}_rows_per_s": rate for w, rate in rates.items()}
            result.rates |= names
            cells = (f"{rate:,.0f}" for rate in rates.values())
            result.rows.append((f"{work.reader}: {stage}", *cells, f"{rates[4] / rates[1]:.2f}"))
    result.report(("rows/s", *(f"{w} workers" for w in WORKERS), "4 over 1"))


if __name__ == "__main__":
    main()
