"""Intervals of shares and of odds ratios, for whole arrays at once.

Both take conversations as independent draws; when one account brings many of them, the true
intervals are wider.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

Floats = NDArray[np.float64]

CONFIDENCE = 0.95  # ours: the convention; every `low` and `high` column


def share(part: ArrayLike, whole: ArrayLike) -> Floats:
    """`part / whole`, NaN where `whole` is 0; shapes broadcast."""
    k, n = np.broadcast_arrays(np.asarray(part, float), np.asarray(whole, float))
    return np.divide(k, n, out=np.full(k.shape, np.nan), where=n > 0)


def wilson(
    part: ArrayLike, whole: ArrayLike, confidence: float = CONFIDENCE
) -> tuple[Floats, Floats]:
    """Score interval of a share (Wilson, 1927): low and high, NaN where `whole` is 0.

    The set of shares that a two-sided score test would not reject. It stays within 0 and 1, and
    has a width at 0 of n and n of n, where the textbook interval has none.
    """
    p = share(part, whole)
    n = np.where(np.isnan(p), 1.0, np.asarray(whole, float))
    z = z_quantile(confidence)
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    # At the ends the bound is exactly 0 or 1; rounding would leave 1e-17 in its place.
    low = np.where(p == 0, 0.0, middle - half)
    high = np.where(p == 1, 1.0, middle + half)
    return low, high


def odds_ratio(
    both: ArrayLike,
    row_only: ArrayLike,
    column_only: ArrayLike,
    neither: ArrayLike,
    confidence: float = CONFIDENCE,
) -> tuple[Floats, Floats, Floats]:
    """Odds ratio of 2 x 2 tables, with the interval that is normal on the log scale (Woolf, 1955).

    Half a conversation is added to each of the four cells of every table (Haldane, 1956; Anscombe,
    1956): it takes most of the bias out of the log odds ratio, and a table with an empty cell
    keeps a finite, comparable ratio.
    """
    a, b, c, d = (np.asarray(cell, float) + 0.5 for cell in (both, row_only, column_only, neither))
    log_ratio = np.log(a) + np.log(d) - np.log(b) - np.log(c)
    half = z_quantile(confidence) * np.sqrt(1 / a + 1 / b + 1 / c + 1 / d)
    return np.exp(log_ratio), np.exp(log_ratio - half), np.exp(log_ratio + half)


def z_quantile(confidence: float = CONFIDENCE) -> float:
    """Two-sided quantile of the normal distribution: 1.96 for 95 %."""
    return float(ndtri(0.5 + confidence / 2))
