"""A shard whose rows stay in storage: a fifth of its memory, for a few more passes over its files.

Most iterations of `two_level_kmeans` see rows along a few axes. Only those projections are held.
What needs all dimensions (samples, the last two assignments) reads the rows again, some blocks at a
time. The result is that of `ArrayShard`.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vitw_ray.taxonomy.kmeans.grid import SQUARE_GRID, Basis, Rows, projected, squared_lengths
from vitw_ray.taxonomy.kmeans.grid import to_grid as on_grid
from vitw_ray.taxonomy.kmeans.nearest import nearest
from vitw_ray.taxonomy.kmeans.shards import (
    ArrayShard,
    Candidates,
    ClusterSums,
    Shard,
    View,
    add_rows,
    check_lengths,
    checked_weights,
    nearest_among,
    same_basis,
    zeros,
)
from vitw_ray.taxonomy.kmeans.two_level import FIT_DIM

STEP_ROWS = 16_384  # ours: rows in memory at a time; 25 MB of 384 numbers, twice that in float64


class StoredRows(Protocol):
    """Rows in blocks, read from storage each time; the same rows each time."""

    def sizes(self) -> Sequence[int]:
        """Number of rows of each block, none empty."""
        ...

    def vectors(self, numbers: Sequence[int]) -> NDArray[np.float32]:
        """(n, d) rows of some blocks that follow each other."""
        ...


def shard_of(stored: StoredRows, weights: ArrayLike | None = None) -> Shard:
    """A shard of stored rows; those with few dimensions are held, as nothing is projected."""
    blocks = range(len(stored.sizes()))
    if stored.vectors(blocks[:1]).shape[1] > FIT_DIM:
        return StoredShard(stored, weights)
    return ArrayShard(stored.vectors(blocks), weights)


class StoredShard:
    """As `ArrayShard`, for rows with more dimensions than are held.

    Raises:
        ValueError: as `ArrayShard`; what is wrong with a row is found when it is first read.
    """

    def __init__(self, stored: StoredRows, weights: ArrayLike | None = None) -> None:
        self._stored, sizes = stored, stored.sizes()
        self._ends = np.cumsum(sizes)
        self.weights = checked_weights(weights, int(self._ends[-1]))
        self._labels = np.zeros(len(self.weights), np.int32)
        self._checked = np.zeros(len(sizes), bool)
        self._seen: tuple[Basis, ArrayShard] | None = None

    def count(self) -> int:
        """Number of rows."""
        return len(self.weights)

    def sample(self, rows: NDArray[np.int64]) -> Rows:
        """The rows at these indices."""
        found = np.empty((len(rows), self._rows([0]).shape[1]), np.float32)
        block_of = np.searchsorted(self._ends, rows, side="right")
        for block in np.unique(block_of).tolist():
            chosen = block_of == block
            found[chosen] = self._rows([block])[rows[chosen] - self._start(block)]
        return found

    def labels(self) -> NDArray[np.int32]:
        """The cluster of each row; 0 before the first search."""
        return self._labels

    def assign(
        self, centroids: Rows, candidates: Candidates | None = None, basis: Basis | None = None
    ) -> ClusterSums:
        """Assign every row to its nearest centroid; the result is exact."""
        if basis is None:
            self._seen = None
            return self._assign_stored(centroids, candidates)
        if self._seen is None or not same_basis(self._seen[0], basis):
            self._seen = None
            seen = ArrayShard(self._projected(basis), self.weights, labels=self._labels, copy=False)
            self._seen = basis, seen
        totals = self._seen[1].assign(centroids, candidates)
        self._labels = self._seen[1].labels()
        return totals

    def _assign_stored(self, centroids: Rows, candidates: Candidates | None) -> ClusterSums:
        totals, labels = zeros(*centroids.shape), np.empty_like(self._labels)
        for part, rows in self._steps():
            before = self._labels[part]
            if candidates is None:
                found = nearest(rows, centroids).astype(np.int32)
            else:
                found = nearest_among(rows, before, centroids, candidates)
            weights = self.weights[part]
            squares = np.rint(squared_lengths(rows) / SQUARE_GRID).astype(np.int64) * weights
            add_rows(totals, View(None, rows, squares), weights, np.arange(len(rows)), found)
            labels[part] = found
        self._labels = labels
        return totals

    def _projected(self, basis: Basis) -> Rows:
        found = np.empty((self.count(), basis.shape[1]), np.float32)
        for part, rows in self._steps():
            found[part] = projected(rows, basis)
        return found

    def _steps(self) -> Iterator[tuple[slice, Rows]]:
        """All rows, some blocks at a time, and their places."""
        start, blocks = 0, list[int]()
        for block, end in enumerate(self._ends.tolist()):
            blocks.append(block)
            if end - start >= STEP_ROWS or end == self.count():
                yield slice(start, end), self._rows(blocks)
                start, blocks = end, []

    def _rows(self, blocks: Sequence[int]) -> Rows:
        rows = self._stored.vectors(blocks)
        rows = on_grid(rows, out=rows if rows.flags.writeable else None)
        if not self._checked[blocks].all():
            check_lengths(squared_lengths(rows))
            self._checked[blocks] = True
        return rows

    def _start(self, block: int) -> int:
        return int(self._ends[block - 1]) if block else 0
