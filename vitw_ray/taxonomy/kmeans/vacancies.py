"""Where clusters go that are not needed where they are: the empty, and the superfluous.

Lloyd's iterations move clusters a little at a time; two that share what one could hold stay there
for ever, while elsewhere one holds what two should.
"""

import numpy as np
from numpy.typing import NDArray

from vitw_ray.taxonomy.kmeans.grid import Rows, squared_lengths, to_grid

SPLIT_STEP = 1 / 1024  # how far the halves of a split centre move apart (FAISS's EPS)
WORTH = 4.0  # ours: how sure a gain must be; a split gains less than all that a cluster costs more
BLOCK = 1024  # ours: rows of the matrix of distances between centroids


def split_costliest(
    centroids: Rows, free: NDArray[np.bool_], costs: NDArray[np.float64]
) -> tuple[Rows, int]:
    """Give each free cluster half of the one that costs most (FAISS chooses it by size).

    By cost and not by count, because a heavy row, or many equal rows, cannot be split.

    Args:
        centroids: (k, d)
        free: (k,) clusters to move.
        costs: (k,) of each cluster; halved with each split.

    Returns:
        The centroids, and how many were moved: fewer than are free when no cluster costs anything.
    """
    points, left = centroids.copy(), np.where(free, 0, costs)
    coordinates = np.arange(points.shape[1])
    directions = max(1, int(coordinates[-1]).bit_length())
    split = 0
    for vacant in np.flatnonzero(free):
        donor = int(left.argmax())
        if left[donor] == 0:
            break
        # Signs by one bit of the coordinate's number: the next split goes another way, so that a
        # cluster split twice gives four different centres.
        step = np.where(coordinates >> split % directions & 1, -SPLIT_STEP, SPLIT_STEP)
        centre = points[donor].astype(np.float64)
        points[vacant], points[donor] = to_grid(centre * (1 + step)), to_grid(centre * (1 - step))
        left[donor] /= 2
        left[vacant] = left[donor]
        split += 1
    return points, split


def superfluous(
    centroids: Rows, counts: NDArray[np.int64], spreads: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which clusters to give up, because the rows of another gain more by being split.

    To merge a cluster with the nearest costs what Ward's method says. Splitting one gains part of
    what it costs more than as many rows of the median cluster.

    Returns:
        (k,) whether a cluster is empty or given up; (k,) what it costs more.
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
