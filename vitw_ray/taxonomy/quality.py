"""How good a tree is, told from itself and its vectors; and how far two trees agree.

Nothing here knows a tree made by people. Measures of agreement take any two clusterings of the same
leaves, so that a benchmark can give them one.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array

from vitw_ray.taxonomy.hierarchy import Parents, nodes_of_leaves

MANY_LEAVES = 4096  # ours: all distances between so many take a second, another tree ten
KEPT_SHARE = 0.9  # ours: what another week of conversations may change, and nothing to get lost in


def describe_levels(
    vectors: NDArray[np.float32], levels: Sequence[Parents]
) -> list[dict[str, Any]]:
    """A row per level, from 1 up: how many clusters, how large they are, how well apart they lie.

    Args:
        vectors: (n, d) unit rows, one per leaf.
        levels: as `build_levels` gives them.

    Returns:
        Per level: `clusters`; `leaves`, the fewest, the median and the most under one cluster;
        `singletons`, clusters of one leaf; `largest_share` of all leaves; `silhouette`, the mean
        over leaves by cosine distance, of an even sample where there are many (None where every
        leaf is alone or all are together).
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
    vectors: NDArray[np.float32],
    levels: Sequence[Parents],
    grow: Callable[[NDArray[np.bool_]], Sequence[Parents]],
) -> list[float | None]:
    """How far the tree is that of nine tenths of its leaves as well.

    Args:
        vectors: (n, d) unit rows, one per leaf.
        levels: as `build_levels` gives them for all leaves.
        grow: the levels over the chosen leaves of n, made in the same way.

    Returns:
        Adjusted Rand index of the two trees over the leaves they share, per level, to four
        decimals; None for a tree of many leaves, where it would cost as much again, or of under
        two.
    """
    n = len(vectors)
    if not 2 <= n <= MANY_LEAVES:
        return [None] * len(levels)
    from sklearn.metrics import adjusted_rand_score  # heavy: only where it is needed

    kept = np.random.default_rng(0).permutation(n) < max(1, round(KEPT_SHARE * n))
    pairs = zip(nodes_of_leaves(levels), nodes_of_leaves(grow(kept)), strict=True)
    return [round(float(adjusted_rand_score(one[kept], other)), 4) for one, other in pairs]


def silhouette(vectors: NDArray[np.float32], nodes: Parents) -> float | None:
    """Mean silhouette of the leaves by cosine distance (Rousseeuw 1987), to four decimals.

    Of more than `MANY_LEAVES` leaves, an even sample of them; None where it is not defined.
    """
    from sklearn.metrics import silhouette_score  # heavy: only where it is needed

    chosen = np.arange(len(nodes))
    if len(nodes) > MANY_LEAVES:
        chosen = np.linspace(0, len(nodes) - 1, MANY_LEAVES).astype(np.int64)
    clusters = len(np.unique(nodes[chosen]))
    if not 1 < clusters < len(chosen):
        return None
    return round(float(silhouette_score(vectors[chosen], nodes[chosen], metric="cosine")), 4)


def pairwise_f1(one: ArrayLike, other: ArrayLike) -> float:
    """F1 of the pairs of leaves that lie together: in both clusterings, over in either.

    Args:
        one: (n,) cluster of each leaf.
        other: (n,) cluster of each leaf in another clustering.

    Returns:
        1 when the clusterings are the same (also when no two leaves lie together in either).
    """
    _, first = np.unique(one, return_inverse=True)
    _, second = np.unique(other, return_inverse=True)
    both = coo_array((np.ones(len(first), np.int64), (first, second))).tocsr().data
    together = _pairs(np.bincount(first)) + _pairs(np.bincount(second))
    return 2 * _pairs(both) / together if together else 1.0


def _pairs(sizes: ArrayLike) -> int:
    counts = np.asarray(sizes, np.int64)
    return int((counts * (counts - 1) // 2).sum())
