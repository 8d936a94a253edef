"""Levels of the taxonomy: how many clusters on each, and which cluster lies under which.

In: one unit vector per label (or task text). Out: for each level, the parent of every node of the
level below. Level 0 is the labels; each further level is a weighted k-means on the centres of the
level under it (paper, 1.5: k-means applied level by level), so that clusters nest by construction.
"""

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vitw_ray.taxonomy.kmeans import kmeans
from vitw_ray.taxonomy.shards import ArrayShard

Parents = NDArray[np.int32]
"""(nodes below,) number of each node's parent, from 0 without gaps."""

LEVELS = 3  # paper, 1.5: 266, 26 and 5 clusters over 3,307 values
TOP = 5  # paper, 1.5
STARTS_ABOVE = 10  # ours: centres are few, and with one start the top level hung on the seed


def level_sizes(
    n_leaves: int, configured: tuple[int, ...] | None, levels: int = LEVELS, top: int = TOP
) -> tuple[int, ...]:
    """Clusters on each level from 1 up, for so many leaves.

    Configured sizes stand when they fall from level to level and the first is at most `n_leaves`.
    Otherwise every level is smaller than the one below by one ratio (Clio, 5.1:
    (n_top / n_base) ** (1 / (L - 1)), the leaves being the base), and never larger than configured.
    The number of levels stays whatever the input, so that tables of small and large runs have the
    same shape: three labels give (2, 1, 1), and a level may repeat the one below.

    Returns:
        Sizes that never rise, from at most `n_leaves` down to at least 1; empty without leaves.
    """
    if n_leaves == 0:
        return ()
    if configured and _fits(n_leaves, configured):
        return configured
    if configured:
        levels, top = len(configured), max(configured[-1], 1)
    top = min(top, max(1, n_leaves // 2**levels))  # of few leaves, each level still makes half
    ratio = (top / n_leaves) ** (1 / levels)
    sizes = [max(1, round(n_leaves * ratio**level)) for level in range(1, levels + 1)]
    limits = accumulate(configured or sizes, min)
    return tuple(min(size, max(limit, 1)) for size, limit in zip(sizes, limits, strict=True))


def _fits(n_leaves: int, sizes: tuple[int, ...]) -> bool:
    return n_leaves >= sizes[0] and sizes[-1] >= 1 and all(np.diff(sizes) < 0)


def build_levels(
    vectors: NDArray[np.float32],
    sizes: Sequence[int],
    *,
    seed: int,
    iterations: int,
    weights: ArrayLike | None = None,
) -> list[Parents]:
    """Cluster the leaves, then the centres of their clusters, and so on to the top.

    Args:
        vectors: (n, d) unit rows, one per leaf.
        sizes: clusters on each level from 1 up, as `level_sizes` gives them.
        seed: of every k-means start.
        iterations: Lloyd iterations at most, on each level.
        weights: (n,) positive integers, how many times a leaf counts; default once. A centre
            weighs as much as the leaves under it.

    Returns:
        One array per level. No cluster is empty: where leaves coincide, a level has fewer nodes
        than its size says.
    """
    weight = np.ones(len(vectors), np.int64) if weights is None else np.asarray(weights, np.int64)
    levels: list[Parents] = []
    for size in sizes:
        shard = ArrayShard(vectors, weight)
        k, starts = min(size, shard.count()), STARTS_ABOVE if levels else 1
        found = min(
            (kmeans([shard], k, iterations=iterations, seed=seed + i) for i in range(starts)),
            key=lambda result: result.objective[-1],
        )
        filled, parents = np.unique(found.labels, return_inverse=True)
        levels.append(parents.astype(np.int32))
        vectors, weight = found.centroids[filled], found.counts[filled]
    return levels


def nodes_of_leaves(levels: Sequence[Parents]) -> list[Parents]:
    """For each level, the node above every leaf: `levels` composed from the bottom up."""
    above: list[Parents] = []
    for parents in levels:
        above.append(parents[above[-1]] if above else parents)
    return above
