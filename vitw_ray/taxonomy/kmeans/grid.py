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

Basis = NDArray[np.float32]
"""(d, e) nearly orthonormal columns, to see rows in e < d coordinates; multiples of `BASIS_GRID`,
no column longer than 1."""

BASIS_GRID = 2.0**-11  # ours: with rows rounded to 2**-12, float32 holds their products exactly:
BASIS_SCALE = 0.98  # ours: room for the rounding of the columns
BASIS_ROWS = 2048  # ours: of the sample; twenty for each axis
POWER_ITERATIONS = 2  # ours: enough to tell large axes from small ones
_COARSE = np.float32(3 * 2**10)  # units of 2**-23, and by their lengths no sum is larger than 1


def to_grid(points: ArrayLike, out: Rows | None = None) -> Rows:
    """The points with every coordinate rounded to a multiple of `GRID`, in `out` or a new array."""
    points = np.asarray(points)
    rows = np.empty(points.shape, np.float32) if out is None else out
    with np.errstate(over="ignore"):  # infinity is found where rows are checked
        np.add(points, _BETWEEN_2_AND_4, out=rows, casting="same_kind")
    rows -= _BETWEEN_2_AND_4
    return rows


def squared_lengths(rows: Rows) -> NDArray[np.float64]:
    """(n,) exact squared lengths of rows on the grid."""
    exact = rows.astype(np.float64)
    return np.einsum("nd,nd->n", exact, exact)


def projected(rows: Rows, basis: Basis) -> Rows:
    """(n, e) the rows in the coordinates of a basis: exact, of rows rounded to a coarser grid."""
    return to_grid(coarse(rows) @ basis)


def coarse(rows: Rows) -> Rows:
    """The rows rounded to multiples of 2**-12."""
    rounded = rows + _COARSE
    rounded -= _COARSE
    return rounded


def lifted(points: Rows, basis: Basis) -> Rows:
    """(k, d) what has these (k, e) coordinates, as near as the basis is orthonormal."""
    return to_grid(points.astype(np.float64) @ basis.astype(np.float64).T)


def principal_basis(sample: Rows, size: int, rng: np.random.Generator) -> Basis:
    """Nearly the first principal axes of a sample, by subspace iteration from random ones."""
    points = sample[:: -(-len(sample) // BASIS_ROWS)].astype(np.float64)
    axes = rng.standard_normal((sample.shape[1], size))
    for _ in range(POWER_ITERATIONS):
        axes, _ = np.linalg.qr(points.T @ (points @ axes))
    return (np.rint(axes * BASIS_SCALE / BASIS_GRID) * BASIS_GRID).astype(np.float32)
