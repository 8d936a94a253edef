"""Levels of the taxonomy: the number of clusters on each level, and the parent of each cluster.

In: one unit vector per label (or task text). Out: for each level, the parent of every node of the
level below. Level 0 is the labels. The paper applies k-means level by level (1.5): centroids of
centroids lose information about the leaves, and the tree depends on the random start. Here many
k-means runs on the leaves, from coarse to fine, give a similarity of leaves (`consensus`), and each
level merges nodes of the level below by it (`agglomerate`). Clusters are nested by construction and
do not depend on a single start.
"""

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vitw_ray.config import TaxonomyConfig
from vitw_ray.facets import BY_NAME
from vitw_ray.taxonomy.agglomerate import agglomerate
from vitw_ray.taxonomy.consensus import cluster_often, smooth, together
from vitw_ray.taxonomy.kmeans.grid import Rows, to_grid
from vitw_ray.taxonomy.kmeans.shards import ArrayShard, Shard
from vitw_ray.taxonomy.kmeans.two_level import two_level_kmeans

Parents = NDArray[np.int32]
"""(nodes below,) number of each node's parent, from 0 without gaps."""

LEVELS = 3  # paper, 1.5: 266, 26 and 5 clusters over 3,307 values
TOP = 5  # paper, 1.5
NODES = 4096  # ours: one float64 for each pair takes 134 MB
LEVEL_1_CLUSTERS = 16_384  # ours: cap where sizes are not configured; 900,000 leaves have so many
LEVEL_1_TASKS = 512  # ours: each is a column of the tables of stage 5, beside thousands of values
NEIGHBOURS = 10  # paper, 1.5: the median number of leaves of its clusters
FINEST = 1.25  # ours: largest k as a multiple of level 1; above, runs only split off border leaves


def level_sizes(
    n_leaves: int,
    configured: tuple[int, ...] | None,
    levels: int = LEVELS,
    top: int = TOP,
    most: int = LEVEL_1_CLUSTERS,
) -> tuple[int, ...]:
    """Number of clusters on each level from 1 up, given the number of leaves.

    Configured sizes are used if they decrease strictly and the first is at most `n_leaves`.
    Otherwise the sizes decrease by a constant ratio (Clio, 5.1: (n_top / n_base) ** (1 / (L - 1)),
    the leaves being the base), and never exceed the configured sizes. The number of levels does not
    depend on the input, so that tables of small and large runs have the same shape: three labels
    give (2, 1, 1), and a level may repeat the one below. Sizes by ratio are at most
    `most`, so that what is held for each cluster does not grow with the input.

    Returns:
        Non-increasing sizes between 1 and `n_leaves`; empty without leaves.
    """
    if n_leaves == 0:
        return ()
    if configured and _fits(n_leaves, configured):
        return configured
    if configured:
        levels, top = len(configured), max(configured[-1], 1)
    top = min(top, max(1, n_leaves // 2**levels))  # if leaves are few, each level halves them
    ratio = (top / n_leaves) ** (1 / levels)
    sizes = [max(1, round(n_leaves * ratio**level)) for level in range(1, levels + 1)]
    limits = accumulate(configured or (most,) * levels, min)
    return tuple(min(size, max(limit, 1)) for size, limit in zip(sizes, limits, strict=True))


def _fits(n_leaves: int, sizes: tuple[int, ...]) -> bool:
    return n_leaves >= sizes[0] and sizes[-1] >= 1 and all(np.diff(sizes) < 0)


def build_levels(
    vectors: NDArray[np.float32] | None,
    sizes: Sequence[int],
    *,
    seed: int,
    iterations: int,
    weights: ArrayLike | None = None,
    shards: Sequence[Shard] | None = None,
) -> list[Parents]:
    """Cluster the leaves, then their clusters, and so on to the top.

    Up to `NODES` leaves are used as nodes directly. With more leaves, each level larger than
    `NODES` is one k-means; a further k-means then gives the `NODES` nodes for all other levels.

    Args:
        vectors: (n, d) unit rows, one per leaf; None: those of the shards.
        sizes: clusters on each level from 1 up, as returned by `level_sizes`.
        seed: of all random choices.
        iterations: limit on refinement iterations of each k-means on more than `NODES` points.
        weights: (n,) positive integers, multiplicity of each leaf; default 1.
        shards: rows and weights in other memory, where there are no vectors. The result is the
            same.

    Returns:
        One array per level. No cluster is empty: if leaves coincide, a level has at most as many
        nodes as there are distinct leaves.

    Raises:
        ValueError: a vector has a number that is not finite.
    """
    points = None if vectors is None else _checked(vectors)
    count = sum(shard.count() for shard in shards or ()) if points is None else len(points)
    weight = np.ones(count, np.int64) if weights is None else np.asarray(weights, np.int64)
    levels: list[Parents] = []

    def segment(size: int) -> tuple[Rows, NDArray[np.int64], Parents]:
        rows = [ArrayShard(points, weight)] if points is not None else shards or ()
        return _segment(rows, size, seed=seed, iterations=iterations)

    for size in sizes:
        if size <= NODES:
            break
        points, weight, parents = segment(size)
        levels.append(parents)
    rest = sizes[len(levels) :]
    if not rest:
        return levels
    if len(weight) > NODES:
        points, weight, node = segment(NODES)
    else:
        if points is None:
            every = [np.arange(shard.count()) for shard in shards or ()]
            points = np.concatenate([s.sample(r) for s, r in zip(shards or (), every, strict=True)])
        points, weight, node = _distinct(points, weight)
    found = _levels_of_nodes(points, weight, rest, seed)
    return [*levels, found[0][node], *found[1:]]


def _checked(vectors: NDArray[np.float32]) -> Rows:
    if broken := int((~np.isfinite(vectors)).any(axis=1).sum()):
        raise ValueError(f"{broken} of {len(vectors)} vectors are not finite: check the embedder")
    return to_grid(vectors)


def _segment(
    shards: Sequence[Shard], k: int, *, seed: int, iterations: int
) -> tuple[Rows, NDArray[np.int64], Parents]:
    """Centroids of at most k clusters, their weights, and the cluster of each point."""
    found = two_level_kmeans(shards, k, iterations=iterations, seed=seed)
    filled, parents = np.unique(found.labels, return_inverse=True)
    return found.centroids[filled], found.counts[filled], parents.astype(np.int32)


def _distinct(points: Rows, weight: NDArray[np.int64]) -> tuple[Rows, NDArray[np.int64], Parents]:
    """The distinct points, sorted, their weights, and the index of each point among them."""
    distinct, which = np.unique(points, axis=0, return_inverse=True)
    sums = np.bincount(which, weight).astype(np.int64)
    return distinct, sums, which.astype(np.int32)


def _levels_of_nodes(
    points: Rows, weight: NDArray[np.int64], sizes: Sequence[int], seed: int
) -> list[Parents]:
    """Levels over at most `NODES` distinct nodes, each merged from the level below."""
    n = len(points)
    bottom = min(sizes[0], n)
    # More neighbours than an average cluster has would include rows of other clusters.
    smoothed = smooth(points, min(NEIGHBOURS, n // bottom - 1))
    coarsest, finest = max(2, min(sizes[-1], TOP)), round(FINEST * bottom)
    runs = cluster_often(smoothed, weight, coarsest, finest, seed=seed)
    levels: list[Parents] = []
    above = np.arange(n, dtype=np.int32)
    for size in sizes:
        below = np.bincount(above, weight).astype(np.int64)
        # Runs with more clusters than there are nodes below say little about which nodes to merge.
        coarse = [run for run in runs if run.k <= len(below)] or runs
        similarity = together(coarse, above, weight)
        levels.append(agglomerate(similarity, below, min(size, len(below))))
        above = levels[-1][above]
    return levels


def nodes_of_leaves(levels: Sequence[Parents]) -> list[Parents]:
    """For each level, the ancestor of every leaf: `levels` composed from the bottom up."""
    above: list[Parents] = []
    for parents in levels:
        above.append(parents[above[-1]] if above else parents)
    return above


def most_clusters(facet: str) -> int:
    """Clusters on level 1 of a facet, where sizes are not configured."""
    return LEVEL_1_TASKS if facet == "tasks" else LEVEL_1_CLUSTERS


def configured_sizes(config: TaxonomyConfig, facet: str) -> tuple[int, ...] | None:
    """Configured number of clusters on each level of a facet, from 1 up; None if not set."""
    levels = BY_NAME[facet].levels
    return getattr(config, levels) if levels else None
