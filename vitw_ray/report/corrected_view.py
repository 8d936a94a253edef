"""The section about what the numbers are without the reader's errors, from `corrected`."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from vitw_ray.report.tree_view import Names

Row = dict[str, Any]


@dataclass(frozen=True)
class CorrectedView:
    """Rows with a number; `untold` are shares that the sample is too small for."""

    shares: list[Row]
    of_groups: list[Row]
    differences: list[Row]
    odds_ratios: list[Row]
    trends: list[Row]
    mirroring: list[Row]
    untold: int


def corrected_view(table: pa.Table, names: Names, top: int) -> CorrectedView | None:
    """The `top` rows of each measure, by size; None without a reviewed sample.

    A difference or trend is listed if its interval leaves out 0, an odds ratio if it leaves out 1.
    """
    if not table.num_rows:
        return None
    rows = [_named(row, names) for row in table.to_pylist()]
    told = [row for row in rows if row["reason"] is None]

    def of(measure: str, neutral: float, size: Any) -> list[Row]:
        found = (row for row in told if row["measure"] == measure)
        sure = (row for row in found if not row["low"] <= neutral <= row["high"])
        return sorted(sure, key=size, reverse=True)[:top]

    shares = [row for row in told if row["measure"] == "share"]
    whole = [row for row in shares if row["over_facet"] is None]
    grouped = [row for row in shares if row["over_facet"] in ("models", "languages")]
    return CorrectedView(
        shares=sorted(whole, key=_by_facet)[: 2 * top],
        of_groups=sorted(grouped, key=lambda row: (row["over_facet"], _by_facet(row)))[: 2 * top],
        differences=of("difference", 0.0, lambda row: abs(row["corrected"])),
        odds_ratios=of("odds_ratio", 1.0, lambda row: max(row["low"], 1 / row["high"])),
        trends=of("trend", 0.0, lambda row: abs(row["corrected"])),
        mirroring=[row for row in shares if row["facet"] == "mirroring"],
        untold=sum(row["reason"] is not None for row in rows),
    )


def _by_facet(row: Row) -> tuple[bool, bool, int, float]:
    """Subjectivity and response types first, then values, each from the most common."""
    facet = row["facet"]
    return (
        facet != "subjectivity",
        facet != "response_types",
        row["level"],
        -row["corrected"],
    )


def _named(row: Row, names: Names) -> Row:
    label, over = (row["facet"], row["label"]), (row["over_facet"], row["over"])
    return row | {"label": names.get(label, row["label"]), "over": names.get(over, row["over"])}
