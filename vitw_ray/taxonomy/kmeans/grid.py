"""The grid that makes k-means exact: all coordinates are multiples of one small power of two.

A scalar product of points on the grid is a multiple of `GRID`**2 that float64 represents exactly,
in any order of summation. Sums over rows are int64 in units of `GRID`. So results do not depend on
shards, blocks, threads or the BLAS library.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

GRID = 2.0**-22  # ours: squared distances need 46 of 53 bits; coordinates are off by about 1e-7
SQUARE_GRID = 2.0**-33  # ours: unit of squared lengths; the sum of 2**29 rows fits an int64
_BETWEEN_2_AND_4 = np.float32(3)  # the spacing of float32 is GRID there, so adding it rounds

Rows = NDArray[np.float32]
"""(n, d) points in the unit ball; coordinates are multiples of `GRID`, exact in float32."""

Basis = NDArray[np.float32]
"""(d, e) nearly orthonormal columns that project rows to e < d coordinates; multiples of
`BASIS_GRID`, no column longer than 1."""

# Products of rows rounded to 2**-12 and columns on BASIS_GRID are multiples of 2**-23, and by their
# lengths no sum exceeds 1, so float32 is exact.
BASIS_GRID = 2.0**-11  # ours
BASIS_SCALE = 0.98  # ours: margin, so that no column is longer than 1 after rounding
BASIS_ROWS = 2048  # ours: rows of the sample used for the axes, about twenty per axis
POWER_ITERATIONS = 2  # ours: enough to separate large axes from small ones
_COARSE = np.float32(3 * 2**10)  # the spacing of float32 is 2**-12 there, so adding it rounds


def to_grid(points: ArrayLike, out: Rows | None = None) -> Rows:
    """Round every coordinate to a multiple of `GRID`, into `out` or a new array."""
    points = np.asarray(points)
    rows = np.empty(points.shape, np.float32) if out is None else out
    with np.errstate(over="ignore"):  # infinity is rejected when rows are checked
        np.add(points, _BETWEEN_2_AND_4, out=rows, casting="same_kind")
    rows -= _BETWEEN_2_AND_4
    return rows


def squared_lengths(rows: Rows) -> NDArray[np.float64]:
    """(n,) exact squared lengths of rows on the grid."""
    exact = rows.astype(np.float64)
    return np.einsum("nd,nd->n", exact, exact)


def projected(rows: Rows, basis: Basis) -> Rows:
    """(n, e) coordinates of the rows in a basis; exact for rows rounded to a coarser grid."""
    return to_grid(coarse(rows) @ basis)


def coarse(rows: Rows) -> Rows:
    """The rows rounded to multiples of 2**-12."""
    rounded = rows + _COARSE
    rounded -= _COARSE
    return rounded


def lifted(points: Rows, basis: Basis) -> Rows:
    """(k, d) points with these (k, e) coordinates, up to the basis not being orthonormal."""
    return to_grid(points.astype(np.float64) @ basis.astype(np.float64).T)


def principal_basis(sample: Rows, size: int, rng: np.random.Generator) -> Basis:
    """Approximate first principal axes of a sample, by subspace iteration from a random start."""
    points = sample[:: -(-len(sample) // BASIS_ROWS)].astype(np.float64)
    axes = rng.standard_normal((sample.shape[1], size))
    for _ in range(POWER_ITERATIONS):
        axes, _ = np.linalg.qr(points.T @ (points @ axes))
    return (np.rint(axes * BASIS_SCALE / BASIS_GRID) * BASIS_GRID).astype(np.float32)
