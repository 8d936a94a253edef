"""k-means with many clusters over many rows: cells first, clusters within cells, then a polish.

Lloyd's iterations cost rows x k x d; these cost rows x (clusters in sight) x `FIT_DIM`:

1. Rows are seen along the principal axes of a sample, which keep what clusterings cost (Cohen et
   al., 2015).
2. Cells: a few sqrt(k) clusters of the sample. Each gets its share of the k clusters by the rows
   that it holds, and k-means++ starts within it.
3. All rows go down: to their cell, and to the nearest of its clusters.
4. Polish: a row is compared with the clusters around the cell of its own cluster, whatever cell
   those started in, so that errors at the borders heal and clusters wander between cells.
5. The means in all dimensions, and a last look around in all dimensions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vitw_ray.taxonomy.kmeans.grid import Basis, Rows, lifted, principal_basis, projected
from vitw_ray.taxonomy.kmeans.lloyd import KMeansResult, check_k, kmeans, lloyd
from vitw_ray.taxonomy.kmeans.nearest import nearest
from vitw_ray.taxonomy.kmeans.seeding import draw, plus_plus, share_out
from vitw_ray.taxonomy.kmeans.shards import ArrayShard, Candidates, Shard

FIT_DIM = 80  # ours: a fifth of all-MiniLM-L6-v2's 384; more cost time and gain nothing
CELLS = 2.0  # ours: times sqrt(k); half as many are faster and leave inertia 0.2 % higher
SEED_ROWS = 8  # ours: rows of the sample for each cluster ...
CELL_ROWS = 64  # ... and for each cell
CELL_ITERATIONS = 6  # ours: cells are polished away, they need not be good
SIGHT = 320  # ours: clusters around a cell in the polish; 256 leave inertia 0.2 % higher
FIRST_SIGHT = 32  # ours: in the first iteration, and twice as many in each after it
LAST_SIGHT = 64  # ours: when labels have settled
RELOCATE_BELOW = 2e-2  # ours: gain of an iteration by which clusters have taken their places
MIN_GAIN = 1.5e-3  # ours: of the objective in an iteration, or the polish ends


def two_level_kmeans(
    shards: Sequence[Shard],
    k: int,
    *,
    seed: int,
    iterations: int = 20,
    spherical: bool = True,
    fit_rows: int | None = None,
) -> KMeansResult:
    """Clusters near those of a full Lloyd, for a tenth of its cost and less.

    The same for every division of the rows into shards, as `kmeans` is. A label is that of the
    nearest of the clusters in sight, by exact arithmetic; it is rarely not the nearest of all.

    Args:
        shards: the rows, numbered through in the order of the shards; one or many, of any sizes.
        k: number of clusters, at most the number of rows.
        seed: of the samples and starts; everything else is determined.
        iterations: polishing assignments at most; they end earlier by `MIN_GAIN`.
        spherical: keep centroids on the unit sphere, for unit rows; otherwise they are means.
        fit_rows: fit on a sample of so many rows a cluster, held in this process, and assign the
            others once; None: fit on all rows. For a hundred million rows and more.

    Returns:
        Objective, imbalance and splits are those of the polish, along the principal axes, and then
        of the two assignments in all dimensions.

    Raises:
        ValueError: `k` is not between 1 and the number of rows, or `fit_rows` is not positive.
    """
    check_k(shards, k)
    if fit_rows is not None and fit_rows < 1:
        raise ValueError(f"fit_rows is {fit_rows}: give at least 1 row a cluster, or None for all")
    rng = np.random.default_rng(seed)
    start = _start(shards, k, rng, spherical)
    fitted = shards if fit_rows is None else [ArrayShard(draw(shards, fit_rows * k, rng))]
    polished = _polish(fitted, start, iterations, spherical)
    cells, basis = start.cells, start.basis
    near = around(polished.centroids, cells, LAST_SIGHT)
    if fit_rows is not None:
        for shard in shards:
            shard.assign(cells, None, basis)
            shard.assign(polished.centroids, from_cells(near), basis)
    final = _in_all_dimensions(shards, polished.centroids, basis, near, spherical)
    return replace(
        final,
        objective=polished.objective + final.objective,
        imbalance=polished.imbalance + final.imbalance,
        splits=polished.splits + final.splits,
        cells=cells if basis is None else lifted(cells, basis),
    )


@dataclass(frozen=True, slots=True)
class _Start:
    """Cells and clusters of a sample, in the coordinates of a basis where there is one."""

    basis: Basis | None
    cells: Rows  # (g, d)
    leaves: Rows  # (k, d)
    below: Candidates  # of each cell, the leaves in it


def _start(shards: Sequence[Shard], k: int, rng: np.random.Generator, spherical: bool) -> _Start:
    n_cells = max(1, min(k, round(CELLS * np.sqrt(k))))
    sample = draw(shards, max(SEED_ROWS * k, CELL_ROWS * n_cells), rng)
    basis = principal_basis(sample, FIT_DIM, rng) if sample.shape[1] > FIT_DIM else None
    seen = sample if basis is None else projected(sample, basis)
    cells = _cells(seen, n_cells, rng, spherical and basis is None)
    return _Start(basis, cells, *_leaves(seen, cells, k, rng))


def _polish(
    shards: Sequence[Shard], start: _Start, iterations: int, spherical: bool
) -> KMeansResult:
    """Rows go down to the leaves, and leaves to where they belong."""
    for shard in shards:
        shard.assign(start.cells, None, start.basis)
    return lloyd(
        shards,
        start.leaves,
        iterations=iterations + 1,
        spherical=spherical and start.basis is None,  # along some axes, unit rows have any length
        search=lambda i, now, before: (
            around(now, start.cells, _sight(i), before) if i else start.below
        ),
        min_gain=MIN_GAIN,
        basis=start.basis,
        relocate_below=RELOCATE_BELOW,
    )


def _sight(iteration: int) -> int:
    # Clusters find their places among near ones first; those far away matter for the last percent.
    return min(SIGHT, FIRST_SIGHT << min(iteration - 1, 16))


def _in_all_dimensions(
    shards: Sequence[Shard], found: Rows, basis: Basis | None, near: Candidates, spherical: bool
) -> KMeansResult:
    """The means of the clusters that rows are in, and a last look around."""
    return lloyd(
        shards,
        found if basis is None else lifted(found, basis),
        iterations=2,
        spherical=spherical,
        search=lambda i, *_: near if i else _stay(len(found)),
    )


def tree_assign(
    shards: Sequence[Shard], found: KMeansResult, *, sight: int = LAST_SIGHT, looks: int = 2
) -> NDArray[np.int32]:
    """The clusters of new rows: down to a cell, the nearest around it, and on from there.

    Args:
        shards: the new rows.
        found: a result of `two_level_kmeans`.
        sight: clusters around a cell that a row is compared with, besides the cell's own.
        looks: how often; each look but the first starts from the cluster that the last one found.
    """
    if found.cells is None:
        raise ValueError("this result has no cells: fit it by two_level_kmeans")
    near = around(found.centroids, found.cells, sight)
    for shard in shards:
        shard.assign(found.cells)
        for look in range(looks):
            shard.assign(found.centroids, near if look else from_cells(near))
    return np.concatenate([shard.labels() for shard in shards])


def around(centroids: Rows, centres: Rows, sight: int, before: Rows | None = None) -> Candidates:
    """Groups of clusters around centres: a row looks among its group's own and the nearest others.

    Args:
        centroids: (k, d)
        centres: (g, d); a cluster belongs to the group of the nearest one.
        sight: how many centroids around its centre a group looks at, besides its own.
        before: (k, d) where clusters were when rows came to them, if they were elsewhere: a cluster
            that was moved far away leaves its rows behind.
    """
    here = nearest(centroids, centres)
    home = here if before is None else nearest(before, centres)
    exact = centroids.astype(np.float64)
    far = np.einsum("kd,kd->k", exact, exact) / 2 - centres.astype(np.float64) @ exact.T
    last = min(sight, len(centroids)) - 1
    seen = far <= np.partition(far, last, axis=1)[:, last, None]
    seen[here, np.arange(len(centroids))] = seen[home, np.arange(len(centroids))] = True
    groups, members = np.nonzero(seen)
    starts = np.searchsorted(groups, np.arange(len(centres) + 1))
    return Candidates(home.astype(np.int32), starts, members.astype(np.int32))


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
