"""Evidence accumulation: the share of many k-means runs that put two nodes in the same cluster.

One k-means run depends on its random start. The share over many runs hardly does (Fred & Jain
2005). The values of k range from the size of the top level to that of the bottom level, so the
share is a useful similarity on every level.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from vitw_ray.taxonomy.kmeans.grid import Rows, to_grid
from vitw_ray.taxonomy.kmeans.nearest import nearest

RUNS = 60  # ours: see benchmarks/README.md
ITERATIONS = 5  # ours: runs that are averaged need not converge
ROWS_SHARE = 0.8  # ours: subsampling, so that no small set of rows dominates
BLOCK_ROWS = 512  # ours: 17 MB of cosines with 4,096 rows


@dataclass(frozen=True, slots=True)
class Partition:
    """One k-means run: its k, and the cluster of each of n nodes."""

    k: int
    labels: NDArray[np.int32]


def smooth(points: Rows, neighbours: int) -> Rows:
    """Average each row with the mean of its nearest neighbours by cosine; returns unit rows.

    This removes what is specific to one wording and keeps what neighbours have in common.

    Args:
        points: (n, d) rows in the unit ball.
        neighbours: number of neighbours, less than n; 0 changes no row.
    """
    if neighbours < 1:
        return _unit(points)
    exact, means = points.astype(np.float64), np.empty(points.shape)
    for start in range(0, len(points), BLOCK_ROWS):
        block = np.arange(start, min(start + BLOCK_ROWS, len(points)))
        cosines = exact[block] @ exact.T
        cosines[np.arange(len(block)), block] = -np.inf
        nearby = np.argpartition(-cosines, neighbours - 1, axis=1)[:, :neighbours]
        means[block] = exact[nearby].mean(axis=1)
    return _unit(points + means)


def cluster_often(
    points: Rows, weights: NDArray[np.int64], coarsest: int, finest: int, *, seed: int
) -> list[Partition]:
    """Run short spherical k-means on subsamples of the rows; k is drawn log-uniformly.

    Args:
        points: (n, d) unit rows.
        weights: (n,) positive integers.
        coarsest: smallest k.
        finest: largest k; both are limited by the number of rows.
        seed: of all random choices.
    """
    rng, n = np.random.default_rng(seed), len(points)
    sampled = max(1, round(ROWS_SHARE * n))
    finest = min(finest, sampled)
    low, high = np.log([min(coarsest, finest), finest])
    runs: list[Partition] = []
    for _ in range(RUNS):
        k = round(float(np.exp(rng.uniform(low, high))))
        rows = np.sort(rng.choice(n, sampled, replace=False))
        centres = points[rng.choice(rows, k, replace=False)]
        for _ in range(ITERATIONS):
            centres = _centres(points[rows], weights[rows], nearest(points[rows], centres))
        runs.append(Partition(k, nearest(points, centres).astype(np.int32)))
    return runs


def together(
    runs: Sequence[Partition], nodes: NDArray[np.int32], weights: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(n, n) share of runs in which two nodes are in the same cluster, averaged over their rows.

    Args:
        runs: partitions of m rows.
        nodes: (m,) node of each row, from 0 without gaps.
        weights: (m,) weight of each row.
    """
    starts = np.cumsum([0, *(run.k for run in runs)])
    cells = np.concatenate([run.labels + start for run, start in zip(runs, starts, strict=False)])
    shape = (int(nodes.max()) + 1, int(starts[-1]))
    tiled = np.tile(weights.astype(np.float64), len(runs))
    inside = csr_array((tiled, (np.tile(nodes, len(runs)), cells)), shape)
    weight = np.bincount(nodes, weights)
    return (inside @ inside.T).toarray() / (np.outer(weight, weight) * len(runs))


def _centres(points: Rows, weights: NDArray[np.int64], labels: NDArray[np.int64]) -> Rows:
    """Normalised means of the non-empty clusters."""
    filled, cluster = np.unique(labels, return_inverse=True)
    inside = csr_array(
        (weights.astype(np.float64), (cluster, np.arange(len(labels)))),
        (len(filled), len(labels)),
    )
    return _unit(inside @ points.astype(np.float64))


def _unit(rows: NDArray[np.floating]) -> Rows:
    return to_grid(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9))
