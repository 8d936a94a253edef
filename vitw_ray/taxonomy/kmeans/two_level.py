"""k-means for many clusters and many rows: coarse cells, clusters within cells, then refinement.

An iteration of Lloyd's algorithm costs rows x k x d; one here costs rows x candidates x `FIT_DIM`:

1. Rows are projected onto the principal axes of a sample, which preserve the cost of clusterings
   (Cohen et al., 2015).
2. Cells: a small multiple of sqrt(k) clusters of the sample. Each cell gets a quota of the k
   clusters in proportion to its rows, and k-means++ starts within it.
3. Every row is assigned to its nearest cell, and then to the nearest cluster of that cell.
4. Refinement: a row is compared with the clusters near the cell of its current cluster, whichever
   cell they started in. This corrects errors at cell borders and lets clusters move between cells.
5. Centroids are computed in all dimensions, followed by one more assignment in all dimensions.
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

FIT_DIM = 80  # ours: a fifth of all-MiniLM-L6-v2's 384; more dimensions cost time without a gain
CELLS = 2.0  # ours: times sqrt(k); half as many are faster, but inertia is 0.2 % higher
SEED_ROWS = 8  # ours: rows of the sample per cluster
CELL_ROWS = 64  # ours: rows of the sample per cell
CELL_ITERATIONS = 6  # ours: cells need not be accurate, refinement corrects them
SIGHT = 320  # ours: candidates near a cell in the refinement; with 256 inertia is 0.2 % higher
FIRST_SIGHT = 32  # ours: candidates in the first iteration; doubled in each further one
LAST_SIGHT = 64  # ours: candidates in the last assignment, when few labels change
RELOCATE_BELOW = 2e-2  # ours: gain of an iteration below which superfluous clusters are relocated
MIN_GAIN = 1.5e-3  # ours: gain of an iteration below which the refinement ends


def two_level_kmeans(
    shards: Sequence[Shard],
    k: int,
    *,
    seed: int,
    iterations: int = 20,
    spherical: bool = True,
    fit_rows: int | None = None,
) -> KMeansResult:
    """Clusters close to those of full Lloyd iterations, at a tenth of the cost or less.

    Like `kmeans`, the result does not depend on how the rows are divided into shards. A label is
    the exactly nearest of the candidate clusters; only rarely is another cluster nearer.

    Args:
        shards: the rows, numbered in the order of the shards; one or many, of any sizes.
        k: number of clusters, at most the number of rows.
        seed: of the samples and starts; everything else is deterministic.
        iterations: limit on refinement assignments; they end earlier by `MIN_GAIN`.
        spherical: keep centroids on the unit sphere, for unit rows; otherwise they are means.
        fit_rows: fit on a sample of this many rows per cluster, in this process, and assign all
            rows once afterwards; None: fit on all rows. Meant for 100 million rows and more.

    Returns:
        Objective, imbalance and splits have the values of the refinement (in the projected space),
        followed by those of the two assignments in all dimensions.

    Raises:
        ValueError: `k` is not between 1 and the number of rows, or `fit_rows` is not positive.
    """
    check_k(shards, k)
    if fit_rows is not None and fit_rows < 1:
        raise ValueError(
            f"fit_rows is {fit_rows}: give at least 1 row per cluster, or None for all"
        )
    rng = np.random.default_rng(seed)
    start = _start(shards, k, rng, spherical)
    fitted = shards if fit_rows is None else [ArrayShard(draw(shards, fit_rows * k, rng))]
    refined = _refine(fitted, start, iterations, spherical)
    cells, basis = start.cells, start.basis
    near = around(refined.centroids, cells, LAST_SIGHT)
    if fit_rows is not None:
        for shard in shards:
            shard.assign(cells, None, basis)
            shard.assign(refined.centroids, from_cells(near), basis)
    final = _in_all_dimensions(shards, refined.centroids, basis, near, spherical)
    return replace(
        final,
        objective=refined.objective + final.objective,
        imbalance=refined.imbalance + final.imbalance,
        splits=refined.splits + final.splits,
        cells=cells if basis is None else lifted(cells, basis),
    )


@dataclass(frozen=True, slots=True)
class _Start:
    """Cells and clusters of a sample, in the coordinates of the basis, if any."""

    basis: Basis | None
    cells: Rows  # (g, d)
    leaves: Rows  # (k, d)
    below: Candidates  # the leaves in each cell


def _start(shards: Sequence[Shard], k: int, rng: np.random.Generator, spherical: bool) -> _Start:
    n_cells = max(1, min(k, round(CELLS * np.sqrt(k))))
    sample = draw(shards, max(SEED_ROWS * k, CELL_ROWS * n_cells), rng)
    basis = principal_basis(sample, FIT_DIM, rng) if sample.shape[1] > FIT_DIM else None
    seen = sample if basis is None else projected(sample, basis)
    cells = _cells(seen, n_cells, rng, spherical and basis is None)
    return _Start(basis, cells, *_leaves(seen, cells, k, rng))


def _refine(
    shards: Sequence[Shard], start: _Start, iterations: int, spherical: bool
) -> KMeansResult:
    """Assign rows to leaves, and refine the leaves by Lloyd iterations over candidates."""
    for shard in shards:
        shard.assign(start.cells, None, start.basis)
    return lloyd(
        shards,
        start.leaves,
        iterations=iterations + 1,
        spherical=spherical and start.basis is None,  # projected unit rows do not have length 1
        search=lambda i, now, before: (
            around(now, start.cells, _sight(i), before) if i else start.below
        ),
        min_gain=MIN_GAIN,
        basis=start.basis,
        relocate_below=RELOCATE_BELOW,
    )


def _sight(iteration: int) -> int:
    # Near clusters matter most at first; those further away only for the last percent.
    return min(SIGHT, FIRST_SIGHT << min(iteration - 1, 16))


def _in_all_dimensions(
    shards: Sequence[Shard], found: Rows, basis: Basis | None, near: Candidates, spherical: bool
) -> KMeansResult:
    """Compute the centroids in all dimensions, and assign once more."""
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
    """Assign new rows to clusters: to the nearest cell, then to the nearest candidate around it.

    Args:
        shards: the new rows.
        found: a result of `two_level_kmeans`.
        sight: number of candidates near a cell, besides the cell's own clusters.
        looks: number of assignments; each further one starts from the cluster found last.
    """
    if found.cells is None:
        raise ValueError("this result has no cells: fit with two_level_kmeans")
    near = around(found.centroids, found.cells, sight)
    for shard in shards:
        shard.assign(found.cells)
        for look in range(looks):
            shard.assign(found.centroids, near if look else from_cells(near))
    return np.concatenate([shard.labels() for shard in shards])


def around(centroids: Rows, centres: Rows, sight: int, before: Rows | None = None) -> Candidates:
    """Candidates grouped by centres: a group's own clusters and the nearest others.

    Args:
        centroids: (k, d)
        centres: (g, d); a cluster belongs to the group of its nearest centre.
        sight: number of centroids nearest to a group's centre that are candidates, besides its own.
        before: (k, d) positions of the clusters when rows were assigned to them, if different: the
            rows of a cluster that was relocated are still near its old position.
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
    """The same groups, for rows whose current cluster is a cell."""
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
