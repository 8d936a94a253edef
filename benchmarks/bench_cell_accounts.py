"""Stage 5: what counting conversations costs, with the accounts of every cell and without.

Blocks of the paper's size are counted as stage 5 does, from the columns of `extractions`: with a
threshold of five accounts, without one, and, with `--before FOLDER`, by another version of the
package. Each variant is a process of its own; they run in turn, in CPU seconds.

    python benchmarks/bench_cell_accounts.py [--quick] [--before FOLDER]
"""

import dataclasses
import inspect
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from harness import ROOT, ROUNDS, Result, parser_of, ratio, spread, with_one_thread
from invented_extractions import MODELS, SIZES, assignments, block, names, task_id

from vitw_ray.config import LabelsConfig
from vitw_ray.statistics.block import COLUMNS, ConversationBlock
from vitw_ray.statistics.codebook import Codebook
from vitw_ray.statistics.partials import Partial, add, count_block

TASKS, ACCOUNTS = 400, 5
BLOCK_ROWS, QUICK_ROWS, BLOCKS = 250_000, 100_000, 2


def codebook(accounts: int) -> Codebook:
    labels = {facet: names(facet, sizes[0]).to_pylist() for facet, sizes in SIZES.items()}
    sizes = SIZES["ai_values"]
    fields: dict[str, Any] = {
        "labels": labels,
        "codes": {f: {name: code for code, name in enumerate(all_)} for f, all_ in labels.items()},
        "ai_levels": [labels["ai_values"], *(names("level", s).to_pylist() for s in sizes[1:])],
        "ai_ancestors": [
            (np.arange(sizes[0]) * size // sizes[0]).astype(np.int32) for size in sizes
        ],
        "tasks": [task_id(code) for code in range(TASKS)],
        "models": names("model", MODELS).to_pylist(),
        "thresholds": LabelsConfig(min_conversations=15, min_accounts=accounts),
        "main_tasks": list(range(50)),
    }
    known = {field.name for field in dataclasses.fields(Codebook)}  # older versions lack the last
    return Codebook(**{name: value for name, value in fields.items() if name in known})


def count_when_told(accounts: int, rows: int) -> None:
    """A line on standard input is a round: answers with its CPU seconds."""
    blocks = []
    for number in range(BLOCKS):
        extractions, codes = block(number * rows, rows, BLOCKS * rows, TASKS)
        tasks = assignments(extractions, codes).filter(extractions["is_subjective"])
        blocks.append((extractions.select(COLUMNS), tasks))
    known = codebook(accounts)
    knows_before = "before" in inspect.signature(count_block).parameters
    for _ in sys.stdin:
        start, merged = time.process_time(), Partial()
        for extractions, tasks in blocks:
            one = ConversationBlock.of(extractions, tasks, known)
            merged = add(merged, count_block(one, merged) if knows_before else count_block(one))
        print(time.process_time() - start, flush=True)


class Counting:
    """A variant in its own process."""

    def __init__(self, folder: Path, accounts: int, rows: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--accounts", str(accounts), "--rows", str(rows)],
            env={**os.environ, "PYTHONPATH": f"{folder}:{ROOT / 'benchmarks'}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def seconds(self) -> float:
        """CPU seconds of a round."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--before", type=Path, help="folder of another version of the package")
    parser.add_argument("--accounts", type=int, help="of a process that counts")
    parser.add_argument("--rows", type=int, help="conversations of a block")
    flags = parser.parse_args()
    rows = flags.rows or (QUICK_ROWS if flags.quick else BLOCK_ROWS)
    if flags.accounts is not None:
        count_when_told(flags.accounts, rows)
        return
    wanted = {"accounts": (ROOT, ACCOUNTS), "none": (ROOT, 1), "again": (ROOT, ACCOUNTS)}
    if flags.before is not None:
        wanted["before"] = flags.before, 1
    variants = {name: Counting(folder, n, rows) for name, (folder, n) in wanted.items()}
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(ROUNDS):
        for name in list(variants) if number % 2 == 0 else list(variants)[::-1]:
            seconds[name].append(variants[name].seconds())
    for variant in variants.values():
        variant.close()
    result = Result(
        "cell_accounts",
        flags.quick,
        work={"conversations": BLOCKS * rows, "blocks": BLOCKS, "min_accounts": ACCOUNTS},
        ratios={"with_over_without": ratio(seconds["accounts"], seconds["none"])},
        rates={"rows_per_cpu_s": BLOCKS * rows / statistics.median(seconds["accounts"])},
        aa_spread=spread(seconds["accounts"], seconds["again"]),
    )
    if flags.before is not None:
        result.ratios["with_over_before"] = ratio(seconds["accounts"], seconds["before"])
        result.ratios["without_over_before"] = ratio(seconds["none"], seconds["before"])
    for name, times in seconds.items():
        result.rows.append((name, f"{statistics.median(times):.2f}"))
    result.report(("variant", "CPU s"))


if __name__ == "__main__":
    with_one_thread()
    main()
