"""Lloyd's k-means over `Shard` objects: one array, a GPU, or many machines.

The result depends only on the rows, not on how they are divided over shards, on block sizes,
threads or the BLAS library, because all sums are exact (see `grid`). The remaining operations (a
division, a square root) act on single numbers and are correctly rounded by IEEE 754.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add

import numpy as np
from numpy.typing import NDArray

from vitw_ray.taxonomy.kmeans.grid import GRID, SQUARE_GRID, Basis, Rows, squared_lengths, to_grid
from vitw_ray.taxonomy.kmeans.seeding import draw, plus_plus
from vitw_ray.taxonomy.kmeans.shards import Candidates, ClusterSums, Shard
from vitw_ray.taxonomy.kmeans.vacancies import split_costliest, superfluous

SAMPLE_ROWS = 4096  # ours: k-means++ uses all rows of a typical list of labels
SAMPLE_ROWS_PER_CENTRE = 4  # ours: for more rows, a sample that costs less than Lloyd's iterations
AFTER_RELOCATION = 3  # ours: iterations after a relocation, for split clusters to separate

log = logging.getLogger(__name__)

Search = Callable[[int, Rows, Rows], Candidates | None]
"""Maps an iteration (from 0), its centroids and those of the last assignment to the candidate
centroids of each row; None means all centroids."""


@dataclass(frozen=True, slots=True)
class KMeansResult:
    """Clusters of n rows; `labels` and `counts` belong to `centroids`, rows in global order."""

    centroids: Rows  # (k, d)
    labels: NDArray[np.int32]  # (n,)
    counts: NDArray[np.int64]  # (k,) weight of each cluster; 0 if it stayed empty
    objective: tuple[float, ...]  # weighted sum of squared distances, one per iteration
    imbalance: tuple[float, ...]  # k sum n_i**2 / n**2, 1 if all clusters have the same weight
    splits: tuple[int, ...]  # empty or superfluous clusters that took half of another, per update
    cells: Rows | None = None  # (g, d) centroids of the coarse level, from `two_level_kmeans`


def kmeans(
    shards: Sequence[Shard], k: int, *, iterations: int, seed: int, spherical: bool = True
) -> KMeansResult:
    """Lloyd's algorithm from a k-means++ start, until no centroid moves or `iterations` are done.

    Sums are exact, so centroids stop moving exactly when labels stop changing.

    Args:
        shards: the rows, numbered in the order of the shards; one or many, of any sizes.
        k: number of clusters, at most the number of rows.
        iterations: limit on assignments of all rows, at least one.
        seed: of the start; everything else is deterministic.
        spherical: keep centroids on the unit sphere, for unit rows; otherwise they are means.

    Raises:
        ValueError: `k` is not between 1 and the number of rows.
    """
    check_k(shards, k)
    rng = np.random.default_rng(seed)
    sample = draw(shards, max(SAMPLE_ROWS, SAMPLE_ROWS_PER_CENTRE * k), rng)
    return lloyd(shards, plus_plus(sample, k, rng), iterations=iterations, spherical=spherical)


def check_k(shards: Sequence[Shard], k: int) -> None:
    """Raise ValueError unless `k` is between 1 and the number of rows."""
    total = sum(shard.count() for shard in shards)
    if not 1 <= k <= total:
        raise ValueError(f"k is {k}: give 1 to {total}, the number of rows")


def lloyd(
    shards: Sequence[Shard],
    centroids: Rows,
    *,
    iterations: int,
    spherical: bool,
    search: Search = lambda iteration, centroids, before: None,
    min_gain: float = 0.0,
    basis: Basis | None = None,
    relocate_below: float = -np.inf,
) -> KMeansResult:
    """Alternate assignments and centroid updates, ending with an assignment.

    Args:
        shards: the rows.
        centroids: (k, d) start.
        iterations: limit on assignments; ends earlier if no centroid moves.
        spherical: keep centroids on the unit sphere; otherwise they are means.
        search: selects the candidate centroids of each row; default: all.
        min_gain: end when an iteration lowers the objective by a smaller share.
        basis: work in the coordinates of this basis.
        relocate_below: when an iteration first lowers the objective by a smaller share, relocate
            superfluous clusters once, to split the costliest ones (see `vacancies`).
    """
    history = _History()
    before, patience = centroids, 0
    while True:
        candidates = search(len(history.objective), centroids, before)
        totals = reduce(add, [shard.assign(centroids, candidates, basis) for shard in shards])
        spreads = _spreads(centroids, totals)
        history.record(totals.counts, spreads)
        gain = history.gain()
        moved, free, costs = _move(centroids, totals, spherical), totals.counts == 0, spreads
        if gain < relocate_below:
            free, costs = superfluous(moved, totals.counts, spreads)
            patience, relocate_below = AFTER_RELOCATION, -np.inf
        if len(history.objective) >= iterations or (patience <= 0 and gain < min_gain):
            break
        moved, split = split_costliest(moved, free, costs)
        if np.array_equal(moved, centroids):
            break
        before, centroids, patience = centroids, moved, patience - 1
        history.splits.append(split)
    return KMeansResult(
        centroids=centroids,
        labels=np.concatenate([shard.labels() for shard in shards]),
        counts=totals.counts,
        objective=tuple(history.objective),
        imbalance=tuple(history.imbalance),
        splits=tuple(history.splits),
    )


@dataclass(frozen=True, slots=True)
class _History:
    """Objective, imbalance and splits per iteration, for the result and the log."""

    objective: list[float] = field(default_factory=list)
    imbalance: list[float] = field(default_factory=list)
    splits: list[int] = field(default_factory=list)

    def record(self, counts: NDArray[np.int64], spreads: NDArray[np.float64]) -> None:
        shares = counts / counts.sum()
        self.objective.append(float(spreads.sum()))
        self.imbalance.append(len(shares) * float(shares @ shares))
        log.info(
            "k-means, iteration %d: objective %.6g, imbalance %.2f, %d clusters split",
            len(self.objective),
            self.objective[-1],
            self.imbalance[-1],
            self.splits[-1] if self.splits else 0,
        )

    def gain(self) -> float:
        """Relative decrease of the objective in the last iteration."""
        if len(self.objective) < 2 or self.objective[-2] == 0:
            return 1.0
        return 1 - self.objective[-1] / self.objective[-2]


def _spreads(centroids: Rows, totals: ClusterSums) -> NDArray[np.float64]:
    """(k,) weighted sum of squared distances, from sums alone: |x|² - 2 c x + |c|²."""
    weights = np.maximum(totals.counts, 1)
    along = np.einsum("kd,kd->k", centroids, totals.sums, dtype=np.float64) * GRID
    means = totals.squares * SQUARE_GRID / weights - 2 * along / weights
    # A mean below half a grid step is only rounding error of the squared lengths.
    steps = (means + squared_lengths(centroids)) / GRID
    return np.where(steps < 0.5, 0.0, steps) * GRID * totals.counts


def _move(centroids: Rows, totals: ClusterSums, spherical: bool) -> Rows:
    filled = totals.counts > 0
    means = to_grid(totals.sums * GRID / np.maximum(totals.counts, 1)[:, None])
    if spherical:
        # From the rounded means, whose squared lengths are exact: the norm is deterministic.
        norms = np.sqrt(squared_lengths(means))
        filled &= norms > 0
        means = to_grid(means / np.where(filled, norms, 1)[:, None])
    return np.where(filled[:, None], means, centroids)
