"""Stage 5: counting which labels meet, against pandas.

Two tables: values x tasks (one task a conversation), and values x values of the other speaker
(several of each). Both sides start from the same pairs of row number and code; pandas gets its
joined frame for nothing in the first, and joins in the second. CPU seconds, one process, no Ray.

    python benchmarks/bench_statistics.py [--quick] [--paper]
"""

import statistics
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from harness import Result, arguments, interleave, ratio, spread
from numpy.typing import NDArray
from paper_truth import measure

from vitw_ray.statistics.contingency import Counts, Facet, deduplicate

AI_VALUES, HUMAN_VALUES, TASKS = 3307, 2483, 400  # paper, 1.4 and 2: labels of each facet; ours
BLOCK_ROWS = 4096  # as a part of `extractions`
TIMES = 10  # a single count is too short to be timed


@dataclass(frozen=True)
class Pairs:
    """Row and code of each occurrence, sorted; `size` codes."""

    rows: NDArray[np.int64]
    codes: NDArray[np.int64]
    size: int

    def facet(self) -> Facet:
        """As ours takes them."""
        return Facet(*deduplicate(self.rows, self.codes), self.size)

    def frame(self, name: str) -> pd.DataFrame:
        """As pandas takes them."""
        return pd.DataFrame({"row": self.rows, name: self.codes})


def draw(rng: np.random.Generator, n_rows: int, most: int, size: int) -> Pairs:
    """`most` labels a conversation at most, their frequencies falling off as 1/rank."""
    held = rng.integers(1, most + 1, n_rows)
    rows = np.repeat(np.arange(n_rows), held)
    weights = 1 / np.arange(1, size + 1)
    codes = rng.choice(size, len(rows), p=weights / weights.sum())
    fused = np.unique(rows * size + codes)
    return Pairs(fused // size, fused % size, size)


def count(a: Pairs, b: Pairs, n_rows: int) -> None:
    for _ in range(TIMES):
        Counts.of(a.facet(), b.facet(), n_rows)


def crosstab(ai: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """The same matrix, by pandas: a join over the conversation, then its contingency table."""
    joined = ai.merge(other, on="row")
    return pd.crosstab(joined["ai"], joined["other"])


def peak_bytes(blocks: int) -> int:
    """Highest memory while so many blocks are counted and added up, beyond what was there."""

    def counts() -> Iterator[Counts]:
        rng = np.random.default_rng(1)
        for _ in range(blocks):
            ai, tasks = draw(rng, BLOCK_ROWS, 7, AI_VALUES), draw(rng, BLOCK_ROWS, 1, TASKS)
            yield Counts.of(ai.facet(), tasks.facet(), BLOCK_ROWS)

    tracemalloc.start()
    merged = Counts.zero(AI_VALUES, TASKS)
    for block in counts():
        merged = merged.add(block)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def main() -> None:
    flags = arguments(__doc__, paper="the published tables from planted truth, and no timing")
    quick = flags.quick
    if flags.paper:
        measure(quick).report(("over all seeds", "count"))
        return
    n = 300_000 if quick else 1_000_000
    rng = np.random.default_rng(0)
    ai, human = draw(rng, n, 7, AI_VALUES), draw(rng, n, 3, HUMAN_VALUES)
    tasks = draw(rng, n, 1, TASKS)
    frames = ai.frame("ai"), human.frame("other"), tasks.frame("other")
    joined = frames[0].merge(frames[2], on="row")
    by_task = Counts.of(ai.facet(), tasks.facet(), n).both
    by_human = Counts.of(ai.facet(), human.facet(), n).both
    check(by_task, pd.crosstab(joined["ai"], joined["other"]))
    check(by_human, crosstab(frames[0], frames[1]))
    seconds = interleave(
        {
            "tasks": lambda: count(ai, tasks, n),
            "tasks again": lambda: count(ai, tasks, n),
            "tasks, pandas": lambda: pd.crosstab(joined["ai"], joined["other"]),
            "values": lambda: count(ai, human, n),
            "values, pandas": lambda: crosstab(frames[0], frames[1]),
        }
    )
    for name in ("tasks", "tasks again", "values"):
        seconds[name] = [second / TIMES for second in seconds[name]]
    blocks = 16 if quick else 32
    small, large = peak_bytes(blocks), peak_bytes(4 * blocks)
    result = Result(
        "statistics",
        quick,
        work={
            "conversations": n,
            "pairs_with_tasks": int(by_task.sum()),
            "pairs_with_values": int(by_human.sum()),
            "memory_rows": [blocks * BLOCK_ROWS, 4 * blocks * BLOCK_ROWS],
            "memory_peak_bytes": [small, large],
        },
        ratios={
            "over_pandas": ratio(seconds["tasks, pandas"], seconds["tasks"]),
            "over_pandas_values": ratio(seconds["values, pandas"], seconds["values"]),
            "memory_growth": large / small,
        },
        rates={
            "rows_per_cpu_s": n / statistics.median(seconds["tasks"]),
            "rows_per_cpu_s_values": n / statistics.median(seconds["values"]),
        },
        aa_spread=spread(seconds["tasks"], seconds["tasks again"]),
    )
    for table in ("tasks", "values"):
        ours, theirs = (statistics.median(seconds[table + s]) for s in ("", ", pandas"))
        gain = ratio(seconds[f"{table}, pandas"], seconds[table])
        times = (f"{ours:.3f}", f"{theirs:.3f}", f"{gain:.1f}")
        result.rows.append((f"values x {table}", *times, f"{n / ours:,.0f}"))
    result.report(("table", "ours CPU s", "pandas CPU s", "over pandas", "rows/CPU s"))


def check(ours: NDArray[np.int64], theirs: pd.DataFrame) -> None:
    """Both count the same, cell by cell; pandas leaves out codes that never occur."""
    full = theirs.reindex(index=range(ours.shape[0]), columns=range(ours.shape[1]), fill_value=0)
    if not np.array_equal(ours, full.to_numpy()):
        raise SystemExit("the two matrices differ: nothing was measured")


if __name__ == "__main__":
    main()
