"""Rows for k-means: what the algorithm asks of them, and the rows that lie in one array.

A shard is its rows and the cluster that each is in. The state after any call depends on the rows
and on the calls since the last search among all centroids, on nothing else: a lost shard comes back
by making those calls again.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix

from vitw_ray.taxonomy.kmeans.grid import (
    GRID,
    SQUARE_GRID,
    Basis,
    Rows,
    projected,
    squared_lengths,
    to_grid,
)
from vitw_ray.taxonomy.kmeans.nearest import nearest

BLOCK_ROWS = 1024  # ours: of a search; with as many candidates, 4 MB of scores
CACHED = 2**17  # ours: numbers of a block that is read and converted; 1 MB of float64
SUMMED = 2**20  # ours: numbers of a block that is summed, where every block has a cost of its own
MAX_WEIGHT = 2**29  # so that the squared lengths of all rows add up within an int64


@dataclass(frozen=True, slots=True)
class Candidates:
    """With which centroids a row is compared, by the cluster it is in: those of its group."""

    group: NDArray[np.int32]  # (clusters until now,) the group of each
    starts: NDArray[np.int64]  # (groups + 1,) where each group's centroids start in `members`
    members: NDArray[np.int32]  # numbers of centroids, ascending within each group

    def of(self, group: int) -> NDArray[np.int32]:
        """Numbers of a group's centroids."""
        return self.members[self.starts[group] : self.starts[group + 1]]


@dataclass(frozen=True, slots=True)
class ClusterSums:
    """What n rows add up to in each of k clusters. Integers, so shards merge by addition."""

    sums: NDArray[np.int64]  # (k, d) weighted sum of the rows, in units of GRID
    counts: NDArray[np.int64]  # (k,) weight of the rows
    squares: NDArray[np.int64]  # (k,) weighted sum of squared lengths, in units of SQUARE_GRID

    def __add__(self, other: "ClusterSums") -> "ClusterSums":
        """The sums of both."""
        return ClusterSums(
            self.sums + other.sums, self.counts + other.counts, self.squares + other.squares
        )


class Shard(Protocol):
    """A set of rows, wherever it lies; it may itself stand for many shards that work at once."""

    def count(self) -> int:
        """Number of rows."""
        ...

    def sample(self, rows: NDArray[np.int64]) -> Rows:
        """The rows with these numbers (0-based within the shard), in the order asked for."""
        ...

    def assign(
        self, centroids: Rows, candidates: Candidates | None = None, basis: Basis | None = None
    ) -> ClusterSums:
        """Put every row into the cluster of its exactly nearest centroid.

        Nearest of all, or, with candidates, of those that its present cluster leads to. With a
        basis, rows, centroids and totals are in its coordinates.
        """
        ...

    def labels(self) -> NDArray[np.int32]:
        """(n,) the cluster that each row is in."""
        ...


class ArrayShard:
    """An (n, d) array of points in the unit ball, each with an integer weight (default 1).

    Raises:
        ValueError: points that are no (n, d) array, not finite or outside the unit ball, or
            weights that are not positive, not one per row, or too heavy for exact sums.
    """

    def __init__(self, points: ArrayLike, weights: ArrayLike | None = None) -> None:
        points = np.asarray(points)
        if points.ndim != 2:
            raise ValueError(f"points have shape {points.shape}: give one row per point, (n, d)")
        self.rows: Rows = np.empty(points.shape, np.float32)
        lengths = np.empty(len(points))
        for block in _blocks(len(points), CACHED // max(1, points.shape[1])):
            lengths[block] = squared_lengths(to_grid(points[block], self.rows[block]))
        _check_lengths(lengths)
        self.weights = _checked_weights(weights, len(points))
        self.squares = np.rint(lengths / SQUARE_GRID).astype(np.int64) * self.weights
        self._labels = np.zeros(len(points), np.int32)
        self._view = _View(None, self.rows, self.squares)
        self._totals: ClusterSums | None = None  # of the view and the labels

    def count(self) -> int:
        """Number of rows."""
        return len(self.rows)

    def sample(self, rows: NDArray[np.int64]) -> Rows:
        """The rows with these numbers."""
        return self.rows[rows]

    def labels(self) -> NDArray[np.int32]:
        """The cluster of each row; 0 before the first search."""
        return self._labels

    def assign(
        self, centroids: Rows, candidates: Candidates | None = None, basis: Basis | None = None
    ) -> ClusterSums:
        """Every row to its nearest centroid: an exact result, in blocks that only bound memory."""
        before, known, view = self._labels, self._totals, self._view
        if not same_basis(basis, view.basis):
            view, known = self._seen_in(basis), None
        if candidates is None:
            self._labels = nearest(view.rows, centroids).astype(np.int32)
        else:
            self._labels = _nearest_among(view.rows, before, centroids, candidates)
        changed = np.flatnonzero(self._labels != before)
        if known is None or len(known.counts) != len(centroids) or 2 * len(changed) > len(before):
            totals = _zeros(*centroids.shape)
            self._add(totals, view, np.arange(len(before)), self._labels)
        else:  # sums are exact: rows can be taken out of one cluster and put into another
            totals = ClusterSums(known.sums.copy(), known.counts.copy(), known.squares.copy())
            self._add(totals, view, changed, before, sign=-1)
            self._add(totals, view, changed, self._labels)
        self._totals, self._view = totals, view
        return totals

    def _seen_in(self, basis: Basis | None) -> "_View":
        if basis is None:
            return _View(None, self.rows, self.squares)
        rows = np.empty((len(self.rows), basis.shape[1]), np.float32)
        squares = np.empty(len(rows), np.int64)
        for block in _blocks(len(rows), CACHED // self.rows.shape[1]):
            rows[block] = projected(self.rows[block], basis)
            squares[block] = np.rint(squared_lengths(rows[block]) / SQUARE_GRID)
        return _View(basis, rows, squares * self.weights)

    def _add(
        self,
        totals: ClusterSums,
        view: "_View",
        rows: NDArray[np.int64],
        labels: NDArray[np.int32],
        sign: Literal[1, -1] = 1,
    ) -> None:
        """Add these rows to the totals, under these labels of all rows, or take them away."""
        rows = rows[_order(labels[rows])]  # few clusters in each block
        for block in _blocks(len(rows), SUMMED // view.rows.shape[1]):
            part = rows[block]
            clusters, starts = np.unique(labels[part], return_index=True)
            weights = sign * self.weights[part].astype(np.float64)
            places = np.append(starts, len(part))
            shape = (len(clusters), len(part))
            members = csr_matrix((weights, np.arange(len(part)), places), shape)
            # A whole number of grid steps below 2**53: nothing is lost in float64.
            sums = members @ view.rows[part].astype(np.float64) / GRID
            totals.sums[clusters] += sums.astype(np.int64)
        np.add.at(totals.counts, labels[rows], sign * self.weights[rows])
        np.add.at(totals.squares, labels[rows], sign * view.squares[rows])


@dataclass(frozen=True, slots=True)
class _View:
    """Rows in the coordinates of a basis, and their weighted squared lengths."""

    basis: Basis | None
    rows: Rows
    squares: NDArray[np.int64]


def same_basis(one: Basis | None, other: Basis | None) -> bool:
    """Whether two bases see rows alike."""
    return one is other or (one is not None and other is not None and np.array_equal(one, other))


def _nearest_among(
    rows: Rows, labels: NDArray[np.int32], centroids: Rows, candidates: Candidates
) -> NDArray[np.int32]:
    found = np.empty_like(labels)
    for members, chosen in groups_of(labels, candidates):
        if len(members) == 1:
            found[chosen] = members
            continue
        near = centroids[members]
        for block in _blocks(len(chosen)):
            part = chosen[block]
            found[part] = members[nearest(rows[part], near)]
    return found


def _zeros(k: int, dim: int) -> ClusterSums:
    return ClusterSums(np.zeros((k, dim), np.int64), np.zeros(k, np.int64), np.zeros(k, np.int64))


def groups_of(
    labels: NDArray[np.int32], candidates: Candidates
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int64]]]:
    """For each group that has any: the numbers of its candidates, and of the rows it has."""
    groups = candidates.group[labels]
    ends = np.bincount(groups, minlength=len(candidates.starts) - 1).cumsum()
    parts = np.split(_order(groups), ends[:-1])
    return ((candidates.of(group), rows) for group, rows in enumerate(parts) if len(rows))


def _order(labels: NDArray[np.int32]) -> NDArray[np.int64]:
    """Positions by label, and by position where labels are equal."""
    small = len(labels) and labels.max() < 2**16  # numpy counts numbers of 16 bits, others it sorts
    return (labels.astype(np.uint16) if small else labels).argsort(kind="stable")


def _blocks(n: int, size: int = BLOCK_ROWS) -> Iterator[slice]:
    size = max(1, size)
    return (slice(start, start + size) for start in range(0, n, size))


def _check_lengths(squared: NDArray[np.float64]) -> None:
    if not np.isfinite(squared).all():
        row = int(np.flatnonzero(~np.isfinite(squared))[0])
        raise ValueError(f"point {row} holds NaN or infinity: leave it out, or embed it again")
    if not np.all(squared < 1.001):
        row = int(squared.argmax())
        raise ValueError(f"point {row} lies outside the unit ball: scale the points down")


def _checked_weights(weights: ArrayLike | None, rows: int) -> NDArray[np.int64]:
    if weights is None:
        return np.ones(rows, np.int64)
    checked = np.asarray(weights, np.int64)
    if checked.shape != (rows,) or np.any(checked < 1):
        raise ValueError("weights are not one positive number per row")
    if checked.sum() >= MAX_WEIGHT:
        raise ValueError(f"weights add up to {MAX_WEIGHT} or more: divide the rows over shards")
    return checked
