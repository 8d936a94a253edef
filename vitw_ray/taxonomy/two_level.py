"""k-means with many clusters over many rows: cells first, clusters within cells, then a polish.

Lloyd's iterations cost rows x k x d; these cost rows x (cells + `WIDTH`) x `FIT_DIM`:

1. Rows are seen along their `FIT_DIM` principal axes, which keep the cost of clusterings (Cohen et
   al., 2015; Makarychev et al., 2019).
2. Cells: about sqrt(k) clusters of a sample. Each gets its share of the k clusters by the rows it
   holds, and k-means++ starts within it.
3. All rows go down: to their cell, and to the nearest of its clusters.
4. Polish: a row is compared with the clusters around the cell of its own cluster, whatever cell
   those started in, so that errors at the borders of cells heal and clusters wander between cells.
5. The clusters' means in all dimensions, and a last look around.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vitw_ray.taxonomy.grid import Basis, Rows, lifted, principal_basis, projected
from vitw_ray.taxonomy.kmeans import KMeansResult, check_k, kmeans, lloyd
from vitw_ray.taxonomy.nearest import nearest
from vitw_ray.taxonomy.seeding import draw, plus_plus, share_out
from vitw_ray.taxonomy.shards import ArrayShard, Candidates, Shard

FIT_DIM = 96  # ours
SEED_ROWS = 8  # ours: rows of the sample for each cluster ...
CELL_ROWS = 64  # ... and for each cell
CELL_ITERATIONS = 6
POLISH = 12
WIDTH = 256
MIN_GAIN = 1e-3


def two_level_kmeans(
    shards: Sequence[Shard],
    k: int,
    *,
    seed: int,
    spherical: bool = True,
    polish: int = POLISH,
    fit_rows: int | None = None,
    width: int = WIDTH,
    min_gain: float = MIN_GAIN,
    n_cells: int | None = None,
    fit_dim: int = FIT_DIM,
    full: int = 1,
) -> KMeansResult:
    check_k(shards, k)
    rng = np.random.default_rng(seed)
    n_cells = n_cells or round(np.sqrt(k))
    sample = draw(shards, max(SEED_ROWS * k, CELL_ROWS * n_cells), rng)
    basis = principal_basis(sample[::4], fit_dim, rng) if sample.shape[1] > fit_dim else None
    seen = sample if basis is None else projected(sample, basis)
    cells = _cells(seen, n_cells, rng, spherical)
    leaves, below = _leaves(seen, cells, k, rng)
    fitted = shards if fit_rows is None else [ArrayShard(draw(shards, fit_rows * k, rng))]
    for shard in fitted:
        shard.assign(cells, None, basis)
    found = lloyd(
        fitted,
        leaves,
        iterations=polish + 1,
        spherical=spherical,
        search=lambda i, c: around(c, cells, width) if i else below,
        min_gain=min_gain,
        basis=basis,
    )
    near = around(found.centroids, cells, width)
    if fit_rows is not None:
        for shard in shards:
            shard.assign(cells, None, basis)
            shard.assign(found.centroids, from_cells(near), basis)
    if basis is None and fit_rows is None:
        return replace(found, cells=cells)
    whole = lloyd(
        shards,
        found.centroids if basis is None else lifted(found.centroids, basis),
        iterations=full + 1,
        spherical=spherical,
        search=lambda i, _: near if i else _stay(k),
    )
    return replace(
        whole,
        cells=cells if basis is None else lifted(cells, basis),
        objective=found.objective + whole.objective,
        imbalance=found.imbalance + whole.imbalance,
        splits=found.splits + (0,) + whole.splits,
    )


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
    for shard in shards:
        shard.assign(found.cells)
        for look in range(looks):
            shard.assign(found.centroids, near if look else from_cells(near))
    return np.concatenate([shard.labels() for shard in shards])


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
    last = min(width, len(centroids)) - 1
    seen = far <= np.partition(far, last, axis=1)[:, last, None]
    seen[group, np.arange(len(centroids))] = True
    groups, members = np.nonzero(seen)
    starts = np.searchsorted(groups, np.arange(len(centres) + 1))
    return Candidates(group, starts, members.astype(np.int32))


def from_cells(near: Candidates) -> Candidates:
    """The same groups, for rows that are in the cells themselves."""
    return replace(near, group=np.arange(len(near.starts) - 1, dtype=np.int32))


def _stay(k: int) -> Candidates:
    every = np.arange(k, dtype=np.int32)
    return Candidates(every, np.arange(k + 1), every)


def _cells(sample: Rows, n: int, rng: np.random.Generator, spherical: bool) -> Rows:
    rows = rng.choice(len(sample), min(len(sample), CELL_ROWS * n), replace=False)
    seed = int(rng.integers(2**31))
    found = kmeans(
        [ArrayShard(sample[rows])], n, iterations=CELL_ITERATIONS, seed=seed, spherical=spherical
    )
    return found.centroids[found.counts > 0]


def _leaves(sample: Rows, cells: Rows, k: int, rng: np.random.Generator) -> tuple[Rows, Candidates]:
    cell = nearest(sample, cells)
    counts = np.bincount(cell, minlength=len(cells))
    shares = share_out(k, counts)
    parts = np.split(cell.argsort(kind="stable"), counts.cumsum()[:-1])
    leaves = [
        plus_plus(sample[rows], int(share), rng) for rows, share in zip(parts, shares, strict=True)
    ]
    starts = np.concatenate([[0], shares.cumsum()])
    every = np.arange(k, dtype=np.int32)
    return np.concatenate(leaves), Candidates(every[: len(cells)], starts, every)
