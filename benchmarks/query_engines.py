"""The tables of `bench_statistics` with two query engines, in their idiomatic form.

Both convert the data to their own format before the measurement, and use one thread, as ours does:
more threads do not reduce CPU seconds.
"""

from collections.abc import Sequence

import duckdb
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

Cells = tuple[NDArray, NDArray, NDArray]  # row, column, count
OTHERS = ("task", "human", "kind")


class DuckDb:
    """SQL over a native table; lists are unnested in the queries."""

    def __init__(self, table: pa.Table, ancestors: Sequence[NDArray]) -> None:
        self.connection = duckdb.connect(config={"threads": 1})
        self.connection.register("arrow", table)
        self.connection.execute("CREATE TABLE t AS SELECT * FROM arrow")
        self.ancestors = [ancestor.tolist() for ancestor in ancestors]

    def _cells(self, query: str) -> Cells:
        found = self.connection.execute(query).fetchnumpy()
        return found["a"], found["b"], found["n"]

    def tables(self) -> dict[str, Cells]:
        """All tables, by name and level."""
        tables = {
            "pairs": self._cells(
                "SELECT a, b, count(*) AS n FROM (SELECT a, unnest(ai) AS b FROM "
                "(SELECT unnest(ai) AS a, ai FROM t)) WHERE a < b GROUP BY a, b"
            )
        }
        for level, ancestor in enumerate(self.ancestors):
            source = "t"
            if level:
                source = "up"
                self.connection.execute(
                    "CREATE OR REPLACE TEMP TABLE up AS SELECT human, task, kind, list_distinct("
                    f"list_transform(ai, lambda x: ({ancestor}::INT[])[x + 1])) AS ai FROM t"
                )
            for other in OTHERS:
                b = "unnest(human)" if other == "human" else other
                tables[f"{other} {level}"] = self._cells(
                    f"SELECT a, b, count(*) AS n FROM (SELECT a, {b} AS b FROM "
                    f"(SELECT unnest(ai) AS a, {other} FROM {source})) GROUP BY a, b"
                )
        return tables


class Polars:
    """Lazy frames; lists are exploded in the queries."""

    def __init__(self, table: pa.Table, ancestors: Sequence[NDArray]) -> None:
        frame = pl.from_arrow(table)
        assert isinstance(frame, pl.DataFrame)
        self.frame = frame.rechunk().lazy()
        self.ancestors = [pl.Series(ancestor, dtype=pl.Int32) for ancestor in ancestors]

    @staticmethod
    def _cells(pairs: pl.LazyFrame) -> Cells:
        found = pairs.group_by("a", "b").len().collect()
        return found["a"].to_numpy(), found["b"].to_numpy(), found["len"].to_numpy()

    def tables(self) -> dict[str, Cells]:
        """All tables, by name and level."""
        twice = self.frame.select(a="ai", b="ai").explode("a").explode("b")
        tables = {"pairs": self._cells(twice.filter(pl.col("a") < pl.col("b")))}
        for level, ancestor in enumerate(self.ancestors):
            for other in OTHERS:
                pairs = self.frame.select("id", a="ai", b=other).explode("a")
                if level:
                    up = pl.lit(ancestor).gather(pl.col("a"))
                    pairs = pairs.with_columns(a=up).unique(["id", "a"])
                if other == "human":
                    pairs = pairs.explode("b").drop_nulls("b")
                tables[f"{other} {level}"] = self._cells(pairs.select("a", "b"))
        return tables
