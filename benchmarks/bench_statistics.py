"""Stage 5: counting contingency tables, compared with DuckDB, Polars and pandas.

All contingency tables of a run (AI values on four levels of the taxonomy, by tasks, by human values
and by response types) and the co-occurrence of AI values, from the same Arrow columns of lists. CPU
seconds of all threads, one process, no Ray. Every table is compared cell by cell before a time is
reported. pandas is timed on a tenth of the rows, and only on level 0.

    python benchmarks/bench_statistics.py [--quick] [--paper]
"""

import resource
import statistics
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pandas as pd
import pyarrow as pa
from harness import ROUNDS, Result, interleave, parser_of, ratio, spread, with_one_thread
from numpy.typing import NDArray
from paper_truth import measure
from query_engines import DuckDb, Polars

from vitw_ray.statistics.contingency import CodedFacet, Counts, deduplicate, to_ancestors
from vitw_ray.statistics.cooccurrence import PairCounts

AI_VALUES, HUMAN_VALUES, TASKS, TYPES = 3307, 2483, 400, 7  # paper, 1.4 and 2; tasks are ours
LEVELS = (AI_VALUES, 266, 26, 5)  # paper, 1.5
MOST_AI, MOST_HUMAN = 7, 3  # ours: 4 and 1.5 per conversation on average, as in the paper (1.3)
BLOCK_ROWS = 500_000
ROWS, QUICK_ROWS = 10_000_000, 1_000_000
POOL = 8  # blocks that are counted repeatedly to measure memory
ANCESTORS = [np.arange(AI_VALUES) * size // AI_VALUES for size in LEVELS]

Tables = dict[str, Counts | PairCounts]


def draw(rng: np.random.Generator, n: int, start: int) -> pa.Table:
    """Coded extractions with ids from `start`; label frequencies are 1/rank, lists are shuffled."""

    def lists(least: int, most: int, size: int) -> pa.ListArray:
        held = rng.integers(least, most + 1, n)
        rows = np.repeat(np.arange(n), held)
        weights = 1 / np.arange(1, size + 1)
        codes = rng.choice(size, rows.size, p=weights / weights.sum())
        fused = np.unique(rows * size + codes)  # a label is in a list only once
        fused = fused[np.lexsort((rng.random(fused.size), fused // size))]
        offsets = np.searchsorted(fused // size, np.arange(n + 1))
        values = pa.array(fused % size, pa.int32())
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)

    return pa.table(
        {
            "id": pa.array(np.arange(start, start + n)),
            "ai": lists(1, MOST_AI, AI_VALUES),
            "human": lists(0, MOST_HUMAN, HUMAN_VALUES),
            "task": pa.array(rng.integers(0, TASKS, n), pa.int32()),
            "kind": pa.array(rng.integers(0, TYPES, n), pa.int32()),
        }
    )


def facet(column: pa.ListArray, size: int) -> CodedFacet:
    rows, codes = column.value_parent_indices().to_numpy(), column.flatten().to_numpy()
    return CodedFacet(*deduplicate(rows, codes), size)


def single(column: pa.Array, size: int) -> CodedFacet:
    return CodedFacet(np.arange(len(column)), column.to_numpy(), size)


def count_block(block: pa.RecordBatch) -> Tables:
    """All tables of one block, as stage 5 counts them."""
    n = block.num_rows
    ai = facet(block["ai"], AI_VALUES)
    columns = {
        "task": single(block["task"], TASKS),
        "human": facet(block["human"], HUMAN_VALUES),
        "kind": single(block["kind"], TYPES),
    }
    tables: Tables = {"pairs": PairCounts.of(ai)}
    for level, size in enumerate(LEVELS):
        values = to_ancestors(ai, ANCESTORS[level], size) if level else ai
        for name, column in columns.items():
            tables[f"{name} {level}"] = Counts.of(values, column, n)
    return tables


def count(blocks: Iterator[pa.RecordBatch]) -> Tables:
    """Sum of the counts of all blocks."""
    total: Tables = {}
    for block in blocks:
        found = count_block(block)
        total = {name: total[name].add(found[name]) for name in found} if total else found
    return total


def count_all(table: pa.Table) -> Tables:
    return count(iter(table.to_batches(max_chunksize=BLOCK_ROWS)))


def matrices(tables: Tables) -> dict[str, NDArray[np.int64]]:
    """Our counts as plain matrices, for the comparison."""
    found = {}
    for name, counts in tables.items():
        if isinstance(counts, Counts):
            found[name] = counts.both
        else:
            pairs = np.zeros((AI_VALUES, AI_VALUES), np.int64)
            below, above = np.tril_indices(AI_VALUES, -1)[::-1], np.asarray(counts.pairs)
            pairs[below] = above  # label a < b is pair b (b - 1) / 2 + a
            found[name] = pairs
    return found


def check(ours: dict[str, NDArray[np.int64]], theirs: dict[str, tuple], engine: str) -> None:
    """Exit if the counts differ in any cell."""
    for name, matrix in ours.items():
        other = np.zeros_like(matrix)
        row, column, n = theirs[name]
        other[row, column] = n
        if not np.array_equal(matrix, other):
            raise SystemExit(f"{engine} counts {name} differently: nothing was measured")


def crosstabs(table: pa.Table) -> None:
    """The tables of level 0 with pandas."""
    frame = table.to_pandas()
    by_value = frame.explode("ai")
    for other in ("task", "kind"):
        pd.crosstab(by_value["ai"], by_value[other])
    by_both = by_value.explode("human").dropna(subset=["human"])
    pd.crosstab(by_both["ai"], by_both["human"])


def level_0(table: pa.Table) -> None:
    """The tables of level 0 with ours."""
    for block in table.to_batches(max_chunksize=BLOCK_ROWS):
        ai = facet(block["ai"], AI_VALUES)
        for column in (
            single(block["task"], TASKS),
            single(block["kind"], TYPES),
            facet(block["human"], HUMAN_VALUES),
        ):
            Counts.of(ai, column, block.num_rows)


def peak_bytes(rows: int) -> int:
    """Peak memory of a process that counts `rows` rows, block after block."""
    rng = np.random.default_rng(1)
    pool = [draw(rng, BLOCK_ROWS, 0).to_batches()[0] for _ in range(POOL)]
    count(pool[number % POOL] for number in range(rows // BLOCK_ROWS))
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def in_a_process(rows: int) -> int:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(peak_bytes, rows).result()


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--paper", action="store_true", help="planted truth, and no timing")
    flags = parser.parse_args()
    quick = flags.quick
    if flags.paper:
        measure(quick).report(("over all seeds", "count"))
        return
    n = QUICK_ROWS if quick else ROWS
    small, large = in_a_process(n), in_a_process(4 * n)
    rng = np.random.default_rng(0)
    table = pa.concat_tables([draw(rng, BLOCK_ROWS, start) for start in range(0, n, BLOCK_ROWS)])
    part = table.slice(0, n // 10)
    duckdb, polars = DuckDb(table, ANCESTORS), Polars(table, ANCESTORS)
    found = {}
    variants = {
        "ours": lambda: found.update(ours=count_all(table)),
        "DuckDB": lambda: found.update(DuckDB=duckdb.tables()),
        "Polars": lambda: found.update(Polars=polars.tables()),
        "again": lambda: count_all(table),
    }
    rounds = ROUNDS if quick else 1  # a full round takes minutes, so noise matters less
    seconds = interleave(variants, rounds)
    for engine in ("DuckDB", "Polars"):
        check(matrices(found["ours"]), found[engine], engine)
    frames = {"ours, part": lambda: level_0(part), "pandas": lambda: crosstabs(part)}
    seconds |= interleave(frames, rounds)
    middle = {name: statistics.median(times) for name, times in seconds.items()}
    result = Result(
        "statistics",
        quick,
        work={
            "conversations": n,
            "ai_values": table["ai"].combine_chunks().flatten().__len__(),
            "memory_rows": [n, 4 * n],
            "memory_peak_bytes": [small, large],
        },
        ratios={
            "over_duckdb": ratio(seconds["DuckDB"], seconds["ours"]),
            "over_polars": ratio(seconds["Polars"], seconds["ours"]),
            "over_pandas": ratio(seconds["pandas"], seconds["ours, part"]),
            "memory_growth": large / small,
        },
        rates={"rows_per_cpu_s": n / middle["ours"]},
        aa_spread=spread(seconds["ours"], seconds["again"]),
    )
    for name in ("ours", "DuckDB", "Polars", "ours, part", "pandas"):
        rows, cpu = n if name in ("ours", "DuckDB", "Polars") else n // 10, middle[name]
        result.rows.append((name, f"{rows:,}", f"{cpu:.2f}", f"{rows / cpu:,.0f}"))
    result.report(("who", "rows", "CPU s", "rows/CPU s"))


if __name__ == "__main__":
    with_one_thread()
    main()
