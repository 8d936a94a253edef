"""Quality of a tree from its structure and vectors, and agreement of two trees.

No reference tree is needed. Agreement takes any two clusterings of the same leaves, so a benchmark
can pass a human-made one.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array

from vitw_ray.taxonomy.hierarchy import Parents, nodes_of_leaves

MANY_LEAVES = 4096  # ours: for more leaves, pairwise distances and a second tree take too long
KEPT_SHARE = 0.9  # ours: about the change that another week of conversations makes


def describe_levels(
    vectors: NDArray[np.float32], levels: Sequence[Parents]
) -> list[dict[str, Any]]:
    """One row per level, from 1 up: number, sizes and separation of clusters.

    Args:
        vectors: (n, d) unit rows, one per leaf, or those of `sampled_leaves`.
        levels: as returned by `build_levels`.

    Returns:
        Per level: `clusters`; `leaves`, the minimum, median and maximum under one cluster;
        `singletons`, the number of clusters of one leaf; `largest_share`, the share of all leaves
        in the largest cluster; `silhouette`, see `silhouette`.
    """
    rows = []
    for level, nodes in enumerate(nodes_of_leaves(levels), 1):
        sizes = np.bincount(nodes)
        rows.append(
            {
                "level": level,
                "clusters": len(sizes),
                "leaves": [int(sizes.min()), float(np.median(sizes)), int(sizes.max())],
                "singletons": int((sizes == 1).sum()),
                "largest_share": round(float(sizes.max() / sizes.sum()), 4),
                "silhouette": silhouette(vectors, nodes),
            }
        )
    return rows


def resampled_agreement(
    levels: Sequence[Parents],
    grow: Callable[[NDArray[np.bool_]], Sequence[Parents]],
) -> list[float | None]:
    """Stability of the tree: its agreement with a tree built from nine tenths of its leaves.

    Args:
        levels: as returned by `build_levels` for all leaves.
        grow: builds the levels over the leaves in a mask (n,), in the same way.

    Returns:
        Adjusted Rand index of the two trees over the common leaves, per level, to four decimals;
        None if there are more than `MANY_LEAVES` leaves (too expensive) or fewer than two.
    """
    n = len(levels[0]) if levels else 0
    if not 2 <= n <= MANY_LEAVES:
        return [None] * len(levels)
    from sklearn.metrics import adjusted_rand_score  # heavy: only where it is needed

    kept = np.random.default_rng(0).permutation(n) < max(1, round(KEPT_SHARE * n))
    pairs = zip(nodes_of_leaves(levels), nodes_of_leaves(grow(kept)), strict=True)
    return [round(float(adjusted_rand_score(one[kept], other)), 4) for one, other in pairs]


def sampled_leaves(leaves: int) -> NDArray[np.int64]:
    """The leaves whose vectors say how well clusters are separated: evenly spaced, or all."""
    return np.linspace(0, leaves - 1, min(leaves, MANY_LEAVES)).astype(np.int64)


def silhouette(vectors: NDArray[np.float32], nodes: Parents) -> float | None:
    """Mean silhouette of the leaves by cosine distance (Rousseeuw 1987), to four decimals.

    Computed on `sampled_leaves`, whose vectors may be given alone. None if every leaf is a cluster,
    or all leaves are one cluster.
    """
    from sklearn.metrics import silhouette_score  # heavy: only where it is needed

    chosen = sampled_leaves(len(nodes))
    rows = vectors[chosen] if len(vectors) == len(nodes) else vectors
    clusters = len(np.unique(nodes[chosen]))
    if not 1 < clusters < len(chosen):
        return None
    return round(float(silhouette_score(rows, nodes[chosen], metric="cosine")), 4)


def pairwise_f1(one: ArrayLike, other: ArrayLike) -> float:
    """F1 score of the pairs of leaves that two clusterings put in the same cluster.

    Args:
        one: (n,) cluster of each leaf.
        other: (n,) cluster of each leaf in another clustering.

    Returns:
        1 if the clusterings are equal (also if neither has a cluster of two leaves).
    """
    _, first = np.unique(one, return_inverse=True)
    _, second = np.unique(other, return_inverse=True)
    both = coo_array((np.ones(len(first), np.int64), (first, second))).tocsr().data
    together = _pairs(np.bincount(first)) + _pairs(np.bincount(second))
    return 2 * _pairs(both) / together if together else 1.0


def _pairs(sizes: ArrayLike) -> int:
    counts = np.asarray(sizes, np.int64)
    return int((counts * (counts - 1) // 2).sum())
