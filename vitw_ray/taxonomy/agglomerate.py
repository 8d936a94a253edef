"""Nodes joined two by two to clusters, by how similar they are.

Average linkage follows the data but keeps outliers as clusters of their own; Ward's linkage makes
even clusters but cuts through topics. `agglomerate` stands between them, and knows weights, which
scipy's linkages do not. Each choice is the least or greatest of numbers that are computed one by
one in a fixed order, the lowest node among equals: the same input has the same result.
"""

import numpy as np
from numpy.typing import NDArray

Clusters = NDArray[np.int32]
"""(n,) cluster of each node, from 0 without gaps."""

DAMPING = 0.2  # ours: see benchmarks/README.md; at 0.1 one cluster in seven is a single label


def agglomerate(
    similarity: NDArray[np.float64],
    weights: NDArray[np.int64],
    size: int,
    damping: float = DAMPING,
) -> Clusters:
    """Join nodes to `size` clusters, always the two whose union costs least.

    A union costs the mean distance between its two sides, times the harmonic mean of their weights
    to the power of `damping`.

    Args:
        similarity: (n, n) symmetric, at most 1; a distance is what is missing to 1.
        weights: (n,) positive, how many leaves are under each node.
        size: number of clusters, 1 to n.
        damping: how much unions of heavy clusters are put off; 0 is average linkage (UPGMA).
    """
    distance, weight = 1 - similarity, weights.astype(np.float64)
    np.fill_diagonal(distance, np.inf)
    clusters = np.arange(len(weight))

    def costs(node: int) -> NDArray[np.float64]:
        """(n,) of joining a cluster with each other one; infinite with itself and those gone."""
        return distance[node] * (weight[node] * weight / (weight[node] + weight)) ** damping

    nearest, least = np.empty(len(weight), np.int64), np.empty(len(weight))
    stale = np.arange(len(weight))
    for left in range(len(weight), size - 1, -1):
        for node in stale.tolist():
            row = costs(node)
            nearest[node] = row.argmin()
            least[node] = row[nearest[node]]
        if left == size:
            break
        one = int(least.argmin())  # costs are the same from both sides: `one` is the lower
        other = int(nearest[one])
        joined = weight[one] * distance[one] + weight[other] * distance[other]
        weight[one] += weight[other]
        joined /= weight[one]
        joined[one] = np.inf
        distance[one] = distance[:, one] = joined
        distance[other] = distance[:, other] = np.inf
        clusters[clusters == other] = one
        least[other] = np.inf
        stale = np.flatnonzero(((nearest == one) | (nearest == other)) & np.isfinite(least))
        to_one = costs(one)
        closer = to_one < least
        nearest[closer], least[closer] = one, to_one[closer]
    return np.unique(clusters, return_inverse=True)[1].astype(np.int32)
