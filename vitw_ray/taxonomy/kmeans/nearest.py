"""The exactly nearest centroid of each row.

The two best centroids are searched in float32, by BLAS on the CPU and by FAISS on a GPU (see
`gpu_shard`). If float32 cannot separate them, the row is scored again in float64, which is exact on
the grid. This concerns under one row in a hundred.
"""

import numpy as np
from numpy.typing import NDArray

from vitw_ray.taxonomy.kmeans.grid import Rows

BLOCK_SCORES = 2**20  # ours: 4 MB of float32, about a core's cache, and efficient for BLAS
EXACT_ROWS = 1024  # ours: 33 MB of scores against 4,096 centroids
ROUNDING = 2.0**-24  # unit roundoff of float32


def nearest(rows: Rows, centroids: Rows) -> NDArray[np.int64]:
    """(n,) index of each row's exactly nearest centroid; the lowest index wins a tie."""
    if len(centroids) == 1:
        return np.zeros(len(rows), np.int64)
    labels, gaps = _two_best(rows, centroids)
    doubtful = np.flatnonzero(gaps <= gap_margin(rows.shape[1]))
    if len(doubtful) == 0:
        return labels
    exact = centroids.astype(np.float64)
    half_norms = np.einsum("kd,kd->k", exact, exact) / 2
    for start in range(0, len(doubtful), EXACT_ROWS):
        chosen = doubtful[start : start + EXACT_ROWS]
        labels[chosen] = (half_norms - rows[chosen].astype(np.float64) @ exact.T).argmin(axis=1)
    return labels


def gap_margin(dim: int) -> float:
    """Squared distances that differ by more than this are ordered correctly in float32."""
    # The error of a float32 scalar product of d terms is at most d roundings. A squared distance of
    # unit vectors has four times that, and the gap between two distances eight times.
    return 8 * (dim + 8) * ROUNDING


def _two_best(rows: Rows, centroids: Rows) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Each row's nearest centroid, and the gap of its squared distance to the second nearest."""
    labels = np.empty(len(rows), np.int64)
    gaps = np.empty(len(rows), np.float32)
    half_norms = np.einsum("kd,kd->k", centroids, centroids) / 2
    size = max(1, BLOCK_SCORES // len(centroids))
    for start in range(0, len(rows), size):
        block = slice(start, start + size)
        scores = rows[block] @ centroids.T
        scores -= half_norms
        lines = np.arange(len(scores))
        labels[block] = first = scores.argmax(axis=1)
        best = scores[lines, first]
        scores[lines, first] = -np.inf
        gaps[block] = 2 * (best - scores.max(axis=1))
    return labels, gaps
