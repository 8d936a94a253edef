"""Relocation of empty and superfluous clusters.

Lloyd's iterations only move clusters locally. Two clusters that share one natural group never
separate, while elsewhere one cluster covers two groups.
"""

import numpy as np
from numpy.typing import NDArray

from vitw_ray.taxonomy.kmeans.grid import Rows, squared_lengths, to_grid

SPLIT_STEP = 1 / 1024  # relative offset of the two halves of a split centroid (FAISS's EPS)
WORTH = 4.0  # ours: margin of gain over cost; a split gains only part of a cluster's excess cost
BLOCK = 1024  # ours: rows per block of the distances between centroids


def split_costliest(
    centroids: Rows, free: NDArray[np.bool_], costs: NDArray[np.float64]
) -> tuple[Rows, int]:
    """Move each free cluster to one half of the costliest cluster (FAISS chooses by size).

    The choice is by cost and not by count, because a heavy row or many equal rows cannot be split.

    Args:
        centroids: (k, d)
        free: (k,) clusters to move.
        costs: (k,) cost of each cluster; halved by each split.

    Returns:
        The centroids, and the number of moved clusters: fewer than `free` if no cost is left.
    """
    points, remaining = centroids.copy(), np.where(free, 0, costs)
    coordinates = np.arange(points.shape[1])
    directions = max(1, int(coordinates[-1]).bit_length())
    split = 0
    for vacant in np.flatnonzero(free):
        donor = int(remaining.argmax())
        if remaining[donor] == 0:
            break
        # Signs from one bit of the coordinate's index. Each split uses another bit, so a cluster
        # that is split twice gives four different centroids.
        step = np.where(coordinates >> split % directions & 1, -SPLIT_STEP, SPLIT_STEP)
        centre = points[donor].astype(np.float64)
        points[vacant], points[donor] = to_grid(centre * (1 + step)), to_grid(centre * (1 - step))
        remaining[donor] /= 2
        remaining[vacant] = remaining[donor]
        split += 1
    return points, split


def superfluous(
    centroids: Rows, counts: NDArray[np.int64], spreads: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Clusters to relocate, because splitting another cluster gains more than they are worth.

    The cost of merging a cluster with its nearest neighbour is Ward's. The gain of splitting a
    cluster is part of its excess: its cost over that of as many rows of the median cluster.

    Returns:
        (k,) whether a cluster is empty or to be relocated; (k,) excess of each cluster.
    """
    filled = counts > 0
    excess = np.maximum(spreads - np.median(spreads[filled] / counts[filled]) * counts, 0)
    other, squares = _nearest_others(centroids)
    pairs = counts * counts[other] / np.maximum(counts + counts[other], 1)
    cost = np.where(filled, pairs * squares, np.inf)
    gains = np.sort(excess)[::-1]
    given_up, kept, moves = np.zeros(len(counts), bool), np.zeros(len(counts), bool), 0
    for cluster in cost.argsort(kind="stable"):
        if gains[moves] <= WORTH * cost[cluster]:
            break
        if not kept[cluster] and not given_up[other[cluster]]:
            given_up[cluster] = kept[other[cluster]] = True
            moves += 1
    return given_up | ~filled, excess


def _nearest_others(centroids: Rows) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(k,) the nearest other centroid of each, and the squared distance to it."""
    exact, norms = centroids.astype(np.float64), squared_lengths(centroids)
    other, nearest = np.empty(len(exact), np.int64), np.empty(len(exact))
    for start in range(0, len(exact), BLOCK):
        own = np.arange(start, min(start + BLOCK, len(exact)))
        squares = norms[own, None] + norms - 2 * (exact[own] @ exact.T)
        squares[own - start, own] = np.inf
        other[own], nearest[own] = squares.argmin(axis=1), squares.min(axis=1)
    return other, nearest
