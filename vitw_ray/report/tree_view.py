"""The taxonomy for the page: nested nodes for the list, slabs for the icicle."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from vitw_ray.report.figures import Slab, icicle
from vitw_ray.wording import facet_noun

ICICLE_NODES = 70  # ours: with more nodes on a level, a node is lower than a line of text

Names = Mapping[tuple[str, str], str]


@dataclass(slots=True)
class Node:
    """A node of the taxonomy with its children, largest first. `share` is 0-1 of the facet."""

    name: str
    level: int
    description: str
    conversations: int
    share: float
    children: list["Node"] = field(default_factory=list)
    key: str = ""
    """Its id."""


def trees(taxonomy: Sequence[dict[str, Any]]) -> dict[str, list[Node]]:
    """The top nodes of each facet, with their descendants."""
    nodes = {
        (row["facet"], row["cluster_id"]): Node(
            row["name"],
            row["level"],
            row["description"],
            row["conversations"],
            row["pct_total_occurrences"] / 100,
            key=row["cluster_id"],
        )
        for row in taxonomy
    }
    tops: dict[str, list[Node]] = defaultdict(list)
    for row in taxonomy:
        parent = nodes.get((row["facet"], row["parent_cluster_id"]))
        siblings = tops[row["facet"]] if parent is None else parent.children
        siblings.append(nodes[row["facet"], row["cluster_id"]])
    for family in [*tops.values(), *(node.children for node in nodes.values())]:
        family.sort(key=lambda node: (-node.conversations, node.name))
    return dict(tops)


def names_of(taxonomy: Sequence[dict[str, Any]]) -> Names:
    """(facet, cluster_id) -> name."""
    return {(row["facet"], row["cluster_id"]): row["name"] for row in taxonomy}


def draw(tops: Sequence[Node], facet: str) -> Markup:
    """The clusters of a tree, from the top to the last level with at most `ICICLE_NODES` nodes.

    A child starts where the previous sibling ends, and never above its parent.
    """
    whole = sum(node.conversations for node in tops)
    slabs: list[Slab] = []
    layer = [(node, 0, tone) for tone, node in enumerate(tops)]
    depth = 0
    while whole and layer and len(layer) <= ICICLE_NODES and (depth == 0 or layer[0][0].level > 0):
        below, end = [], 0
        for node, start, tone in layer:
            at = max(start, end)
            end = at + node.conversations
            share = node.conversations / whole
            slabs.append(Slab(node.name, depth, at / whole, share, tone, f"{facet} {node.level}"))
            below += [(child, at, tone) for child in node.children]
        layer, depth = below, depth + 1
    return icicle(slabs, label=f"Taxonomy of {facet_noun(facet)}s; also in the list below")
