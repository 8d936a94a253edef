"""Rows for k-means that lie in one array of this process.

Nearest centroids are searched in float32 and decided exactly: where the two best are closer to
each other than float32 can tell apart, the row is scored again in float64, which is exact on the
grid (see `kmeans`). That is under three rows in a thousand, on labels as on unstructured points.
"""

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix

from vitw_ray.taxonomy.kmeans import GRID, Assignment, Rows, to_grid

BLOCK_ROWS = 8192  # ours: 25 MB of float64 at 384 dimensions, and enough for one matrix product
EXACT_ROWS = 1024  # ours: 33 MB of scores against 4,096 centroids
MAX_WEIGHT = 2**29  # so many squared distances, at most 4 each, still fit float64's 53 bits
ROUNDING = 2.0**-24  # unit roundoff of float32

TwoNearest = Callable[[Rows, Rows], tuple[NDArray[np.int64], NDArray[np.float32]]]


class ArrayShard:
    """An (n, d) array of points in the unit ball, each with an integer weight (default 1).

    Raises:
        ValueError: a point outside the unit ball, or weights that are not positive, not one per
            row, or too heavy for exact sums.
    """

    def __init__(self, points: ArrayLike, weights: ArrayLike | None = None) -> None:
        self._rows = to_grid(points)
        if not np.all(np.einsum("nd,nd->n", self._rows, self._rows) < 1.001):
            raise ValueError("a point lies outside the unit ball: scale the points down")
        self._weights = np.ones(len(self._rows), np.int64)
        if weights is not None:
            self._weights = np.asarray(weights, np.int64)
        if self._weights.shape != self._rows.shape[:1] or np.any(self._weights < 1):
            raise ValueError("weights are not one positive number per row")
        if self._weights.sum() >= MAX_WEIGHT:
            raise ValueError(f"weights add up to {MAX_WEIGHT} or more: divide the rows over shards")

    def count(self) -> int:
        """Number of rows."""
        return self._rows.shape[0]

    def dim(self) -> int:
        """Length of a row."""
        return self._rows.shape[1]

    def sample(self, rows: NDArray[np.int64]) -> Rows:
        """The rows with these numbers."""
        return self._rows[rows]

    def assign(self, centroids: Rows) -> Assignment:
        """Every row to its nearest centroid: an exact result, in blocks that only bound memory."""
        k, exact_centroids = len(centroids), centroids.astype(np.float64)
        labels = np.empty(self.count(), np.int32)
        distances = np.empty(self.count(), np.float32)
        sums, counts, spreads = np.zeros(centroids.shape), np.zeros(k), np.zeros(k)
        for start in range(0, self.count(), BLOCK_ROWS):
            block = slice(start, start + BLOCK_ROWS)
            labels[block] = nearest(self._rows[block], centroids)
            rows, weights = self._rows[block].astype(np.float64), self._weights[block]
            offsets = rows - exact_centroids[labels[block]]
            squares = np.einsum("nd,nd->n", offsets, offsets)
            distances[block] = squares
            members = csr_matrix(
                (weights.astype(np.float64), (labels[block], np.arange(len(rows)))), (k, len(rows))
            )
            sums += members @ rows
            counts += np.bincount(labels[block], weights, k)
            spreads += np.bincount(labels[block], np.rint(squares / GRID) * weights, k)
        # Every float above is a whole number of grid steps below 2**53: nothing is lost here.
        return Assignment(
            labels=labels,
            distances=distances,
            sums=(sums / GRID).astype(np.int64),
            counts=counts.astype(np.int64),
            spreads=spreads.astype(np.int64),
        )


def nearest(rows: Rows, centroids: Rows) -> NDArray[np.int64]:
    """(n,) number of each row's exactly nearest centroid, the lowest among equally near ones."""
    if len(centroids) == 1:
        return np.zeros(len(rows), np.int64)
    two_nearest = _two_nearest_faiss if find_spec("faiss") else _two_nearest_numpy
    candidates, squares = two_nearest(rows, centroids)
    labels = candidates[:, 0].copy()
    # A float32 scalar product of d terms is off by at most d roundings; a squared distance of unit
    # vectors holds four of them, the gap between two distances eight.
    margin = 8 * (rows.shape[1] + 8) * ROUNDING
    doubtful = np.flatnonzero(squares[:, 1] - squares[:, 0] <= margin)
    exact = centroids.astype(np.float64)
    half_norms = np.einsum("kd,kd->k", exact, exact) / 2
    for start in range(0, len(doubtful), EXACT_ROWS):
        chosen = doubtful[start : start + EXACT_ROWS]
        labels[chosen] = (half_norms - rows[chosen].astype(np.float64) @ exact.T).argmin(axis=1)
    return labels


def _two_nearest_faiss(
    rows: Rows, centroids: Rows
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    import faiss

    squares, candidates = faiss.knn(rows, centroids, 2)
    return candidates, squares


def _two_nearest_numpy(
    rows: Rows, centroids: Rows
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    norms = np.einsum("kd,kd->k", centroids, centroids)
    squares = norms - 2 * (rows @ centroids.T)  # less the row's own norm, which decides nothing
    two = np.argpartition(squares, 1, axis=1)[:, :2]
    best = np.take_along_axis(squares, two, axis=1)
    order = best.argsort(axis=1)
    return np.take_along_axis(two, order, axis=1), np.take_along_axis(best, order, axis=1)
