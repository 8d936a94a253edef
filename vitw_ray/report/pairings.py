"""The strongest associations, as heat maps and ranked lists for the page.

Only discoveries are listed, and of these only pairs whose shrunken odds ratio surely differs from
1. They are ranked by the end of its interval that is nearer to 1, so that a pair seen twice where
0.03 were expected never leads a list.

The table may have millions of cells, so it is filtered in Arrow; only the cells that are shown
become Python rows.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from markupsafe import Markup

from vitw_ray.facets import RESPONSE_TYPES
from vitw_ray.report.figures import Cell, heat_map, residual_tone
from vitw_ray.report.tree_view import Names
from vitw_ray.wording import TIMES, facet_noun, first_up, plain

HEAT_ROWS, HEAT_COLUMNS = 16, 12  # ours: fits the page's width
HEAT_CLUSTERS = 8  # ours: rows where they are clusters, of which there are several levels
TOP_CLUSTERS = 10  # ours: pairs of clusters in each list; their cards have more
CANDIDATES = 2000  # ours: strongest pairs, from which the heat map takes its rows and columns
COLUMN_ORDER = ("tasks", "human_values", "response_types")

Row = dict[str, Any]


class Pairing(NamedTuple):
    """The associations of one pair of facets at one level of the rows.

    `more` and `less` hold the table's columns, with `row_name`, `column_name` and `tone`.
    """

    title: str
    level: int
    seen: int
    discovered: int
    heat: Markup
    more: list[Row]
    less: list[Row]


def pairings(table: pa.Table, names: Names, top: int) -> list[Pairing]:
    """One pairing per (row facet, column facet, level): lowest level first, then `COLUMN_ORDER`."""
    kinds = table.group_by(["row_facet", "column_facet", "level"]).aggregate([]).to_pylist()

    def rank(kind: Row) -> tuple:
        column = kind["column_facet"]
        place = COLUMN_ORDER.index(column) if column in COLUMN_ORDER else len(COLUMN_ORDER)
        return kind["level"], kind["row_facet"], place, column

    return [_pairing(table, kind, names, top) for kind in sorted(kinds, key=rank)]


def _pairing(table: pa.Table, kind: Row, names: Names, top: int) -> Pairing:
    mine = pc.field("row_facet") == kind["row_facet"]
    mine &= pc.field("column_facet") == kind["column_facet"]
    cells = table.filter(mine & (pc.field("level") == kind["level"]))
    sure = cells.filter(pc.field("discovered"))
    above, below = pc.field("shrunken_low") > 0, pc.field("shrunken_high") < 0
    more = _strongest(sure.filter(above), ("shrunken_low", "descending"), names)
    less = _strongest(sure.filter(below), ("shrunken_high", "ascending"), names)
    title = f"{facet_noun(kind['row_facet'])} {TIMES} {facet_noun(kind['column_facet'])}"
    if kind["level"]:
        top = min(top, TOP_CLUSTERS)
    return Pairing(
        first_up(title),
        kind["level"],
        cells.num_rows,
        sure.num_rows,
        _heat(cells, more, names, title),
        more[:top],
        less[:top],
    )


def _strongest(cells: pa.Table, first: tuple[str, str], names: Names) -> list[Row]:
    keys = [first, ("row", "ascending"), ("column", "ascending")]
    return _named(cells.sort_by(keys).slice(0, CANDIDATES), names)


def _named(cells: pa.Table, names: Names) -> list[Row]:
    rows = cells.to_pylist()
    for row in rows:
        column = names.get((row["column_facet"], row["column"]), row["column"])
        row["row_name"] = names.get((row["row_facet"], row["row"]), row["row"])
        row["column_name"] = plain(column) if column in RESPONSE_TYPES else column
        row["tone"] = residual_tone(row["residual"])
    return rows


def _heat(cells: pa.Table, ranked: Sequence[Row], names: Names, title: str) -> Markup:
    """Rows and columns of the strongest pairs, ordered so that these are near the diagonal."""
    lines, columns = _choose(ranked)
    if not lines:
        return Markup("")
    chosen = pc.field("row").isin(lines) & pc.field("column").isin(columns)
    shown = _named(cells.filter(chosen), names)
    row_names = {row["row"]: row["row_name"] for row in shown}
    column_names = {row["column"]: row["column_name"] for row in shown}
    return heat_map(
        [row_names[line] for line in lines],
        [column_names[column] for column in columns],
        {
            (lines.index(row["row"]), columns.index(row["column"])): Cell(
                row["residual"], row["significant"], _sentence(row)
            )
            for row in shown
        },
        label=f"Residuals, {title}; the strongest are in the lists below",
        kinds=(f"{ranked[0]['row_facet']} {ranked[0]['level']}", ranked[0]["column_facet"]),
    )


def _choose(ranked: Sequence[Row]) -> tuple[list[str], list[str]]:
    """Rows and columns of the strongest positive cells, up to the size limits."""
    most = HEAT_CLUSTERS if ranked and ranked[0]["level"] else HEAT_ROWS
    best: dict[str, str] = {}
    columns: list[str] = []
    for cell in ranked:
        new_row, new_column = cell["row"] not in best, cell["column"] not in columns
        if len(best) + new_row <= most and len(columns) + new_column <= HEAT_COLUMNS:
            best.setdefault(cell["row"], cell["column"])
            columns += [cell["column"]] * new_column
    if set(columns) <= set(RESPONSE_TYPES):
        columns.sort(key=RESPONSE_TYPES.index)
    return sorted(best, key=lambda row: columns.index(best[row])), columns


def _sentence(row: Row) -> str:
    """What a cell is made of; its names are those of its row and column."""
    if row["residual"] is None:
        return plain(row["reason"] or "not computed")
    return f"observed {row['observed']:,}, expected {row['expected'] or 0:,.1f}"
