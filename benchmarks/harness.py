"""Shared by all benchmarks: interleaved measurement and reporting.

Absolute times on a shared machine are unreliable. A benchmark therefore reports ratios of two
variants measured in turn in one run, in CPU seconds where possible, with an A/A pair (the same
variant under two names) that shows the noise of a ratio. It prints a table and ends with one line
of JSON, which `benchmarks/run.py` collects under `results/`.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vitw_ray.evaluation.planted import PlantedConfig, write
from vitw_ray.versions import versions

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 3  # ours: the minimum to see an outlier
ONE_THREAD = {
    name: "1"
    for name in (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "POLARS_MAX_THREADS",
    )
}
LOAD_BEFORE = os.getloadavg()[0]  # at the start: later it would include the benchmark itself


@dataclass
class Result:
    """Result of a benchmark. Savings and speed-ups are alternative / ours: above 1 is better."""

    benchmark: str
    quick: bool
    work: dict[str, Any] = field(default_factory=dict)
    ratios: dict[str, float] = field(default_factory=dict)
    rates: dict[str, float] = field(default_factory=dict)
    aa_spread: float | None = None
    rows: list[tuple[str, ...]] = field(default_factory=list)  # rows of the printed table

    @classmethod
    def stored(cls, benchmark: str, quick: bool, output: str | None) -> "Result":
        """Of a benchmark whose files lie in a folder, or in a bucket: the name says so."""
        in_bucket = (output or "").startswith("s3://")
        return cls(f"{benchmark}_s3" if in_bucket else benchmark, quick)

    def report(self, header: Sequence[str]) -> None:
        """Print the table, then one line of JSON."""
        rows = [tuple(header), *self.rows]
        widths = [max(len(row[n]) for row in rows) for n in range(len(header))]
        for number, row in enumerate(rows):
            cells = [row[0].ljust(widths[0])]
            cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
            print("  ".join(cells))
            if number == 0:
                print("  ".join("-" * width for width in widths))
        print(
            json.dumps(
                {
                    "benchmark": self.benchmark,
                    "commit": commit(),
                    "versions": versions(),
                    "hardware": hardware(),
                    "quick": self.quick,
                    "work": self.work,
                    "ratios": {name: rounded(ratio) for name, ratio in self.ratios.items()},
                    "rates": {name: rounded(rate) for name, rate in self.rates.items()},
                    "aa_spread": None if self.aa_spread is None else rounded(self.aa_spread),
                }
            )
        )


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """A parser with the flag that all benchmarks have."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="less work, the same ratios")
    return parser


def arguments(description: str | None) -> argparse.Namespace:
    """Parse the command line with `parser_of`."""
    return parser_of(description).parse_args()


def with_one_thread() -> None:
    """Restart the program with one thread per library: libraries read this setting on import."""
    if any(os.environ.get(name) != value for name, value in ONE_THREAD.items()):
        os.environ.update(ONE_THREAD)
        os.execv(sys.executable, [sys.executable, *sys.argv])


def interleave(
    variants: Mapping[str, Callable[[], object]],
    rounds: int = ROUNDS,
    clock: Callable[[], float] = time.process_time,
) -> dict[str, list[float]]:
    """Seconds of each variant by round; variants run in turn, in reverse every second round."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(rounds):
        names = list(variants) if number % 2 == 0 else list(variants)[::-1]
        for name in names:
            start = clock()
            variants[name]()
            seconds[name].append(clock() - start)
    return seconds


def ratio(numerator: Sequence[float], denominator: Sequence[float]) -> float:
    """Median of the ratios by round: a slow period affects both sides of a pair."""
    return statistics.median(a / b for a, b in zip(numerator, denominator, strict=True))


def spread(a: Sequence[float], b: Sequence[float]) -> float:
    """Deviation of an A/A pair from 1: the noise of the ratios of this run."""
    return abs(ratio(a, b) - 1)


def rounded(number: float) -> float:
    """Round to four significant digits, more precise than the noise."""
    return float(f"{number:.4g}")


def plant(folder: Path, conversations: int, files: int = 4) -> str:
    """Write planted conversations to `files` files; return their glob pattern."""
    rows_per_file = -(-conversations // files)
    write(PlantedConfig(conversations=conversations), folder, rows_per_file)
    return str(folder / "conversations-*.jsonl.gz")


def real_conversations() -> Path | None:
    """Real conversations for additional measurements, if available (see README.md)."""
    folder = Path(os.environ.get("VITW_RAY_DATA", ROOT.parent / "shared" / "data"))
    file = folder / "conversations.jsonl.gz"
    return file if file.exists() else None


def commit() -> str:
    """Short hash of the checkout, marked if it has uncommitted changes."""
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def hardware() -> dict[str, Any]:
    """Basic description of the machine, and its load before the benchmark."""
    found = {
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "load": round(LOAD_BEFORE, 2),
    }
    return found if (gpu := first_gpu()) is None else {**found, "gpu": gpu}


def first_gpu() -> str | None:
    """Name of the first GPU, if any."""
    if shutil.which("nvidia-smi") is None:
        return None
    asked = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    lines = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.splitlines()
    return lines[0] if lines else None
