"""Leaves of a new run in known clusters, and the clusters that what is left is grown into."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitw_ray.config import TaxonomyConfig
from vitw_ray.taxonomy.frozen.nodes import Nodes, Used, no_nodes, unplaced_branch, used_by
from vitw_ray.taxonomy.frozen.placing import UNPLACED, Reach, place_all, reach_of
from vitw_ray.taxonomy.frozen.state import KnownClusters
from vitw_ray.taxonomy.hierarchy import (
    Parents,
    build_levels,
    level_sizes,
    most_clusters,
    nodes_of_leaves,
)
from vitw_ray.taxonomy.naming.member_naming import Named, Noun
from vitw_ray.taxonomy.quality import describe_levels
from vitw_ray.taxonomy.tree import cluster_ids
from vitw_ray.taxonomy.vectors.vector_files import EmbeddedTexts

Integers = NDArray[np.int64]
NameRows = Callable[[NDArray[np.intp], Parents, Sequence[str]], list[Named]]
"""Names of the clusters of some leaves: their indices, the cluster of each, names that are taken"""
NameAll = Callable[[Parents, Sequence[str]], list[Named]]
"""The same, of all leaves of a `Rest`"""


@dataclass(frozen=True, eq=False)
class Rest:
    """The leaves in no known cluster, in order, and what names the clusters they are grown into."""

    leaves: EmbeddedTexts
    name: NameAll


@dataclass(frozen=True, eq=False)
class Placed:
    """Leaves in known clusters, and in new ones behind them.

    Attributes:
        nodes: the known clusters, then the new ones or the branch of what is in none.
        at: (n,) level-1 node of each leaf.
        new: (n,) whether the leaf is in no known cluster.
        known: what a later run goes on from.
        first_new: per level, the number of known clusters.
        in_tree: (n,) whether the leaf itself was in the frozen tree.
    """

    nodes: Nodes
    at: NDArray[np.int32]
    new: NDArray[np.bool_]
    known: KnownClusters
    first_new: tuple[int, ...]
    in_tree: NDArray[np.bool_]

    @property
    def used(self) -> Used:
        """The tree over all leaves."""
        return used_by(self.nodes, self.at)


def place_leaves(
    known: KnownClusters | None,
    leaves: Sequence[str],
    keys: np.ndarray,
    vectors: NDArray[np.float32],
    *,
    facet: str,
    noun: Noun,
    name: NameRows | None,
    config: TaxonomyConfig,
    weights: Integers | None = None,
    id_key: bytes = b"",
) -> Placed:
    """Place leaves; what fits nowhere is one branch, or clusters of its own.

    Args:
        known: the clusters of an earlier run; None where that had none of the facet.
        leaves: (n,) texts.
        keys: (n,) what leaves are known by.
        vectors: (n, d) unit rows.
        facet: the facet.
        noun: what the leaves are, for the name of the branch.
        name: names the clusters that are grown; None: nothing is grown.
        config: seed and iterations of what is grown.
        weights: (n,) multiplicity of each leaf; default 1.
        id_key: of new cluster ids.
    """
    known = known or KnownClusters(no_nodes())
    at = place_all(keys, vectors, known.leaves, known.reach)
    rows = np.flatnonzero(at == UNPLACED)
    counts = np.ones(len(leaves), np.int64) if weights is None else weights
    rest = EmbeddedTexts([leaves[row] for row in rows.tolist()], counts[rows], vectors[rows])
    return with_the_rest(
        known,
        keys,
        at,
        None if name is None else Rest(rest, partial(name, rows)),
        facet=facet,
        noun=noun,
        config=config,
        id_key=id_key,
    )


def with_the_rest(
    known: KnownClusters,
    keys: np.ndarray,
    at: NDArray[np.int32],
    rest: Rest | None,
    *,
    facet: str,
    noun: Noun,
    config: TaxonomyConfig,
    id_key: bytes = b"",
) -> Placed:
    """Put what is in no known cluster into one branch, or into clusters of its own.

    Args:
        known: the clusters of an earlier run.
        keys: (n,) what leaves are known by.
        at: (n,) known level-1 node of each leaf, or `UNPLACED`; is changed.
        rest: what is grown into clusters; None: nothing is grown.
        facet: as for `place_leaves`, and so are the others.
        noun: what the leaves are.
        config: seed and iterations.
        id_key: of new cluster ids.
    """
    new, nodes = at == UNPLACED, known.nodes
    first_new = tuple(map(len, nodes.ids))
    in_tree = known.leaves.find(keys) != UNPLACED
    near = ~in_tree & ~new
    later = replace(known, leaves=known.leaves.with_others(keys[near], at[near]))
    if not new.any():
        return Placed(nodes, at, new, later, first_new, in_tree)
    if rest is None:
        at[new] = first_new[0]
        branch = unplaced_branch(facet, noun, nodes.height)
        return Placed(nodes.with_others(branch), at, new, later, first_new, in_tree)
    leaves = rest.leaves
    levels = build_levels(
        leaves.vectors,
        level_sizes(len(leaves.texts), None, nodes.height, most=most_clusters(facet)),
        seed=config.taxonomy_seed,
        iterations=config.kmeans_iterations,
        weights=leaves.conversations,
    )
    names = [
        rest.name(of_level, [text for text, _ in nodes.names[level]])
        for level, of_level in enumerate(nodes_of_leaves(levels))
    ]
    ids = cluster_ids(facet, leaves.texts, levels, id_key)
    grown = nodes.with_others(Nodes(ids, names, levels[1:]))
    at[new] = first_new[0] + levels[0]
    reach = reach_of(leaves.vectors, levels[0], (first_new[0] + levels[0]).astype(np.int32))
    known_leaves = known.leaves.with_others(keys[~in_tree], at[~in_tree])
    later = KnownClusters(grown, _both(known.reach, reach), known_leaves)
    return Placed(grown, at, new, later, first_new, in_tree)


def counted(placed: Placed, mentions: Integers) -> dict[str, Any]:
    """How many leaves and mentions were known, placed and in no known cluster."""
    near = ~placed.in_tree & ~placed.new
    groups = {"known": placed.in_tree, "placed": near, "unplaced": placed.new}
    found: dict[str, Any] = {
        name: {"leaves": int(mask.sum()), "mentions": int(mentions[mask].sum())}
        for name, mask in groups.items()
    }
    total = int(mentions.sum())
    found["unplaced_share"] = found["unplaced"]["mentions"] / total if total else 0.0
    return found


def placed_quality(vectors: NDArray[np.float32], levels: Sequence[Parents]) -> list[dict[str, Any]]:
    """Quality rows of the manifest; the tree is not built anew, so nothing is resampled."""
    return [row | {"resampled_agreement": None} for row in describe_levels(vectors, levels)]


def _both(one: Reach | None, other: Reach) -> Reach:
    if one is None:
        return other
    return Reach(
        np.concatenate([one.centres, other.centres]),
        np.concatenate([one.radii, other.radii]),
        np.concatenate([one.nodes, other.nodes]),
    )
