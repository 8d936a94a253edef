"""k-means, written once against an object with four methods: one array, or many machines.

The result is a function of the rows alone, not of how they are divided over shards, of block sizes,
threads or the BLAS library, because nothing that decides is ever rounded. All coordinates are
multiples of `GRID` inside the unit ball, so a scalar product or a squared distance is a multiple of
`GRID`**2 that float64 holds exactly, in whatever order it is added up; sums over rows are int64 in
units of `GRID`. The few operations left over (a division, a square root) act on one number and are
correctly rounded by IEEE 754.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

GRID = 2.0**-22  # ours: squared distances take 46 of 53 bits, and a coordinate loses 1e-7
SAMPLE_ROWS = 4096  # ours: k-means++ sees every row of a list of labels ...
SAMPLE_ROWS_PER_CENTRE = 4  # ... and a share of more that costs it less than Lloyd's iterations
SPLIT_STEP = 1 / 1024  # how far the halves of a split centre move apart (FAISS's EPS)

Rows = NDArray[np.float32]
"""(n, d) points in the unit ball, coordinates multiples of `GRID`, which float32 holds exactly."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """What one shard of n rows says about k centroids. Integers, so shards merge by addition."""

    labels: NDArray[np.int32]  # (n,) nearest centroid, the lowest number among equally near ones
    distances: NDArray[np.float32]  # (n,) squared Euclidean distance to it
    sums: NDArray[np.int64]  # (k, d) weighted sum of the rows of each cluster, in units of GRID
    counts: NDArray[np.int64]  # (k,) weight of each cluster
    spreads: NDArray[np.int64]  # (k,) weighted sum of its squared distances, in units of GRID


class Shard(Protocol):
    """A set of rows, wherever it lives; it may itself stand for many shards that work at once."""

    def count(self) -> int:
        """Number of rows."""
        ...

    def dim(self) -> int:
        """Length of a row."""
        ...

    def sample(self, rows: NDArray[np.int64]) -> Rows:
        """The rows with these numbers (0-based within the shard), in the order asked for."""
        ...

    def assign(self, centroids: Rows) -> Assignment:
        """Every row to its nearest centroid, exactly."""
        ...


@dataclass(frozen=True, slots=True)
class KMeansResult:
    """Clusters of n rows; `labels` and `distances` belong to `centroids`, rows in global order."""

    centroids: Rows  # (k, d)
    labels: NDArray[np.int32]  # (n,)
    distances: NDArray[np.float32]  # (n,) squared
    counts: NDArray[np.int64]  # (k,) weight of each cluster; 0 where one stayed empty
    objective: tuple[float, ...]  # weighted sum of squared distances, one per iteration
    splits: tuple[int, ...]  # empty clusters given half of another, one number per iteration


def to_grid(points: ArrayLike) -> Rows:
    """The points with every coordinate rounded to a multiple of `GRID`."""
    # Exact but for the one rounding that is meant: the scale is a power of two.
    return (np.rint(np.asarray(points) / GRID) * GRID).astype(np.float32)


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
    total = sum(shard.count() for shard in shards)
    if not 1 <= k <= total:
        raise ValueError(f"k is {k}: give 1 to {total}, the number of rows")
    centroids = _plus_plus(shards, k, seed)
    objective: list[float] = []
    splits: list[int] = []
    while True:
        parts = [shard.assign(centroids) for shard in shards]
        sums = np.sum([part.sums for part in parts], axis=0)
        counts = np.sum([part.counts for part in parts], axis=0)
        spreads = np.sum([part.spreads for part in parts], axis=0)
        objective.append(int(spreads.sum()) * GRID)
        moved = _move(centroids, sums, counts, spherical)
        moved, split = _split_largest(moved, counts, spreads)
        splits.append(split)
        if len(objective) >= iterations or np.array_equal(moved, centroids):
            break
        centroids = moved
    return KMeansResult(
        centroids=centroids,
        labels=np.concatenate([part.labels for part in parts]),
        distances=np.concatenate([part.distances for part in parts]),
        counts=counts,
        objective=tuple(objective),
        splits=tuple(splits[:-1]),  # the last was never used
    )


def _move(
    centroids: Rows, sums: NDArray[np.int64], counts: NDArray[np.int64], spherical: bool
) -> Rows:
    filled = counts > 0
    moved = centroids.copy()
    moved[filled] = to_grid(sums[filled] * GRID / counts[filled, None])
    if spherical:
        # From the rounded means: their squares add up exactly, so the norm has one possible value.
        means = moved.astype(np.float64)
        norms = np.sqrt(np.einsum("kd,kd->k", means, means))
        filled &= norms > 0
        moved[filled] = to_grid(means[filled] / norms[filled, None])
    return moved


def _split_largest(
    centroids: Rows, counts: NDArray[np.int64], spreads: NDArray[np.int64]
) -> tuple[Rows, int]:
    """Give each empty cluster half of the one that costs most (FAISS chooses it by size).

    By spread and not by count, because a heavy row, or many equal rows, cannot be split.
    """
    points, left = centroids.astype(np.float64), spreads.copy()
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
        points[empty] = points[donor] * (1 + step)
        points[donor] *= 1 - step
        left[donor] //= 2
        left[empty] = left[donor]
        split += 1
    return to_grid(points), split


def _plus_plus(shards: Sequence[Shard], k: int, seed: int) -> Rows:
    """Greedy k-means++ on a sample: of a few rows drawn by squared distance, keep the best."""
    rng = np.random.default_rng(seed)
    sample = _draw(shards, max(SAMPLE_ROWS, SAMPLE_ROWS_PER_CENTRE * k), rng)
    points = sample.astype(np.float64)
    norms = np.einsum("md,md->m", points, points)

    def distances_to(rows: NDArray[np.intp]) -> NDArray[np.int64]:
        """(m, t) squared, in units of `GRID`: integers, so that draws and sums are exact too."""
        squares = norms[:, None] + norms[rows] - 2 * (points @ points[rows].T)
        return np.rint(squares / GRID).astype(np.int64)

    trials = 2 + int(np.log(k))  # the greedy variant, as in scikit-learn
    chosen = [int(rng.integers(len(points)))]
    nearest = distances_to(np.array(chosen))[:, 0]
    while len(chosen) < k:
        cumulative = nearest.cumsum()
        # Not `integers`: which draws that rejects depends on the total, so that a change of 1e-7
        # in one point would draw all others anew.
        draws = rng.random(trials) * cumulative[-1]
        # Past the end only when every row coincides with a centre: then any row will do.
        rows = np.searchsorted(cumulative, draws, side="right").clip(max=len(points) - 1)
        reach = np.minimum(nearest[:, None], distances_to(rows))
        best = int(reach.sum(axis=0).argmin())
        chosen.append(int(rows[best]))
        nearest = reach[:, best]
    return sample[chosen]


def _draw(shards: Sequence[Shard], size: int, rng: np.random.Generator) -> Rows:
    """At most `size` rows, drawn by their global number and in its order."""
    ends = np.cumsum([shard.count() for shard in shards])
    total = int(ends[-1])
    rows = np.arange(total)
    if total > size:
        rows = np.sort(rng.choice(total, size, replace=False))
    cuts = np.split(rows, np.searchsorted(rows, ends[:-1]))
    starts = [0, *ends[:-1]]
    return np.concatenate(
        [shard.sample(cut - start) for shard, cut, start in zip(shards, cuts, starts, strict=True)]
    )
