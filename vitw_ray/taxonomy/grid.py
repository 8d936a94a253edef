"""The grid that makes k-means exact: all coordinates are multiples of one small power of two.

A scalar product of points on the grid is a multiple of `GRID`**2 that float64 holds exactly, in
whatever order it is added up; sums over rows are int64 in units of `GRID`. What is decided from
them therefore does not depend on shards, blocks, threads or the BLAS library.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

GRID = 2.0**-22  # ours: squared distances take 46 of 53 bits, and a coordinate loses 1e-7
SQUARE_GRID = 2.0**-33  # ours: of a row's squared length; 2**29 of them still fit an int64
_BETWEEN_2_AND_4 = np.float32(3)  # where float32 is spaced by GRID: there adding rounds to it

Rows = NDArray[np.float32]
"""(n, d) points in the unit ball, coordinates multiples of `GRID`, which float32 holds exactly."""


def to_grid(points: ArrayLike, out: Rows | None = None) -> Rows:
    """The points with every coordinate rounded to a multiple of `GRID`, in `out` or a new array."""
    points = np.asarray(points)
    rows = np.empty(points.shape, np.float32) if out is None else out
    np.add(points, _BETWEEN_2_AND_4, out=rows, casting="same_kind")
    rows -= _BETWEEN_2_AND_4
    return rows


def squared_lengths(rows: Rows) -> NDArray[np.float64]:
    """(n,) exact squared lengths of rows on the grid."""
    exact = rows.astype(np.float64)
    return np.einsum("nd,nd->n", exact, exact)
