"""Labels and statistics of many conversations: memory of all processes, and CPU per row.

Extractions without text are written as parts of a run folder (`invented_extractions.py`), and go
through stages 3 and 5 as a run would take them: in a process of its own each, with Ray. CPU is that
of the driver, the workers and Ray's daemons. Tasks come with their cluster: stage 4 does not run.

`flat_*` are CPU per row of the largest size / of the smallest: 1 is a straight line.

    python benchmarks/bench_rows.py [--quick] [--rows ROWS ...] [--tasks TASKS]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness import Result, parser_of
from invented_extractions import PART_ROWS, write
from memory import Peak, family, sample

from vitw_ray import cluster
from vitw_ray.config import Execution, RunConfig
from vitw_ray.keys import Keyed
from vitw_ray.labels.counting import count_labels
from vitw_ray.run_folder import FileEntry, StageFolder, TableRef
from vitw_ray.stages import StageContext
from vitw_ray.statistics.analyze import analyze
from vitw_ray.storage import Storage

ROWS, QUICK_ROWS = (1_000_000, 3_000_000, 10_000_000), (50_000, 200_000)
TASKS = 400  # ours
STAGES = {"labels": (3, count_labels), "statistics": (5, analyze)}
KEYED = Keyed(b"the key of a benchmark, long enough")
GIB = 1 << 30
TICKS = os.sysconf("SC_CLK_TCK")
EVERY_S = 0.5


@dataclass
class Taken:
    """What a stage took."""

    seconds: float
    cpu_s: float
    peak: Peak


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--rows", type=int, nargs="+", help="sizes")
    parser.add_argument("--tasks", type=int, default=TASKS, help="clusters of tasks")
    parser.add_argument("--work", choices=[*STAGES, "write"], help="of a process that works")
    parser.add_argument("--folder", help="the run folder")
    flags = parser.parse_args()
    if flags.work is not None:
        work(flags)
        return
    sizes = flags.rows or (QUICK_ROWS if flags.quick else ROWS)
    result = Result("rows", flags.quick, work={"tasks": flags.tasks, "part_rows": PART_ROWS})
    taken: dict[tuple[str, int], Taken] = {}
    for rows in sizes:
        with tempfile.TemporaryDirectory() as folder:
            for name in ("write", *STAGES):
                taken[name, rows] = one = measured(name, folder, rows, flags.tasks)
                result.rows.append(cells(name, rows, one))
                print(*result.rows[-1], file=sys.stderr, flush=True)
    for name in STAGES:
        small, large = (taken[name, rows] for rows in (sizes[0], sizes[-1]))
        result.ratios |= {
            f"flat_{name}_cpu": large.cpu_s / small.cpu_s * sizes[0] / sizes[-1],
            f"{name}_peak_gib": large.peak.bytes / GIB,
            f"{name}_memory_growth": large.peak.bytes / small.peak.bytes,
        }
        result.rates[f"{name}_rows_per_cpu_s"] = sizes[-1] / large.cpu_s
        result.work[name] = {
            str(rows): {
                "cpu_s": round(taken[name, rows].cpu_s, 1),
                "seconds": round(taken[name, rows].seconds, 1),
                "peak_bytes": taken[name, rows].peak.bytes,
            }
            for rows in sizes
        }
    result.report(("stage", "rows", "s", "CPU s", "CPU µs/row", "peak GiB"))


def cells(name: str, rows: int, one: Taken) -> tuple[str, ...]:
    """One line of the table."""
    per_row = f"{1e6 * one.cpu_s / rows:.1f}"
    times = f"{one.seconds:.0f}", f"{one.cpu_s:.0f}", per_row
    return (name, f"{rows:,}", *times, f"{one.peak.bytes / GIB:.2f}")


def measured(name: str, folder: str, rows: int, tasks: int) -> Taken:
    """Work in a process of its own; CPU of a process is that of the last sample it is in."""
    command = [sys.executable, __file__, "--work", name, "--folder", folder]
    command += ["--rows", str(rows), "--tasks", str(tasks)]
    peak, start, cpu = Peak(), time.monotonic(), dict[int, float]()
    with subprocess.Popen(command) as process:
        while process.poll() is None:
            peak.take(sample(process.pid), time.monotonic() - start)
            cpu |= {pid: found for pid in family(process.pid) if (found := cpu_s(pid))}
            time.sleep(EVERY_S)
    if process.returncode:
        raise SystemExit(f"{name} of {rows} rows ended with exit code {process.returncode}")
    return Taken(time.monotonic() - start, sum(cpu.values()), peak)


def cpu_s(pid: int) -> float:
    """CPU seconds of a process; 0 if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def work(flags: argparse.Namespace) -> None:
    """Write the rows, or run a stage on what the processes before have written."""
    storage, known = Storage(flags.folder), Path(flags.folder) / "known.json"
    if flags.work == "write":
        folder = StageFolder(storage, "2_extractions-benchmark", KEYED)
        found = asdict(write(folder, flags.rows[0], flags.tasks))
        known.write_text(json.dumps({"files": found, "manifests": {}}))
        return
    state: dict[str, Any] = json.loads(known.read_text())
    files = {name: [FileEntry(**f) for f in found] for name, found in state["files"].items()}
    number, stage = STAGES[flags.work]
    config = RunConfig(execution=Execution(output=flags.folder))
    tables = {name: TableRef(name, tuple(found)) for name, found in files.items()}
    cluster.connect(config.execution)
    report = stage(
        StageContext(
            config=config,
            storage=storage,
            keyed=KEYED,
            epoch=1,
            inputs=(),
            shapes={},
            folder=StageFolder(storage, f"{number}_{flags.work}-benchmark", KEYED),
            tables=tables,
            manifests=state["manifests"],
        )
    )
    for file in report.files:
        state["files"].setdefault(file.table, []).append(asdict(file))
    state["manifests"][flags.work] = {"details": report.details}
    known.write_text(json.dumps(state, default=str))
    cluster.disconnect()


if __name__ == "__main__":
    main()
