"""Memory and CPU of the taxonomy stage, by distinct tasks: each process, and all together.

A child runs the stage on Ray over invented conversations, each with a task of its own and the
hashing embedder. PSS of its processes is sampled. `driver` is the child, `shard` the largest of the
four actors that hold the tasks. `grower` is the largest other worker while they are there: it
builds the tree. `other` are the workers at other times, which count and embed. Growth between the
two largest sizes is carried on to ten million.

    python benchmarks/bench_tasks.py [--quick] [--sizes 200000 800000]
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from harness import Result, parser_of
from memory import family, pss_bytes

from vitw_ray import cluster
from vitw_ray.config import Execution, LabelsConfig, RunConfig, TaxonomyConfig
from vitw_ray.facets import VALUE_FACETS
from vitw_ray.keys import Keyed
from vitw_ray.records import EXTRACTIONS, LABELS
from vitw_ray.run_folder import FileEntry, StageFolder, TableRef
from vitw_ray.stages import StageContext
from vitw_ray.storage import Storage
from vitw_ray.taxonomy import build
from vitw_ray.taxonomy.tasks import TaskGrower

SIZES = (200_000, 800_000)
QUICK_SIZES = (10_000, 20_000)
COMPUTED = 10_000_000
PART_ROWS = 4096
EVERY_S = 0.5
SHARD_ROWS = 2_000  # less than by default, so that each size has a shard for each of four actors
CHILD = "--child"
VERBS = ("write", "explain", "fix", "draft", "compare", "plan", "debug", "translate", "choose")
THINGS = 400  # kinds of things, so that tasks have something in common
DETAILS = 4000


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+")
    options = parser.parse_args()
    result = Result("tasks", options.quick)
    sizes = options.sizes or (QUICK_SIZES if options.quick else SIZES)
    found = list[dict[str, float]]()
    for size in sizes:
        found.append(one := measured(size))
        print(size, {name: round(value, 2) for name, value in one.items()}, flush=True)
        result.rows.append((f"{size:,}", *cells(one)))
        result.work[str(size)] = {name: round(value, 2) for name, value in one.items()}
    if len(found) > 1:
        small, large = found[-2:]
        times = (COMPUTED - sizes[-1]) / (sizes[-1] - sizes[-2])
        carried = {n: large[n] + times * (large[n] - small[n]) for n in large}
        result.rows.append((f"{COMPUTED:,}, computed", *cells(carried)))
        result.work[f"computed_{COMPUTED}"] = {n: round(v, 2) for n, v in carried.items()}
        per_task = 1e9 / (sizes[-1] - sizes[-2])
        for name in ("driver_gb", "grower_gb", "shard_gb", "sum_gb"):
            key = name.replace("_gb", "_bytes_per_task")
            result.ratios[key] = per_task * (large[name] - small[name])
        result.ratios["cpu_growth"] = large["cpu_s"] / sizes[-1] / (small["cpu_s"] / sizes[-2])
    result.report(("tasks", "driver GB", "grower GB", "shard GB", "sum GB", "CPU µs/task", "s"))


def cells(one: dict[str, float]) -> tuple[str, ...]:
    names = ("driver_gb", "grower_gb", "shard_gb", "sum_gb")
    rate = 1e6 * one["cpu_s"] / one["tasks"]
    return (*(f"{one[name]:.2f}" for name in names), f"{rate:.0f}", f"{one['wall_s']:.0f}")


def measured(size: int) -> dict[str, float]:
    """Peaks of the processes of a child that runs the stage."""
    with tempfile.TemporaryDirectory() as folder:
        invent(Path(folder), size)
        command = [sys.executable, __file__, CHILD, folder]
        start, peaks, cpu = time.monotonic(), defaultdict[str, int](int), dict[int, float]()
        with subprocess.Popen(command) as child:
            while child.poll() is None:
                sample = {
                    pid: (kind_of(pid, child.pid), pss_bytes(pid)) for pid in family(child.pid)
                }
                kinds = {kind for kind, _ in sample.values()}
                for pid, (kind, bytes_) in sample.items():
                    name = "grower" if kind == "worker" and "shard" in kinds else kind
                    peaks[name] = max(peaks[name], bytes_)
                    cpu[pid] = max(cpu.get(pid, 0.0), cpu_s(pid))
                peaks["sum"] = max(peaks["sum"], sum(bytes_ for _, bytes_ in sample.values()))
                time.sleep(EVERY_S)
        if child.returncode:
            raise SystemExit(child.returncode)
        names = ("driver", "grower", "shard", "sum")
        return {
            **{f"{name}_gb": peaks[name] / 1e9 for name in names},
            "other_gb": peaks["worker"] / 1e9,
            "tasks": size,
            "cpu_s": sum(cpu.values()),
            "wall_s": time.monotonic() - start,
        }


def kind_of(pid: int, driver: int) -> str:
    if pid == driver:
        return "driver"
    try:
        title = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return "gone"
    return "shard" if "_Holder" in title else "worker" if title.startswith("ray::") else "ray"


def cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def invent(folder: Path, size: int) -> None:
    """Parts of `extractions` with a task each."""
    storage, rng = Storage(str(folder)), np.random.default_rng(0)
    before = StageFolder(storage, "before")
    none = {name: None for name in EXTRACTIONS.names}
    row = none | {"source": "invented", "extractor": "invented", "is_subjective": True}
    row |= {"human_values": [], "ai_values": [], "prompt_tokens": 0, "output_tokens": 0}
    row |= {"truncated_share": 0.0, "conversation_id": "", "task": ""}
    same = pa.Table.from_pylist([row] * PART_ROWS, EXTRACTIONS)
    for number, start in enumerate(range(0, size, PART_ROWS)):
        rows = range(start, min(start + PART_ROWS, size))
        words = rng.integers(0, (len(VERBS), THINGS, DETAILS), (len(rows), 3)).tolist()
        tasks = [
            f"{VERBS[verb]} a {spelled(thing)} about {spelled(detail)} {spelled(n)}"
            for n, (verb, thing, detail) in zip(rows, words, strict=True)
        ]
        table = same.slice(0, len(rows))
        for name, values in (("conversation_id", [f"c{n:09d}" for n in rows]), ("task", tasks)):
            place = EXTRACTIONS.get_field_index(name)
            table = table.set_column(place, EXTRACTIONS.field(place), pa.array(values, pa.string()))
        before.write_table("extractions", table, number)
    labels = [
        {"facet": f, "label": f"value {spelled(n)}", "conversations": 9, "share": 0.1, "kept": True}
        for f in VALUE_FACETS
        for n in range(20)
    ]
    before.write_table("labels", pa.Table.from_pylist(labels, LABELS))


def spelled(number: int) -> str:
    """A word for a number."""
    return "q" + "".join(chr(ord("a") + int(digit)) for digit in str(number))


def run_stage(folder: str) -> None:
    """The stage on Ray, in this process and its workers."""
    storage = Storage(folder)
    config = RunConfig(
        labels=LabelsConfig(min_conversations=10, min_accounts=1),
        taxonomy=TaxonomyConfig(embedder="hashing"),
        execution=Execution(output=folder, actors=4),
    )
    found: dict[str, list[FileEntry]] = {"extractions": [], "labels": [], "merges": []}
    for stat in storage.list("before"):
        rows = pq.read_metadata(storage.address(stat.path)).num_rows
        name = "labels" if "labels" in stat.path else "extractions"
        found[name].append(FileEntry(stat.path, name, rows, stat.size, ""))
    context = StageContext(
        config=config,
        storage=storage,
        folder=StageFolder(storage, "after"),
        keyed=Keyed(b"a secret of sixteen bytes"),
        epoch=0,
        inputs=(),
        shapes={},
        tables={name: TableRef(name, tuple(files)) for name, files in found.items()},
        manifests={"labels": {"details": {"with_account": 0}}},
    )
    cluster.connect(config.execution)
    try:
        with patch.object(build, "TaskGrower", partial(TaskGrower, rows_per_shard=SHARD_ROWS)):
            report = build.build_taxonomy(context)
    finally:
        cluster.disconnect()
    sys.stderr.write(json.dumps(report.details["nodes_per_level"]["tasks"]) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == [CHILD]:
        run_stage(sys.argv[2])
    else:
        main()
