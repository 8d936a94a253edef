"""The two released tables, in the columns and number formats of the paper's data set (4).

Only AI values with enough support are released, and only cells of allow-listed characters. Nothing
is escaped or repaired, so no cell can start a formula or contain hidden characters or injected
text. Withheld labels are counted by reason.

The tree is recounted from the released leaves. Therefore a withheld label cannot be inferred by
subtracting the released leaves from their group.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vitw_ray.alphabet import CLUSTER_NAME, LABEL

FREQUENCIES_COLUMNS = ("value", "pct_convos")
TREE_COLUMNS = (
    "cluster_id",
    "description",
    "name",
    "level",
    "parent_cluster_id",
    "pct_total_occurrences",
)
DECIMALS = 3  # as published
FACET = "ai_values"  # the one facet that the paper released

MAX_NAME = 80  # ours: the published names have 48 characters at most
_LABEL = re.compile(LABEL)
_NAME = re.compile(CLUSTER_NAME)
# the published descriptions have 522 characters at most, all of this class
DESCRIPTION = re.compile(r"([A-Za-z][A-Za-z0-9 '(),.;:&/\-]{0,599})?")
CLUSTER_ID = re.compile(r"[a-z][A-Za-z0-9:_\-]{0,99}")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ReleaseTable:
    """A table to write: CSV text with Unix line ends, its rows, and counts of withheld labels.

    `withheld` counts labels by reason: `support` (too few conversations or accounts), `alphabet`
    (not of the form `LABEL`), `no_place` (in no group of the tree). For the tree it also counts
    `group_text`: groups whose name was replaced by the id, or whose description was left empty,
    because of characters outside the allow-list.
    """

    text: str
    rows: int
    withheld: Mapping[str, int]


def values_frequencies(tables: Mapping[str, pa.Table]) -> ReleaseTable:
    """`labels` as `value,pct_convos`: percent of subjective conversations, 3 decimals.

    Sorted by the rounded number, descending, then by label: the order adds no information to the
    cells.
    """
    released, withheld = _released(tables)
    rows = [(label, _pct(100 * row["share"])) for label, row in released.items()]
    rows.sort(key=lambda row: (-row[1], row[0]))
    return ReleaseTable(csv_text(FREQUENCIES_COLUMNS, rows), len(rows), withheld)


def values_tree(tables: Mapping[str, pa.Table]) -> ReleaseTable:
    """`taxonomy` in the published format: the id of a leaf is its name, its description is empty.

    `pct_total_occurrences` is the percentage of the released (label, conversation) pairs under a
    node; the top level sums to 100. Groups without a released leaf are left out. Rows are sorted by
    level from the leaves up, then by parent, then by name.
    """
    released, withheld = _released(tables)
    mine = tables["taxonomy"].filter(pc.field("facet") == FACET).to_pylist()
    groups = {row["cluster_id"]: row for row in mine if row["level"] > 0}
    home = {row["name"]: row["parent_cluster_id"] for row in mine if row["level"] == 0}
    placed = [label for label in released if home.get(label) in groups]
    withheld["no_place"] = len(released) - len(placed)

    pairs: Counter[str] = Counter()
    for label in placed:
        for cluster_id in _ancestors(home[label], groups):
            pairs[cluster_id] += released[label]["conversations"]
    total = sum(released[label]["conversations"] for label in placed)

    rows = [
        (label, "", label, 0, home[label], _pct(100 * released[label]["conversations"] / total))
        for label in placed
    ]
    for cluster_id in pairs:
        group = groups[cluster_id]
        if not CLUSTER_ID.fullmatch(cluster_id):
            raise ValueError("a cluster id of the taxonomy has characters outside the allow-list")
        name, description = _group_text(group)
        withheld["group_text"] += (name, description) != (group["name"], group["description"])
        parent = group["parent_cluster_id"] or ""
        pct = _pct(100 * pairs[cluster_id] / total)
        rows.append((cluster_id, description, name, group["level"], parent, pct))
    rows.sort(key=lambda row: (row[3], row[4], row[2], row[0]))
    return ReleaseTable(csv_text(TREE_COLUMNS, rows), len(rows), withheld)


def _released(tables: Mapping[str, pa.Table]) -> tuple[dict[str, Row], Counter[str]]:
    """Rows of the releasable AI values by label, and counts of the withheld ones by reason."""
    released: dict[str, Row] = {}
    withheld: Counter[str] = Counter()
    mine = tables["labels"].filter(pc.field("facet") == FACET)
    kept = mine.filter(pc.field("kept"))
    withheld["support"] = mine.num_rows - kept.num_rows
    for row in kept.to_pylist():
        if not _LABEL.fullmatch(row["label"]):
            withheld["alphabet"] += 1
        else:
            released[row["label"]] = row
    return released, withheld


def _ancestors(cluster_id: str | None, groups: Mapping[str, Row]) -> Iterable[str]:
    while cluster_id is not None:
        yield cluster_id
        cluster_id = groups[cluster_id]["parent_cluster_id"]


def _group_text(group: Row) -> tuple[str, str]:
    name, description = group["name"], group["description"]
    return (
        name if len(name) <= MAX_NAME and _NAME.fullmatch(name) else group["cluster_id"],
        description if DESCRIPTION.fullmatch(description) else "",
    )


def _pct(percent: float) -> float:
    return round(percent, DECIMALS)


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Rows as the published files have them."""
    # the published files end lines with \n, quote only cells with a comma, and print numbers
    # without trailing zeros (16.58, 1.0), as Python's repr does
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
