"""k-means with many clusters over many rows: cells first, clusters within cells, then a polish.

Lloyd's iterations cost rows x k; these cost rows x (cells + `WIDTH`):

1. Cells: about sqrt(k) clusters of a sample.
2. Each cell of the sample gets its share of the k clusters by the rows it holds, k-means++ starts
   within it, and a few iterations among its own.
3. All rows go down the tree: to their cell, and to the nearest of its clusters.
4. Polish: a row is compared with the clusters around the cell of its own cluster, whatever cell
   those came from, so that errors at the borders of cells heal and clusters wander between cells.

The third step is also how new rows find their cluster.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vitw_ray.taxonomy.grid import Rows
from vitw_ray.taxonomy.kmeans import KMeansResult, check_k, kmeans, lloyd
from vitw_ray.taxonomy.nearest import nearest
from vitw_ray.taxonomy.seeding import draw, plus_plus, share_out
from vitw_ray.taxonomy.shards import ArrayShard, Candidates, Shard

FIT_ROWS = 32  # ours: rows of the sample for each cluster ...
CELL_ROWS = 64  # ... and for each cell
SEED_ROWS = 8
CELL_ITERATIONS = 6
LEAF_ITERATIONS = 4
POLISH = 10
WIDTH = 64
MIN_GAIN = 1e-3


def two_level_kmeans(
    shards: Sequence[Shard],
    k: int,
    *,
    seed: int,
    spherical: bool = True,
    polish: int = POLISH,
    fit_rows: int = FIT_ROWS,
    width: int = WIDTH,
    min_gain: float = MIN_GAIN,
    leaf_iterations: int = LEAF_ITERATIONS,
    n_cells: int | None = None,
) -> KMeansResult:
    check_k(shards, k)
    rng = np.random.default_rng(seed)
    sample = draw(shards, fit_rows * k, rng)
    fitted = ArrayShard(sample)
    n_cells = n_cells or round(np.sqrt(k))
    cells = _cells(sample, n_cells, rng, spherical)
    leaves, below = _leaves(fitted, sample, cells, k, rng)
    cell_of = np.repeat(np.arange(len(cells), dtype=np.int32), np.diff(below.starts))
    beside = Candidates(cell_of, below.starts, below.members)
    found = lloyd(
        [fitted],
        leaves,
        iterations=leaf_iterations,
        spherical=spherical,
        search=lambda i, _: below if i == 0 else beside,
    )
    for shard in shards:
        shard.assign(cells)
    found = lloyd(
        shards,
        found.centroids,
        iterations=polish + 1,
        spherical=spherical,
        search=lambda i, c: below if i == 0 else around(c, cells, width),
        min_gain=min_gain,
    )
    return replace(found, cells=cells)


def tree_assign(
    shards: Sequence[Shard], found: KMeansResult, *, width: int = WIDTH, looks: int = 2
) -> NDArray[np.int32]:
    """The clusters of new rows: down to a cell, the nearest around it, and on from there.

    Args:
        shards: the new rows.
        found: a result of `two_level_kmeans`.
        width: clusters around a cell that a row is compared with, besides the cell's own.
        looks: how often; each look but the first starts from the cluster that the last one found.
    """
    near = around(found.centroids, found.cells, width)
    down = Candidates(np.arange(len(found.cells), dtype=np.int32), near.starts, near.members)
    for shard in shards:
        shard.assign(found.cells)
        for look in range(looks):
            shard.assign(found.centroids, near if look else down)
    return np.concatenate([shard.labels() for shard in shards])


def _cells(sample: Rows, n: int, rng: np.random.Generator, spherical: bool) -> Rows:
    rows = rng.choice(len(sample), min(len(sample), CELL_ROWS * n), replace=False)
    seed = int(rng.integers(2**31))
    found = kmeans(
        [ArrayShard(sample[rows])], n, iterations=CELL_ITERATIONS, seed=seed, spherical=spherical
    )
    return found.centroids[found.counts > 0]


def _leaves(
    fitted: ArrayShard, sample: Rows, cells: Rows, k: int, rng: np.random.Generator
) -> tuple[Rows, Candidates]:
    totals = fitted.assign(cells)
    shares = share_out(k, totals.counts)
    order = fitted.labels().argsort(kind="stable")
    parts = np.split(order, totals.counts.cumsum()[:-1])
    leaves = [
        plus_plus(_some(sample, rows, SEED_ROWS * int(share), rng), int(share), rng)
        for rows, share in zip(parts, shares, strict=True)
        if share
    ]
    starts = np.concatenate([[0], shares.cumsum()])
    below = Candidates(np.arange(len(cells), dtype=np.int32), starts, np.arange(k, dtype=np.int32))
    return np.concatenate(leaves), below


def _some(sample: Rows, rows: NDArray[np.int64], n: int, rng: np.random.Generator) -> Rows:
    return sample[rows if len(rows) <= n else rng.choice(rows, n, replace=False)]


def around(centroids: Rows, centres: Rows, width: int) -> Candidates:
    """Groups of clusters around centres: a row looks among its group's own and the nearest others.

    Args:
        centroids: (k, d); each belongs to the group of its nearest centre.
        centres: (g, d)
        width: how many centroids around its centre a group looks at, besides its own.
    """
    group = nearest(centroids, centres).astype(np.int32)
    exact = centroids.astype(np.float64)
    far = np.einsum("kd,kd->k", exact, exact) / 2 - centres.astype(np.float64) @ exact.T
    seen = np.zeros((len(centres), len(centroids)), bool)
    near = far.argsort(axis=1, kind="stable")[:, :width]
    np.put_along_axis(seen, near, True, axis=1)
    seen[group, np.arange(len(centroids))] = True
    groups, members = np.nonzero(seen)
    starts = np.searchsorted(groups, np.arange(len(centres) + 1))
    return Candidates(group, starts, members.astype(np.int32))
