"""Build and check the `taxonomy` table.

In: the leaves of one facet with their counts, the parents on each level, the names. Out: rows of
`records.TAXONOMY` in the published form (paper, 4): a label's id is the label, a cluster's id is
`<facet>:l<level>:<uuid>`, the top has no parent, and shares are percent of all (label,
conversation) pairs of the facet.
"""

import hmac
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vitw_ray.facets import LABEL_TREES
from vitw_ray.records import TAXONOMY
from vitw_ray.taxonomy.hierarchy import Parents, nodes_of_leaves
from vitw_ray.taxonomy.naming.member_naming import MAX_NAME_WORDS, is_name
from vitw_ray.trees import nodes_of_facet

PCT_TOLERANCE = 1e-6  # ours: far above the rounding error of a few thousand float64 shares


def cluster_id(facet: str, level: int, members: Iterable[str], key: bytes = b"") -> str:
    """`<facet>:l<level>:<uuid>`; the UUID is a hash of the sorted leaves under the cluster.

    The same members give the same id in every run. With a `key`, nobody without it can test a guess
    of the members, which may be private texts.
    """
    digest = MemberDigest(key)
    for member in sorted(members):
        digest.add(member.encode())
    return digest.cluster_id(facet, level)


class MemberDigest:
    """The hash of a cluster's leaves, which are added one by one, sorted."""

    def __init__(self, key: bytes = b"") -> None:
        self._hash, self._before = hmac.new(key, digestmod="sha256"), b""

    def add(self, member: bytes) -> None:
        """Add a leaf, in UTF-8."""
        self._hash.update(self._before + member)
        self._before = b"\n"

    def cluster_id(self, facet: str, level: int) -> str:
        """The id of a cluster with these leaves; see `cluster_id`."""
        return f"{facet}:l{level}:{uuid.UUID(bytes=self._hash.digest()[:16], version=4)}"


def build_tree(
    facet: str,
    labels: Sequence[str],
    conversations: NDArray[np.int64],
    levels: Sequence[Parents],
    names: Sequence[Sequence[tuple[str, str]]],
    *,
    key: bytes = b"",
    ids: Sequence[Sequence[str]] | None = None,
) -> pa.Table:
    """All nodes of one facet, sorted by level and id.

    Args:
        facet: level 0 of a value facet is its labels; the tree of `tasks` starts at level 1.
        labels: (n,) unique leaves.
        conversations: (n,) number of conversations with each leaf.
        levels: from level 1 up, parents of the nodes below, as returned by `build_levels`.
        names: for each of these levels, (name, description) of each node.
        key: of the cluster ids; see `cluster_id`.
        ids: of the nodes of these levels; default: by their members.

    Returns:
        A table of `records.TAXONOMY`; empty without labels.
    """
    nodes = nodes_of_leaves(levels)
    ids = [list(labels), *(cluster_ids(facet, labels, levels, key) if ids is None else ids)]
    counts = [np.bincount(above, conversations).astype(np.int64) for above in nodes]
    texts = [[(label, "") for label in labels], *names]
    of_all = [conversations, *counts]
    bottom = 0 if facet in LABEL_TREES else 1
    return tree_of(facet, bottom, ids[bottom:], texts[bottom:], of_all[bottom:], levels[bottom:])


def tree_of(
    facet: str,
    bottom: int,
    ids: Sequence[Sequence[str]],
    names: Sequence[Sequence[tuple[str, str]]],
    conversations: Sequence[NDArray[np.int64]],
    levels: Sequence[Parents],
) -> pa.Table:
    """As `build_tree`, from what is known of each node.

    Args:
        facet: of the tree.
        bottom: number of the first level.
        ids: of the nodes of each level.
        names: name and description of each.
        conversations: of each.
        levels: parents of the nodes of all levels but the last.
    """
    total = int(np.sum(conversations[0])) if conversations else 0
    rows: list[dict[str, Any]] = []
    for below, level_ids in enumerate(ids):
        top = below == len(ids) - 1
        for node in sorted(range(len(level_ids)), key=level_ids.__getitem__):
            count = int(conversations[below][node])
            rows.append(
                {
                    "facet": facet,
                    "cluster_id": level_ids[node],
                    "level": bottom + below,
                    "parent_cluster_id": None if top else ids[below + 1][levels[below][node]],
                    "name": names[below][node][0],
                    "description": names[below][node][1],
                    "conversations": count,
                    "pct_total_occurrences": 100 * count / total,
                }
            )
    return pa.Table.from_pylist(rows, schema=TAXONOMY)


def cluster_ids(
    facet: str, labels: Sequence[str], levels: Sequence[Parents], key: bytes = b""
) -> list[list[str]]:
    """For each level from 1 up, the ids of its nodes by their members; see `cluster_id`."""
    found: list[list[str]] = []
    for level, nodes in enumerate(nodes_of_leaves(levels), 1):
        members: list[list[str]] = [[] for _ in range(nodes.max(initial=-1) + 1)]
        for label, node in zip(labels, nodes.tolist(), strict=True):
            members[node].append(label)
        found.append([cluster_id(facet, level, leaves, key) for leaves in members])
    return found


def check_tree(table: pa.Table) -> list[str]:
    """Problems of a taxonomy, one sentence per violated rule and facet; empty if valid.

    For each facet: ids are unique; no name is empty; a cluster's name has at most ten words in the
    allowed alphabet and differs from its siblings' names, ignoring case; levels have no gap; every
    node below the top has exactly one parent, one level up; the conversations of a node's children
    add up to its own; the shares of each level add up to 100.
    """
    broken: list[str] = []
    for facet in sorted(set(table["facet"].to_pylist())):
        broken += [
            f"{facet}: {problem}" for problem in _problems(facet, nodes_of_facet(table, facet))
        ]
    return broken


def _problems(facet: str, nodes: list[dict[str, Any]]) -> Iterator[str]:
    level_of = {node["cluster_id"]: node["level"] for node in nodes}
    if len(level_of) < len(nodes):
        yield f"{len(nodes) - len(level_of)} ids are not unique"
    if nameless := sum(not node["name"].strip() for node in nodes):
        yield f"{nameless} names are empty"
    yield from _name_problems([node for node in nodes if node["level"] > 0])
    bottom, top = 0 if facet in LABEL_TREES else 1, max(level_of.values())
    present = sorted(set(level_of.values()))
    if present != list(range(bottom, top + 1)):
        yield f"levels are {present}: expected {bottom} to {top}"
    orphans = parented_tops = 0
    for node in nodes:
        parent = node["parent_cluster_id"]
        if node["level"] == top:
            parented_tops += parent is not None
        else:
            orphans += level_of.get(parent) != node["level"] + 1
    if orphans:
        yield f"{orphans} nodes have no parent one level up"
    if parented_tops:
        yield f"{parented_tops} nodes of the top level have a parent"
    yield from _sum_problems(bottom, nodes)


def _name_problems(clusters: list[dict[str, Any]]) -> Iterator[str]:
    if odd := sum(not is_name(node["name"]) for node in clusters):
        yield f"{odd} cluster names are not plain, or have more than {MAX_NAME_WORDS} words"
    distinct = {(n["level"], n["parent_cluster_id"], n["name"].casefold()) for n in clusters}
    if duplicates := len(clusters) - len(distinct):
        yield f"{duplicates} clusters have the name of a sibling"


def _sum_problems(bottom: int, nodes: list[dict[str, Any]]) -> Iterator[str]:
    children: dict[str, int] = {}
    shares: dict[int, float] = {}
    for node in nodes:
        parent, level = node["parent_cluster_id"], node["level"]
        children[parent] = children.get(parent, 0) + node["conversations"]
        shares[level] = shares.get(level, 0.0) + node["pct_total_occurrences"]
    for node in nodes:
        found = children.get(node["cluster_id"])
        if node["level"] > bottom and found != node["conversations"]:
            yield f"{node['cluster_id']}: {node['conversations']} conversations, children {found}"
    for level, pct in sorted(shares.items()):
        if not abs(pct - 100) <= PCT_TOLERANCE:
            yield f"shares of level {level} add up to {pct:.6f}, not 100"
