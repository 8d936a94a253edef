"""The interface between k-means and its rows, and its implementation for one array.

The state of a shard is its rows and the cluster of each. After any call the state depends only on
the rows and on the calls since the last search over all centroids, so a lost shard is restored by
repeating those calls.
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

BLOCK_ROWS = 1024  # ours: rows per search block; with as many candidates, 4 MB of scores
CACHED = 2**17  # ours: numbers per block when converting; 1 MB of float64
SUMMED = 2**20  # ours: numbers per block when summing; larger, as each block has a fixed cost
MAX_WEIGHT = 2**29  # so that the sum of squared lengths fits an int64


@dataclass(frozen=True, slots=True)
class Candidates:
    """The centroids to compare a row with: those of the group of its current cluster."""

    group: NDArray[np.int32]  # (current clusters,) the group of each
    starts: NDArray[np.int64]  # (groups + 1,) where each group's centroids start in `members`
    members: NDArray[np.int32]  # indices of centroids, ascending within each group

    def of(self, group: int) -> NDArray[np.int32]:
        """Indices of a group's centroids."""
        return self.members[self.starts[group] : self.starts[group + 1]]


@dataclass(frozen=True, slots=True)
class ClusterSums:
    """Sums of the rows in each of k clusters. They are integers, so shards merge by addition."""

    sums: NDArray[np.int64]  # (k, d) weighted sum of the rows, in units of GRID
    counts: NDArray[np.int64]  # (k,) weight of the rows
    squares: NDArray[np.int64]  # (k,) weighted sum of squared lengths, in units of SQUARE_GRID

    def __add__(self, other: "ClusterSums") -> "ClusterSums":
        """The sums of both."""
        return ClusterSums(
            self.sums + other.sums, self.counts + other.counts, self.squares + other.squares
        )


class Shard(Protocol):
    """A set of rows, in any memory; one object may represent many shards that work in parallel."""

    def count(self) -> int:
        """Number of rows."""
        ...

    def sample(self, rows: NDArray[np.int64]) -> Rows:
        """The rows at these indices (0-based within the shard), in the given order."""
        ...

    def assign(
        self, centroids: Rows, candidates: Candidates | None = None, basis: Basis | None = None
    ) -> ClusterSums:
        """Assign every row to its exactly nearest centroid; return the totals of all clusters.

        Without candidates, all centroids are searched; with candidates, those given by the row's
        current cluster. With a basis, rows, centroids and totals are in its coordinates.
        """
        ...

    def labels(self) -> NDArray[np.int32]:
        """(n,) cluster of each row."""
        ...


class ArrayShard:
    """An (n, d) array of points in the unit ball, each with an integer weight (default 1).

    Raises:
        ValueError: the points are not an (n, d) array, not finite or outside the unit ball, or the
            weights are not positive, not one per row, or too large for exact sums.
    """

    def __init__(
        self,
        points: ArrayLike,
        weights: ArrayLike | None = None,
        *,
        labels: NDArray[np.int32] | None = None,
        copy: bool = True,
    ) -> None:
        """Hold rows.

        Args:
            points: (n, d)
            weights: (n,) positive integers; default 1.
            labels: (n,) the cluster of each row; default 0.
            copy: False: `points` is an array of float32 that is changed and kept.
        """
        points = np.asarray(points)
        if points.ndim != 2:
            raise ValueError(f"points have shape {points.shape}: give one row per point, (n, d)")
        self.rows: Rows = np.empty(points.shape, np.float32) if copy else points
        lengths = np.empty(len(points))
        for block in _blocks(len(points), CACHED // max(1, points.shape[1])):
            lengths[block] = squared_lengths(to_grid(points[block], self.rows[block]))
        check_lengths(lengths)
        self.weights = checked_weights(weights, len(points))
        self.squares = np.rint(lengths / SQUARE_GRID).astype(np.int64) * self.weights
        self._labels = np.zeros(len(points), np.int32) if labels is None else labels
        self._view = View(None, self.rows, self.squares)
        self._totals: ClusterSums | None = None  # for the current view and labels

    def count(self) -> int:
        """Number of rows."""
        return len(self.rows)

    def sample(self, rows: NDArray[np.int64]) -> Rows:
        """The rows at these indices."""
        return self.rows[rows]

    def labels(self) -> NDArray[np.int32]:
        """The cluster of each row; 0 before the first search."""
        return self._labels

    def assign(
        self, centroids: Rows, candidates: Candidates | None = None, basis: Basis | None = None
    ) -> ClusterSums:
        """Assign every row to its nearest centroid. Blocks bound memory; the result is exact."""
        before, known, view = self._labels, self._totals, self._view
        if not same_basis(basis, view.basis):
            view, known = self._seen_in(basis), None
        if candidates is None:
            self._labels = nearest(view.rows, centroids).astype(np.int32)
        else:
            self._labels = nearest_among(view.rows, before, centroids, candidates)
        changed = np.flatnonzero(self._labels != before)
        if known is None or len(known.counts) != len(centroids) or 2 * len(changed) > len(before):
            totals = zeros(*centroids.shape)
            add_rows(totals, view, self.weights, np.arange(len(before)), self._labels)
        else:  # sums are exact: move the changed rows from one cluster to the other
            totals = ClusterSums(known.sums.copy(), known.counts.copy(), known.squares.copy())
            add_rows(totals, view, self.weights, changed, before, sign=-1)
            add_rows(totals, view, self.weights, changed, self._labels)
        self._totals, self._view = totals, view
        return totals

    def _seen_in(self, basis: Basis | None) -> "View":
        if basis is None:
            return View(None, self.rows, self.squares)
        rows = np.empty((len(self.rows), basis.shape[1]), np.float32)
        squares = np.empty(len(rows), np.int64)
        for block in _blocks(len(rows), CACHED // self.rows.shape[1]):
            rows[block] = projected(self.rows[block], basis)
            squares[block] = np.rint(squared_lengths(rows[block]) / SQUARE_GRID)
        return View(basis, rows, squares * self.weights)


@dataclass(frozen=True, slots=True)
class View:
    """Rows in the coordinates of a basis, and their weighted squared lengths."""

    basis: Basis | None
    rows: Rows
    squares: NDArray[np.int64]


def add_rows(
    totals: ClusterSums,
    view: View,
    weights: NDArray[np.int64],
    rows: NDArray[np.int64],
    labels: NDArray[np.int32],
    sign: Literal[1, -1] = 1,
) -> None:
    """Add rows to the totals of their clusters, or subtract them; `labels` has all rows."""
    rows = rows[_order(labels[rows])]  # so that a block has few clusters
    for block in _blocks(len(rows), SUMMED // view.rows.shape[1]):
        part = rows[block]
        clusters, starts = np.unique(labels[part], return_index=True)
        signed = sign * weights[part].astype(np.float64)
        places = np.append(starts, len(part))
        shape = (len(clusters), len(part))
        members = csr_matrix((signed, np.arange(len(part)), places), shape)
        # An integer number of grid steps below 2**53: exact in float64.
        sums = members @ view.rows[part].astype(np.float64) / GRID
        totals.sums[clusters] += sums.astype(np.int64)
    np.add.at(totals.counts, labels[rows], sign * weights[rows])
    np.add.at(totals.squares, labels[rows], sign * view.squares[rows])


def same_basis(one: Basis | None, other: Basis | None) -> bool:
    """Whether two bases are equal."""
    return one is other or (one is not None and other is not None and np.array_equal(one, other))


def nearest_among(
    rows: Rows, labels: NDArray[np.int32], centroids: Rows, candidates: Candidates
) -> NDArray[np.int32]:
    """The exactly nearest candidate of each row, given its current cluster."""
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


def zeros(k: int, dim: int) -> ClusterSums:
    """The sums of no rows."""
    return ClusterSums(np.zeros((k, dim), np.int64), np.zeros(k, np.int64), np.zeros(k, np.int64))


def groups_of(
    labels: NDArray[np.int32], candidates: Candidates
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int64]]]:
    """For each non-empty group, the indices of its candidates and of its rows."""
    groups = candidates.group[labels]
    ends = np.bincount(groups, minlength=len(candidates.starts) - 1).cumsum()
    parts = np.split(_order(groups), ends[:-1])
    return ((candidates.of(group), rows) for group, rows in enumerate(parts) if len(rows))


def _order(labels: NDArray[np.int32]) -> NDArray[np.int64]:
    """Positions sorted by label, stable."""
    small = len(labels) and labels.max() < 2**16  # numpy uses a radix sort for 16-bit integers
    return (labels.astype(np.uint16) if small else labels).argsort(kind="stable")


def _blocks(n: int, size: int = BLOCK_ROWS) -> Iterator[slice]:
    size = max(1, size)
    return (slice(start, start + size) for start in range(0, n, size))


def check_lengths(squared: NDArray[np.float64]) -> None:
    """Refuse rows with these squared lengths if one is not finite or outside the unit ball."""
    if not np.isfinite(squared).all():
        row = int(np.flatnonzero(~np.isfinite(squared))[0])
        raise ValueError(f"point {row} has NaN or infinity: remove it, or embed it again")
    if not np.all(squared < 1.001):
        row = int(squared.argmax())
        raise ValueError(f"point {row} is outside the unit ball: scale the points down")


def checked_weights(weights: ArrayLike | None, rows: int) -> NDArray[np.int64]:
    """The weights, or ones; refused if they are not positive, or too large for exact sums."""
    if weights is None:
        return np.ones(rows, np.int64)
    checked = np.asarray(weights, np.int64)
    if checked.shape != (rows,) or np.any(checked < 1):
        raise ValueError("weights are not one positive number per row")
    if checked.sum() >= MAX_WEIGHT:
        raise ValueError(f"weights add up to {MAX_WEIGHT} or more: divide the rows over shards")
    return checked
