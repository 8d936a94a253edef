"""Log odds ratios drawn towards 0 by an informative prior, to rank pairs by.

Monroe, Colaresi and Quinn (Political Analysis 2008): before anything is counted, both sides of a
comparison (conversations with the column's label, and those without it) hold the row's label as
often as all conversations do. The prior has the weight of `PRIOR` conversations with the label on
each side. What is seen twice where 0.03 are expected hardly moves it; what is seen a thousand times
where 200 are expected does.
"""

import numpy as np

from vitw_ray.gate import Mask
from vitw_ray.intervals import Floats, z_quantile
from vitw_ray.statistics.contingency import Integers

PRIOR = 5.0  # ours: the count below which a table is too small for its chi-square (Cochran, 1954)
LEAST_EVIDENCE = 5  # ours: with fewer observed, and fewer expected, no pair is ranked


def log_odds(
    observed: Integers, row: Integers, column: Integers, conversations: int | Integers
) -> tuple[Floats, Floats, Floats]:
    """Shrunken log odds ratio with the ends of its 95 % interval, elementwise.

    NaN if a margin is empty or if the pair has less than `LEAST_EVIDENCE`.
    """
    n = conversations
    defined = (row > 0) & (row < n) & (column > 0) & (column < n)
    without = PRIOR * np.divide(n - row, row, out=np.zeros(row.shape), where=row > 0)
    cells = (
        observed + PRIOR,
        column - observed + without,
        row - observed + PRIOR,
        n - row - column + observed + without,
    )
    a, b, c, d = (np.where(defined, cell, 1.0) for cell in cells)
    middle = np.log(a) - np.log(b) - np.log(c) + np.log(d)
    half = z_quantile() * np.sqrt(1 / a + 1 / b + 1 / c + 1 / d)
    known = defined & has_evidence(observed, row, column, n)
    middle = np.where(known, middle, np.nan)
    return middle, middle - half, middle + half


def has_evidence(
    observed: Integers, row: Integers, column: Integers, conversations: int | Integers
) -> Mask:
    """Whether enough conversations hold a pair, or were expected to."""
    expected = row * (column / np.maximum(conversations, 1))
    return (observed >= LEAST_EVIDENCE) | (expected >= LEAST_EVIDENCE)
