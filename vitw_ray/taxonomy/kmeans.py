"""k-means, written once against an object with four methods: one array, a GPU, or many machines.

The result is a function of the rows alone, not of how they are divided over shards, of block sizes,
threads or the BLAS library, because nothing that decides is ever rounded (see `grid`). The few
operations left over (a division, a square root) act on one number and are correctly rounded by
IEEE 754.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
from numpy.typing import NDArray

from vitw_ray.taxonomy.grid import GRID, SQUARE_GRID, Basis, Rows, squared_lengths, to_grid
from vitw_ray.taxonomy.seeding import draw, plus_plus
from vitw_ray.taxonomy.shards import Candidates, Shard, Totals

SAMPLE_ROWS = 4096  # ours: k-means++ sees every row of a list of labels ...
SAMPLE_ROWS_PER_CENTRE = 4  # ... and a share of more that costs it less than Lloyd's iterations
SPLIT_STEP = 1 / 1024  # how far the halves of a split centre move apart (FAISS's EPS)
WORTH = 4.0  # ours: how sure a gain must be; a split gains less than all that a cluster costs more
AFTER_RELOCATION = 3  # ours: iterations in which the halves of split clusters part

log = logging.getLogger(__name__)

Search = Callable[[int, Rows, Rows], Candidates | None]
"""Iteration, from 0, the centroids of its assignment and those of the last one, which rows are in,
to the candidates; None: all centroids."""


@dataclass(frozen=True, slots=True)
class KMeansResult:
    """Clusters of n rows; `labels` and `counts` belong to `centroids`, rows in global order."""

    centroids: Rows  # (k, d)
    labels: NDArray[np.int32]  # (n,)
    counts: NDArray[np.int64]  # (k,) weight of each cluster; 0 where one stayed empty
    objective: tuple[float, ...]  # weighted sum of squared distances, one per iteration
    imbalance: tuple[float, ...]  # k sum n_i**2 / n**2, 1 when all clusters weigh the same
    splits: tuple[int, ...]  # empty clusters given half of another, one number per iteration
    cells: Rows | None = None  # (g, d) of two levels: the way of a row to its cluster


def kmeans(
    shards: Sequence[Shard], k: int, *, iterations: int, seed: int, spherical: bool = True
) -> KMeansResult:
    """Lloyd's algorithm from a k-means++ start, until no centroid moves or `iterations` are done.

    Sums are exact, so that no centroid moves is the same as that no label changes.

    Args:
        shards: the rows, numbered through in the order of the shards; one or many, of any sizes.
        k: number of clusters, at most the number of rows.
        iterations: assignments of all rows at most, at least one.
        seed: of the start; everything else is determined.
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
    """Assign and move in turn, ending with an assignment.

    Args:
        shards: the rows.
        centroids: (k, d) to start from.
        iterations: assignments at most; they end earlier when no centroid moves.
        spherical: keep centroids on the unit sphere; otherwise they are means.
        search: with which centroids rows are compared; without it with all.
        min_gain: end when an iteration lowers the objective by a smaller share.
        basis: all is in its coordinates.
        relocate_below: when an iteration first lowers the objective by a smaller share, clusters
            that share what one could hold are moved, once, to where one holds what two should.
    """
    objective: list[float] = []
    imbalance: list[float] = []
    splits: list[int] = []
    before, patience = centroids, 0
    while True:
        candidates = search(len(objective), centroids, before)
        totals = reduce(add, [shard.assign(centroids, candidates, basis) for shard in shards])
        spreads = _spreads(centroids, totals)
        objective.append(float(spreads.sum()))
        shares = totals.counts / totals.counts.sum()
        imbalance.append(len(shares) * float(shares @ shares))
        log.info(
            "iteration %d: objective %.6g, imbalance %.2f, %d empty clusters split before",
            *(len(objective), objective[-1], imbalance[-1], splits[-1] if splits else 0),
        )
        moved = _move(centroids, totals, spherical)
        given_up = np.zeros(len(centroids), bool)
        if _gain(objective) < relocate_below:
            given_up, relocate_below = superfluous(moved, totals.counts, spreads), -np.inf
            patience = AFTER_RELOCATION if given_up.any() else 0
        settled = patience <= 0 and _gain(objective) < min_gain
        patience -= 1
        if len(objective) >= iterations or settled:
            break
        excess = _excess(totals.counts, spreads) if given_up.any() else spreads
        moved, split = _split_largest(moved, np.where(given_up, 0, totals.counts), excess)
        if np.array_equal(moved, centroids):
            break
        before, centroids = centroids, moved
        splits.append(split)
    return KMeansResult(
        centroids=centroids,
        labels=np.concatenate([shard.labels() for shard in shards]),
        counts=totals.counts,
        objective=tuple(objective),
        imbalance=tuple(imbalance),
        splits=tuple(splits),
    )


def _gain(objective: Sequence[float]) -> float:
    """Share by which the last iteration lowered the objective."""
    if len(objective) < 2:
        return 1.0
    return (objective[-2] - objective[-1]) / objective[-2] if objective[-2] else 0.0


def _spreads(centroids: Rows, totals: Totals) -> NDArray[np.float64]:
    """(k,) weighted sum of squared distances, from sums alone: |x|² - 2 c x + |c|²."""
    weights = np.maximum(totals.counts, 1)
    along = np.einsum("kd,kd->k", centroids, totals.sums, dtype=np.float64) * GRID
    means = totals.squares * SQUARE_GRID / weights - 2 * along / weights
    # A mean below half a grid step is what the rounding of the squared lengths leaves.
    steps = (means + squared_lengths(centroids)) / GRID
    return np.where(steps < 0.5, 0.0, steps) * GRID * totals.counts


def superfluous(
    centroids: Rows, counts: NDArray[np.int64], spreads: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """(k,) clusters to give up, because another one gains more from being split.

    Merging a cluster with the nearest costs what Ward's method says; splitting another gains some
    of what it costs more than its like.
    """
    exact = centroids.astype(np.float64)
    norms = squared_lengths(centroids)
    squares = norms[:, None] + norms - 2 * (exact @ exact.T)
    np.fill_diagonal(squares, np.inf)
    other = squares.argmin(axis=1)
    pairs = counts * counts[other] / np.maximum(counts + counts[other], 1)
    cost = np.where(counts > 0, pairs * squares.min(axis=1), np.inf)
    gains = np.sort(_excess(counts, spreads))[::-1]
    given_up, kept = np.zeros(len(counts), bool), np.zeros(len(counts), bool)
    for cluster in cost.argsort(kind="stable"):
        if gains[given_up.sum()] < WORTH * cost[cluster]:
            break
        if not kept[cluster] and not given_up[other[cluster]]:
            given_up[cluster] = kept[other[cluster]] = True
    return given_up


def _excess(counts: NDArray[np.int64], spreads: NDArray[np.float64]) -> NDArray[np.float64]:
    """(k,) what each cluster costs more than as many rows of the median cluster."""
    median = np.median(spreads[counts > 0] / counts[counts > 0])
    return np.maximum(spreads - median * counts, 0)


def _move(centroids: Rows, totals: Totals, spherical: bool) -> Rows:
    filled = totals.counts > 0
    means = to_grid(totals.sums * GRID / np.maximum(totals.counts, 1)[:, None])
    if spherical:
        # From the rounded means: their squares add up exactly, so the norm has one possible value.
        norms = np.sqrt(squared_lengths(means))
        filled &= norms > 0
        means = to_grid(means / np.where(filled, norms, 1)[:, None])
    return np.where(filled[:, None], means, centroids)


def _split_largest(
    centroids: Rows, counts: NDArray[np.int64], spreads: NDArray[np.float64]
) -> tuple[Rows, int]:
    """Give each empty cluster half of the one that costs most (FAISS chooses it by size).

    By spread and not by count, because a heavy row, or many equal rows, cannot be split.
    """
    points, left = centroids.copy(), spreads.copy()
    coordinates = np.arange(points.shape[1])
    directions = max(1, int(coordinates[-1]).bit_length())
    split = 0
    for empty in np.flatnonzero(counts == 0):
        donor = int(left.argmax())
        if left[donor] == 0:
            break
        # Signs by one bit of the coordinate's number: the next split goes another way, so that a
        # cluster split twice gives four different centres.
        step = np.where(coordinates >> split % directions & 1, -SPLIT_STEP, SPLIT_STEP)
        centre = points[donor].astype(np.float64)
        points[empty], points[donor] = to_grid(centre * (1 + step)), to_grid(centre * (1 - step))
        left[donor] /= 2
        left[empty] = left[donor]
        split += 1
    return points, split
