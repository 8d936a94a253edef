"""Rows/s of each stage with 1, 2 and 4 workers, each a simulated node of a cluster on this machine.

Three readers: `waiting` sleeps a fixed time for each conversation, as if a GPU worked; `computing`
is the lexicon, which fills a core; `free` answers at once, so that the stages around it are seen.
Nodes of one machine share its cores: rates of what computes end where the cores do. What can be
shown here is that waiting readers are kept busy, and what a unit of work costs its driver.

    python benchmarks/bench_scaling.py [--quick] [--only waiting computing free]

The first two run up to the extractions, the last one up to the statistics.
"""

import json
import os
import pickle
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness import ROOT, Result, parser_of, plant

from vitw_ray.config import Execution, RunConfig
from vitw_ray.extraction.units import schedule

WORKERS = (1, 2, 4)
CPUS_PER_NODE = 2  # logical: for the reader of a worker, and for the tasks of the other stages
WAIT_S = 0.05  # ours, for each conversation
STAGES = ("conversations", "extractions", "labels", "statistics")
UNITS_AT, SMALL_UNIT_ROWS = (
    2,
    16,
)  # workers with which units of the usual 256 rows and small ones run
PART_ROWS = 400  # so that there are tasks for all nodes


@dataclass(frozen=True)
class Work:
    """A reader and the conversations that it gets."""

    reader: str
    rows: int
    flags: tuple[str, ...]
    until: str = "extractions"


def works(quick: bool) -> list[Work]:
    """What is run on each cluster."""
    waits = ("--extractor", "simulated", "--simulated-seconds-per-row", str(WAIT_S))
    return [
        Work("waiting", 800 if quick else 3_200, waits),
        Work("computing", 200 if quick else 400, ("--extractor", "lexicon")),
        Work("free", 2_000 if quick else 8_000, ("--extractor", "simulated"), "statistics"),
    ]


@dataclass(frozen=True)
class Run:
    """Seconds of each stage, and CPU seconds of the driver alone: workers belong to the nodes."""

    seconds: dict[str, float]
    driver_cpu_s: float


def run_job(work: Work, workers: int, pattern: str, output: Path, address: str) -> Run:
    """Run all stages up to the statistics on a cluster."""
    job = [sys.executable, "-m", "vitw_ray", "run", "--until", work.until, *work.flags]
    job += ["--input", pattern, "--output", str(output), "--embedder", "hashing"]
    job += ["--actors", str(workers), "--rows-per-part", str(PART_ROWS)]
    environment = {**os.environ, "RAY_ADDRESS": address, "RAY_AUTH_MODE": "disabled"}
    before = _cpu_of_children()
    done = subprocess.run(
        job, env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{work.reader}, {workers} workers: {done.stderr[-2000:]}")
    stages = json.loads((output / "run.json").read_text())["stages"]
    seconds = {stage["name"]: stage["seconds"] for stage in stages}
    return Run(seconds, _cpu_of_children() - before)


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)  # those that have ended: no node's
    return used.ru_utime + used.ru_stime


def on_cluster(workers: int, todo: list[Work], folder: Path) -> dict[str, Run]:
    """The runs of all readers on a cluster of so many nodes and a head without CPUs."""
    from ray.cluster_utils import Cluster

    head: dict[str, Any] = {"num_cpus": 0, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(workers):
            cluster.add_node(num_cpus=CPUS_PER_NODE, object_store_memory=100 * 2**20)
        cluster.wait_for_nodes()
        runs = {}
        for work in todo:
            pattern = str(folder / str(work.rows) / "conversations-*.jsonl.gz")
            output = folder / f"{work.reader}-{workers}".replace(" ", "-")
            runs[work.reader] = run_job(work, workers, pattern, output, cluster.address)
        return runs
    finally:
        cluster.shutdown()


def units_of(rows: int, workers: int, unit_rows: int = 256) -> dict[str, int]:
    """How many units the rows of a run are divided into, and the bytes of one on its way."""
    parts = [range(min(PART_ROWS, rows))] * max(rows // PART_ROWS, 1)
    execution = Execution(actors=workers, unit_rows=unit_rows)
    units, _ = schedule(parts, RunConfig(execution=execution))
    carried = sum(len(pickle.dumps(unit)) for unit in units)
    return {"units": len(units), "bytes_per_unit": round(carried / len(units))}


def per_unit_ms(usual: Run, small: Run, rows: int, workers: int) -> float:
    """CPU milliseconds of the driver for one more unit, of the same rows in units of two sizes."""
    more = units_of(rows, workers, SMALL_UNIT_ROWS)["units"] - units_of(rows, workers)["units"]
    return 1e3 * (small.driver_cpu_s - usual.driver_cpu_s) / more


def compare(result: Result, todo: Sequence[Work], runs: Mapping[int, Mapping[str, Run]]) -> None:
    """Rows/s of each stage, and how near to the ideal readers that wait come."""
    seconds = {w: {name: run.seconds for name, run in runs[w].items()} for w in WORKERS}
    result.work = {
        "rows": {work.reader: work.rows for work in todo},
        "wait_s_per_row": WAIT_S,
        "seconds": seconds,
        "driver_cpu_s": {
            w: {name: round(run.driver_cpu_s, 2) for name, run in runs[w].items()} for w in WORKERS
        },
        "units": {w: {work.reader: units_of(work.rows, w) for work in todo} for w in WORKERS},
    }
    for work in todo:
        for stage in (stage for stage in STAGES if stage in seconds[1][work.reader]):
            rates = {w: work.rows / seconds[w][work.reader][stage] for w in WORKERS}
            names = {f"{work.reader}_{stage}_{w}_rows_per_s": rate for w, rate in rates.items()}
            result.rates |= names
            cells = (f"{rate:,.0f}" for rate in rates.values())
            result.rows.append((f"{work.reader}: {stage}", *cells, f"{rates[4] / rates[1]:.2f}"))
        if work.reader == "waiting":
            waiting = {w: seconds[w]["waiting"]["extractions"] for w in WORKERS}
            for workers in WORKERS:
                ideal_s = work.rows * WAIT_S / workers
                result.ratios[f"waiting_efficiency_{workers}"] = ideal_s / waiting[workers]
                result.ratios[f"waiting_speedup_{workers}"] = waiting[1] / waiting[workers]
                # What is lost to the start of the actors and to the last units.
                result.rates[f"lost_s_{workers}"] = waiting[workers] - ideal_s


def main() -> None:
    parser = parser_of(__doc__)
    readers = [work.reader for work in works(quick=True)]
    parser.add_argument("--only", nargs="*", choices=readers, default=readers)
    given = parser.parse_args()
    os.environ["RAY_AUTH_MODE"] = "disabled"  # of the nodes, which are on this machine
    result = Result("scaling", given.quick)
    todo = [work for work in works(given.quick) if work.reader in given.only]
    small = [
        replace(
            work, reader="small units", flags=(*work.flags, "--unit-rows", str(SMALL_UNIT_ROWS))
        )
        for work in todo
        if work.reader == "free"
    ]
    with tempfile.TemporaryDirectory() as name:
        for rows in {work.rows for work in todo}:
            plant(Path(name) / str(rows), rows, files=8)
        runs = {}
        for workers in WORKERS:
            also = small if workers == UNITS_AT else []
            runs[workers] = on_cluster(workers, todo + also, Path(name))
    compare(result, todo, runs)
    if small:
        usual, other = (runs[UNITS_AT][reader] for reader in ("free", "small units"))
        per_unit = per_unit_ms(usual, other, small[0].rows, UNITS_AT)
        result.rates["driver_cpu_ms_per_unit"] = per_unit
        result.rows.append(("driver, CPU ms a unit", "", f"{per_unit:.1f}", "", ""))
    result.report(("rows/s", *(f"{w} workers" for w in WORKERS), "4 over 1"))


if __name__ == "__main__":
    main()
