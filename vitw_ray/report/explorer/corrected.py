"""Shares without the reader's errors, for the cards, from `corrected`."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vitw_ray.report.explorer.compact import short
from vitw_ray.report.explorer.nodes import ASSISTANTS, Nodes

MOST_ROWS = 2_000  # ours: about 80 KB
NUMBERS = ("raw", "corrected", "low", "high")


def corrected(table: pa.Table, nodes: Nodes, most: int = MOST_ROWS) -> list[list[Any]]:
    """Node, assistant or -1 for all, `NUMBERS`, and how many conversations were reviewed.

    All assistants first, then the largest nodes. Where the sample is too small to tell, the numbers
    after `raw` are null.
    """
    mine = table.filter(pc.field("measure") == "share").to_pylist()
    lines = []
    for row in mine:
        place = nodes.places.get((row["facet"], row["label"]))
        of_all = row["over_facet"] is None
        over = -1 if of_all else nodes.places.get((ASSISTANTS, row["over"] or ""))
        if place is None or over is None or not (of_all or row["over_facet"] == ASSISTANTS):
            continue
        told = [row[name] if row["reason"] is None else None for name in NUMBERS[1:]]
        numbers = [float("nan") if n is None else n for n in (row["raw"], *told)]
        lines.append([place, over, *short(numbers), row["reviewed"]])
    lines.sort(key=lambda line: (line[1] >= 0, line[0], line[1]))
    return lines[:most]
