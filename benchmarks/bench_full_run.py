"""All stages of a complete run: rows/s of each stage, and the memory of all processes.

The run has planted conversations, the simulated extractor without delay (so that only the pipeline
is measured), MiniLM for the labels and laptop settings, in a separate process. A smaller run goes
first: `memory_growth` is the peak memory of the full run over that of the smaller one.

    python benchmarks/bench_full_run.py [--quick] [--rows 700000] [--smaller 350000]
"""

import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import ROOT, Result, parser_of, plant
from memory import Peak, run_measured

ROW_STAGES = ("conversations", "extractions", "labels", "taxonomy", "statistics")  # read all rows


@dataclass(frozen=True)
class Run:
    """One run of the main job."""

    rows: int
    seconds: float
    stages: dict[str, dict[str, Any]]  # by name, as in run.json
    peak: Peak


def run_job(folder: Path, rows: int) -> Run:
    """Run `jobs/run.py` on `rows` planted conversations."""
    pattern, output = plant(folder / "in", rows), folder / "out"
    job = [sys.executable, str(ROOT / "jobs" / "run.py"), "--preset", "smoke"]
    with (folder / "plan").open("wb") as plan:
        start = time.monotonic()
        code, peak = run_measured([*job, "--input", pattern, "--output", str(output)], plan)
        seconds = time.monotonic() - start
    if code != 0:
        raise SystemExit(f"the run of {rows} conversations ended with exit code {code}")
    stages = json.loads((output / "run.json").read_text())["stages"]
    return Run(rows, seconds, {stage["name"]: stage for stage in stages}, peak)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--rows", type=int, help="rows of the full run (default: 700,000)")
    parser.add_argument("--smaller", type=int, help="rows of the smaller run (default: half)")
    given = parser.parse_args()
    rows = given.rows or (10_000 if given.quick else 700_000)
    with tempfile.TemporaryDirectory() as name:
        sizes = (given.smaller or rows // 2, rows)
        smaller, full = (run_job(Path(name) / str(n), n) for n in sizes)
    result = Result(
        "full_run",
        given.quick,
        work={
            "rows": [smaller.rows, full.rows],
            "seconds": [round(run.seconds, 1) for run in (smaller, full)],
            "stage_seconds": {name: stage["seconds"] for name, stage in full.stages.items()},
            "peak_bytes": [run.peak.bytes for run in (smaller, full)],
            "peak_bytes_by_program": dict(sorted(full.peak.by_name.items())),
            "peak_at_s": [round(run.peak.at_s, 1) for run in (smaller, full)],
            "memory_samples": [run.peak.samples for run in (smaller, full)],
        },
        ratios={
            "peak_memory_bytes": full.peak.bytes,
            "memory_growth": full.peak.bytes / smaller.peak.bytes,
        },
        rates={"rows_per_s": rows / full.seconds}
        | {f"{name}_rows_per_s": rows / full.stages[name]["seconds"] for name in ROW_STAGES},
    )
    for name, stage in full.stages.items():
        before = f"{smaller.stages[name]['seconds']:.1f}"
        after = f"{stage['seconds']:.1f}"
        rate = f"{rows / stage['seconds']:,.0f}" if name in ROW_STAGES else ""
        result.rows.append((name, before, after, rate))
    totals = (f"{smaller.seconds:.1f}", f"{full.seconds:.1f}", f"{rows / full.seconds:,.0f}")
    result.rows.append(("the whole run", *totals))
    peaks = (f"{run.peak.bytes / 1e6:,.0f}" for run in (smaller, full))
    result.rows.append(("peak memory, MB", *peaks, ""))
    result.report(("stage", f"s, {smaller.rows:,} rows", f"s, {full.rows:,} rows", "rows/s"))


if __name__ == "__main__":
    main()
