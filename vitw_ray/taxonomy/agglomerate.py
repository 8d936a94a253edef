"""Agglomerative clustering of nodes with weights, from a similarity matrix.

Average linkage follows the data but leaves outliers as singleton clusters. Ward's linkage gives
clusters of even size but splits topics. `agglomerate` is a compromise between the two, and supports
weights, which scipy's linkages do not. It is deterministic: costs are computed in a fixed order,
and the lowest node wins a tie.
"""

import numpy as np
from numpy.typing import NDArray

Clusters = NDArray[np.int32]
"""(n,) cluster of each node, from 0 without gaps."""

DAMPING = 0.2  # ours: see benchmarks/README.md; at 0.1 one cluster in seven is a singleton


def agglomerate(
    similarity: NDArray[np.float64],
    weights: NDArray[np.int64],
    size: int,
    damping: float = DAMPING,
) -> Clusters:
    """Merge nodes into `size` clusters; each step merges the pair with the lowest cost.

    The cost of a pair is the mean distance between the two clusters, times (w1 w2 / (w1 + w2)) to
    the power of `damping`, where w1 and w2 are their weights.

    Args:
        similarity: (n, n) symmetric, at most 1; the distance is 1 - similarity.
        weights: (n,) positive, number of leaves under each node.
        size: number of clusters, 1 to n.
        damping: how strongly merges of heavy clusters are delayed; 0 is average linkage (UPGMA).
    """
    distance, weight = 1 - similarity, weights.astype(np.float64)
    np.fill_diagonal(distance, np.inf)
    clusters = np.arange(len(weight))

    def costs(node: int) -> NDArray[np.float64]:
        """(n,) costs of merging with each cluster; infinite for itself and for merged clusters."""
        return distance[node] * (weight[node] * weight / (weight[node] + weight)) ** damping

    nearest, least = np.empty(len(weight), np.int64), np.empty(len(weight))
    stale = np.arange(len(weight))
    for remaining in range(len(weight), size - 1, -1):
        for node in stale.tolist():
            row = costs(node)
            nearest[node] = row.argmin()
            least[node] = row[nearest[node]]
        if remaining == size:
            break
        one = int(least.argmin())  # costs are symmetric, so `one` is the lower of the pair
        other = int(nearest[one])
        merged = weight[one] * distance[one] + weight[other] * distance[other]
        weight[one] += weight[other]
        merged /= weight[one]
        merged[one] = np.inf
        distance[one] = distance[:, one] = merged
        distance[other] = distance[:, other] = np.inf
        clusters[clusters == other] = one
        least[other] = np.inf
        stale = np.flatnonzero(((nearest == one) | (nearest == other)) & np.isfinite(least))
        to_one = costs(one)
        closer = to_one < least
        nearest[closer], least[closer] = one, to_one[closer]
    return np.unique(clusters, return_inverse=True)[1].astype(np.int32)
