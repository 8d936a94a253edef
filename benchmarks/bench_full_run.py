"""All stages of a complete run: rows/s of each stage, and the memory of all processes.

The run has planted conversations, the simulated extractor without delay (so that only the pipeline
is measured), MiniLM for the labels and laptop settings, in a separate process. A run with a tenth
of the rows goes first: `memory_growth` is the peak memory of the full run over that of the tenth.

    python benchmarks/bench_full_run.py [--quick]
"""

import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import ROOT, Result, arguments, plant
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
    quick = arguments(__doc__).quick
    rows = 10_000 if quick else 100_000
    with tempfile.TemporaryDirectory() as name:
        tenth, full = (run_job(Path(name) / str(n), n) for n in (rows // 10, rows))
    result = Result(
        "full_run",
        quick,
        work={
            "rows": [tenth.rows, full.rows],
            "seconds": [round(run.seconds, 1) for run in (tenth, full)],
            "stage_seconds": {name: stage["seconds"] for name, stage in full.stages.items()},
            "peak_bytes": [run.peak.bytes for run in (tenth, full)],
            "peak_bytes_by_program": dict(sorted(full.peak.by_name.items())),
            "peak_at_s": [round(run.peak.at_s, 1) for run in (tenth, full)],
            "memory_samples": [run.peak.samples for run in (tenth, full)],
        },
        ratios={
            "peak_memory_bytes": full.peak.bytes,
            "memory_growth": full.peak.bytes / tenth.peak.bytes,
        },
        rates={"rows_per_s": rows / full.seconds}
        | {f"{name}_rows_per_s": rows / full.stages[name]["seconds"] for name in ROW_STAGES},
    )
    for name, stage in full.stages.items():
        before = f"{tenth.stages[name]['seconds']:.1f}"
        after = f"{stage['seconds']:.1f}"
        rate = f"{rows / stage['seconds']:,.0f}" if name in ROW_STAGES else ""
        result.rows.append((name, before, after, rate))
    totals = (f"{tenth.seconds:.1f}", f"{full.seconds:.1f}", f"{rows / full.seconds:,.0f}")
    result.rows.append(("the whole run", *totals))
    peaks = (f"{run.peak.bytes / 1e6:,.0f}" for run in (tenth, full))
    result.rows.append(("peak memory, MB", *peaks, ""))
    result.report(("stage", f"s, {tenth.rows:,} rows", f"s, {full.rows:,} rows", "rows/s"))


if __name__ == "__main__":
    main()
