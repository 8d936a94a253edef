"""Tasks in known clusters. Every cluster that is shown passes the gate in the new run too.

Texts and vectors stay in shares of the tasks (`passes`). Only those of the unplaced tasks are read
into this process, and only if they are grown into clusters: there are usually few of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from operator import add
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vitw_ray.config import RunConfig
from vitw_ray.keys import id_hash
from vitw_ray.taxonomy.frozen.growing import NameAll, Placed, Rest, placed_quality, with_the_rest
from vitw_ray.taxonomy.frozen.nodes import Nodes, Used, after_gate, no_nodes
from vitw_ray.taxonomy.frozen.passes import (
    hash_tasks,
    measure_members,
    place_rows,
    sum_members,
    texts_of,
    vectors_of,
)
from vitw_ray.taxonomy.frozen.placing import UNPLACED, Leaves, Reach, leaves_of, left_out, measured
from vitw_ray.taxonomy.frozen.state import FrozenTree, KnownClusters
from vitw_ray.taxonomy.hierarchy import Parents
from vitw_ray.taxonomy.naming.member_naming import Named, Public, content_words, name_clusters
from vitw_ray.taxonomy.quality import sampled_leaves
from vitw_ray.taxonomy.task_passes import (
    count_clusters,
    count_words,
    passing_rows,
    support_of_rows,
)
from vitw_ray.taxonomy.task_shares import Shares, divided, places
from vitw_ray.taxonomy.task_support import Gate, Integers, SupportCounts, merge_rare
from vitw_ray.taxonomy.vectors.vector_files import EmbeddedTexts


def known_tasks(
    shares: Shares, clusters: Parents, nodes: Nodes, lowest: Parents, task_key: bytes
) -> tuple[KnownClusters, NDArray[np.bool_]]:
    """What later runs go on from, and (n,) the tasks that would be in no cluster if they were new.

    Args:
        shares: the tasks.
        clusters: (n,) the cluster of each before the gate.
        nodes: the levels after it.
        lowest: the level-1 node of each of these clusters.
        task_key: of the hashes by which tasks are known.
    """
    counts = np.bincount(clusters)
    of_shares = divided(shares, clusters)
    sums = reduce(add, shares.run(sum_members, [(one, len(counts)) for one in of_shares]))
    arguments = [(one, sums, counts) for one in of_shares]
    distances = np.concatenate([*shares.run(measure_members, arguments)])
    reach = measured(sums, counts, distances, clusters, lowest[clusters])
    keys = _hashes(shares, task_key)
    known = KnownClusters(nodes, reach, leaves_of(keys, lowest[clusters]))
    return known, left_out(distances, clusters, reach)


def _hashes(shares: Shares, task_key: bytes) -> np.ndarray:
    return np.concatenate([*shares.run(hash_tasks, [(task_key,)] * len(shares.loads))])


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
    config: RunConfig,
    tree: FrozenTree,
    shares: Shares,
    conversations: Integers,
    gate: Gate,
    id_key: bytes,
) -> PlacedTasks:
    """Place all tasks of a run; see `PlacedTasks`.

    Args:
        config: of the run.
        tree: where tasks are placed.
        shares: the tasks.
        conversations: (n,) of each.
        gate: what may be shown.
        id_key: of new cluster ids.
    """
    known = tree.of_tasks or KnownClusters(no_nodes())
    keys = _hashes(shares, tree.task_key)
    at = _placed_at(shares, keys, known)
    grow = config.taxonomy.grow_unplaced and bool((at == UNPLACED).any())
    rest = _Read.of(shares, np.flatnonzero(at == UNPLACED)) if grow else None
    support = SupportCounts.sum(
        [*shares.run(count_clusters, [(one, gate.most) for one in divided(shares, at)])], gate.most
    )
    placed = with_the_rest(
        known,
        keys,
        at,
        None if rest is None else Rest(rest.tasks, rest.namer(shares, gate)),
        facet="tasks",
        noun="tasks",
        config=config.taxonomy,
        id_key=id_key,
    )
    shown = UNPLACED in support.passing(gate)
    inside = ~placed.new | shown
    support = _of_nodes(support, placed, rest, gate, shown=shown)
    used = _gated(placed, inside, support, gate, id_key)
    later = placed.known if used is not None else known
    if rest is not None and used is not None:
        later = without_hidden(later, placed.first_new, used)
    cells = np.where(placed.new, UNPLACED, placed.nodes.tops[placed.at]).astype(np.int32)
    quality = _quality(shares, inside, used)
    details = _details(conversations, placed, inside, shown=shown)
    return PlacedTasks(inside, used, later, cells, quality, details)


def _placed_at(shares: Shares, keys: np.ndarray, known: KnownClusters) -> NDArray[np.int32]:
    """(n,) level-1 node of each task, or `UNPLACED`: its old one, else that of the nearest centre.

    As `placing.place_all`, where the vectors are.
    """
    at = known.leaves.find(keys)
    new = np.flatnonzero(at == UNPLACED)
    if known.reach is not None and len(new):
        arguments = [(rows, known.reach) for rows in places(shares, new)]
        at[new] = np.concatenate([*shares.run(place_rows, arguments)])
    return at


@dataclass(frozen=True, eq=False)
class _Read:
    """The tasks in no known cluster, for clusters of their own: read into this process."""

    table: pa.Table
    vectors: NDArray[np.float32]

    @classmethod
    def of(cls, shares: Shares, rows: Integers) -> "_Read":
        arguments = [(cut,) for cut in places(shares, rows)]
        tables = [one for found in shares.run(texts_of, arguments) for one in found]
        vectors = [one for found in shares.run(vectors_of, arguments) for one in found]
        return cls(pa.concat_tables(tables), np.concatenate(vectors))

    @cached_property
    def tasks(self) -> EmbeddedTexts:
        conversations = self.table["conversations"].to_numpy()
        return EmbeddedTexts(self.table["text"].to_pylist(), conversations, self.vectors)

    def namer(self, shares: Shares, gate: Gate) -> NameAll:
        """Names clusters by phrases and words that pass the gate in the whole run."""
        tasks, public = self.tasks, self._public(shares, gate)

        def name(clusters: Parents, taken: Sequence[str]) -> list[Named]:
            return name_clusters(
                tasks.texts,
                tasks.vectors,
                tasks.conversations,
                clusters,
                noun="tasks",
                min_conversations=gate.thresholds.min_conversations,
                taken=taken,
                public=public,
            )

        return name

    def _public(self, shares: Shares, gate: Gate) -> Public:
        counts = [*shares.run(count_words, [(gate.most,)] * len(shares.loads))]
        passing = set(SupportCounts.sum(counts, gate.most).passing(gate).tolist())
        words = {word for text in self.tasks.texts for word in content_words(text)}
        return Public(
            {self.tasks.texts[row] for row in passing_rows(self.table, gate)},
            {word for word in words if id_hash(word) in passing},
        )


def _of_nodes(
    support: SupportCounts, placed: Placed, rest: _Read | None, gate: Gate, *, shown: bool
) -> SupportCounts:
    """The support of the nodes in which tasks are, those with new tasks only if they are shown."""
    known = support.without(UNPLACED)
    if not shown:
        return known
    if rest is not None:
        grown = support_of_rows(rest.table, placed.at[placed.new], gate.most)
        return SupportCounts.sum([known, grown], gate.most)
    branch = placed.first_new[0]
    keys, owners = (np.where(n == UNPLACED, branch, n) for n in (support.keys, support.owners))
    return SupportCounts.of(keys, support.conversations, owners, support.people, gate.most)


def _gated(
    placed: Placed, inside: NDArray[np.bool_], support: SupportCounts, gate: Gate, id_key: bytes
) -> Used | None:
    if not inside.any():
        return None
    used = replace(placed, at=placed.at[inside]).used
    gated = merge_rare(used.levels[1:], support.numbered(), gate)
    return None if gated is None else after_gate(used, gated, "tasks", id_key)


def _quality(shares: Shares, inside: NDArray[np.bool_], used: Used | None) -> list[dict[str, Any]]:
    if used is None:
        return []
    rows = np.flatnonzero(inside)
    sample = places(shares, rows[sampled_leaves(len(rows))])
    vectors = [one for of in shares.run(vectors_of, [(cut,) for cut in sample]) for one in of]
    return placed_quality(np.concatenate(vectors), used.levels)


def _details(
    conversations: Integers, placed: Placed, inside: NDArray[np.bool_], *, shown: bool
) -> dict[str, Any]:
    total, unplaced = int(conversations[inside].sum()), int(conversations[placed.new].sum())
    return {
        "mentions": total,
        "unplaced": {"mentions": unplaced if shown or not unplaced else None},
        "unplaced_share": unplaced / total if shown and total else (None if unplaced else 0.0),
    }


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
