"""Tasks in known clusters. Every cluster that is shown passes the gate in the new run too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitw_ray.config import RunConfig
from vitw_ray.gate import may_be_shown
from vitw_ray.taxonomy.frozen.growing import Placed, place_leaves, placed_quality
from vitw_ray.taxonomy.frozen.nodes import Nodes, Used, after_gate
from vitw_ray.taxonomy.frozen.placing import UNPLACED, Leaves, Reach
from vitw_ray.taxonomy.frozen.state import FrozenTree, KnownClusters
from vitw_ray.taxonomy.hierarchy import Parents
from vitw_ray.taxonomy.naming.member_naming import Named, Public, name_clusters
from vitw_ray.taxonomy.task_support import TaskSupport, merge_rare
from vitw_ray.taxonomy.vectors.vector_files import EmbeddedTexts


@dataclass(frozen=True)
class PlacedTasks:
    """Tasks in clusters.

    Attributes:
        inside: (n,) whether a task is in the tree; what is in no known cluster is not, if it may
            not be shown.
        used: the tree over those inside; None if it may not be shown.
        known: what a later run goes on from.
        cells: (n,) cluster of the top level of the frozen tree, or `UNPLACED`.
        quality: rows of the manifest.
        details: counts for the manifest; null where they may not be shown.
    """

    inside: NDArray[np.bool_]
    used: Used | None
    known: KnownClusters
    cells: NDArray[np.int32]
    quality: Sequence[Mapping[str, Any]]
    details: Mapping[str, Any]


def place_tasks(
    config: RunConfig, tree: FrozenTree, tasks: EmbeddedTexts, support: TaskSupport, id_key: bytes
) -> PlacedTasks:
    """Place all tasks of a run; see `PlacedTasks`."""
    public = Public(support.phrases, support.words)

    def name(rows: NDArray[np.intp], clusters: Parents, taken: Sequence[str]) -> list[Named]:
        return name_clusters(
            [tasks.texts[row] for row in rows.tolist()],
            tasks.vectors[rows],
            tasks.conversations[rows],
            clusters,
            noun="tasks",
            min_conversations=config.labels.min_conversations,
            taken=taken,
            public=public,
        )

    placed = place_leaves(
        tree.facets.get("tasks"),
        tasks.texts,
        tree.task_hashes(tasks.texts),
        tasks.vectors,
        facet="tasks",
        noun="tasks",
        name=name if config.taxonomy.grow_unplaced else None,
        config=config.taxonomy,
        weights=tasks.conversations,
        id_key=id_key,
    )
    shown = _passes(support, placed.new)
    inside = ~placed.new | shown
    used = _gated(placed, inside, support.only(inside), id_key)
    levels = [] if used is None else used.levels
    known = placed.known if used is not None else tree.facets.get("tasks", placed.known)
    if config.taxonomy.grow_unplaced and used is not None:
        known = without_hidden(known, placed.first_new, used)
    total = int(tasks.conversations[inside].sum())
    unplaced = int(tasks.conversations[placed.new].sum())
    details = {
        "mentions": total,
        "unplaced": {"mentions": unplaced if shown or not unplaced else None},
        "unplaced_share": unplaced / total if shown and total else (None if unplaced else 0.0),
    }
    cells = np.where(placed.new, UNPLACED, placed.nodes.tops[placed.at]).astype(np.int32)
    return PlacedTasks(
        inside, used, known, cells, placed_quality(tasks.vectors[inside], levels), details
    )


def _gated(
    placed: Placed, inside: NDArray[np.bool_], support: TaskSupport, id_key: bytes
) -> Used | None:
    if not inside.any():
        return None
    used = replace(placed, at=placed.at[inside]).used
    gated = merge_rare(used.levels, support)
    return None if gated is None else after_gate(used, gated, "tasks", id_key)


def _passes(support: TaskSupport, chosen: NDArray[np.bool_]) -> bool:
    """Whether the tasks in a mask may be shown together."""
    if not chosen.any():
        return False
    conversations, accounts = support.only(chosen).of_nodes(np.zeros(int(chosen.sum()), np.int32))
    people = None if accounts is None else len(accounts[0])
    return bool(may_be_shown(conversations[0], people, support.thresholds))


def without_hidden(known: KnownClusters, first_new: Sequence[int], used: Used) -> KnownClusters:
    """Known clusters without those new ones that are not shown: no later run may show them."""
    kept: list[NDArray[np.bool_]] = []
    for level in reversed(range(known.nodes.height)):
        shown = set(used.ids[level])
        one = np.array(
            [n < first_new[level] or i in shown for n, i in enumerate(known.nodes.ids[level])], bool
        )
        if kept:
            one &= kept[-1][known.nodes.parents[level]]
        kept.append(one)
    kept.reverse()
    number = [np.where(one, np.cumsum(one) - 1, UNPLACED).astype(np.int32) for one in kept]
    nodes = Nodes(
        [[i for i, one in zip(ids, mask, strict=True) if one]
         for ids, mask in zip(known.nodes.ids, kept, strict=True)],
        [[i for i, one in zip(names, mask, strict=True) if one]
         for names, mask in zip(known.nodes.names, kept, strict=True)],
        [
            number[level + 1][parents[kept[level]]]
            for level, parents in enumerate(known.nodes.parents)
        ],
    )  # fmt: skip
    reach = known.reach
    if reach is not None:
        there = kept[0][reach.nodes]
        reach = Reach(reach.centres[there], reach.radii[there], number[0][reach.nodes[there]])
    at = number[0][known.leaves.nodes]
    there = at != UNPLACED
    return KnownClusters(nodes, reach, Leaves(known.leaves.keys[there], at[there]))
