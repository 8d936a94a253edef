"""The nodes that have a card: labels, clusters, tasks, assistants and response types."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vitw_ray.facets import RESPONSE_TYPES
from vitw_ray.inert import inert

ASSISTANTS, TYPES = "models", "response_types"
FACETS = ("ai_values", "human_values", "tasks", TYPES, ASSISTANTS)
"""Facets of nodes, in their order; what a row of `associations` is comes first."""
Codes = NDArray[np.int64]


class Group(NamedTuple):
    """Nodes of one facet and level, that stand together."""

    facet: str
    level: int
    size: int


@dataclass
class Nodes:
    """All nodes in one order: by facet, then from the top of the tree down, then the largest first.

    `parents` are places, -1 on the top. `conversations` are those of `labels` for a label, of
    `taxonomy` for a cluster.
    """

    groups: list[Group] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    conversations: list[int] = field(default_factory=list)
    accounts: list[int | None] = field(default_factory=list)
    places: dict[tuple[str, str], int] = field(default_factory=dict)
    """(facet, name or id as the tables have it) -> place."""

    def codes(self, facet: str, column: pa.ChunkedArray) -> Codes:
        """Place of each entry of a column, -1 where there is none."""
        encoded = pc.call_function("dictionary_encode", [column.combine_chunks()])
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.combine_chunks()
        lookup = [self.places.get((facet, name), -1) for name in encoded.dictionary.to_pylist()]
        found = encoded.indices.fill_null(len(lookup)).to_numpy(zero_copy_only=False)
        return np.array([*lookup, -1], np.int64)[found]

    def range_of(self, facet: str) -> tuple[int, int]:
        """First place of a facet, and the place after its last."""
        before = FACETS[: FACETS.index(facet)]
        first = sum(group.size for group in self.groups if group.facet in before)
        return first, first + sum(group.size for group in self.groups if group.facet == facet)


def nodes_of(
    labels: pa.Table, taxonomy: Sequence[Mapping[str, Any]], others: Mapping[str, Mapping[str, int]]
) -> Nodes:
    """The nodes of a run; `others` are names with their conversations, of facets without a tree."""
    found = Nodes()
    kept = labels.filter(pc.field("kept")).to_pylist()
    for facet in ("ai_values", "human_values", "tasks"):
        tree = [row for row in taxonomy if row["facet"] == facet]
        for level in sorted({row["level"] for row in tree if row["level"] > 0}, reverse=True):
            _add(found, facet, level, [row for row in tree if row["level"] == level])
        above = {row["name"]: row for row in tree if row["level"] == 0}
        mine = [row for row in kept if row["facet"] == facet]
        if mine:
            _add(found, facet, 0, [_leaf(row, above.get(row["label"])) for row in mine])
    for facet in (TYPES, ASSISTANTS):
        counted = others.get(facet, {})
        rows = [{"cluster_id": n, "name": n, "conversations": c} for n, c in counted.items()]
        if rows:
            _add(found, facet, 0, rows)
    return found


def _leaf(row: Mapping[str, Any], node: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        "cluster_id": row["label"],
        "name": row["label"],
        "parent_cluster_id": node["parent_cluster_id"] if node else None,
        "conversations": row["conversations"],
        "accounts": row["accounts"],
    }


def _add(nodes: Nodes, facet: str, level: int, rows: Iterable[Mapping[str, Any]]) -> None:
    ranked = sorted(rows, key=lambda row: (-row["conversations"], row["name"], row["cluster_id"]))
    if facet == TYPES:
        ranked.sort(key=lambda row: RESPONSE_TYPES.index(row["name"]))
    nodes.groups.append(Group(facet, level, len(ranked)))
    for row in ranked:
        place = len(nodes.names)
        nodes.places[facet, row["cluster_id"]] = place
        nodes.names.append(inert(row["name"]))
        nodes.parents.append(nodes.places.get((facet, row.get("parent_cluster_id") or ""), -1))
        nodes.conversations.append(row["conversations"])
        nodes.accounts.append(row.get("accounts"))
