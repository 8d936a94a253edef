"""Intervals of shares and odds ratios, vectorised.

Both assume independent conversations. If an account has many conversations, the true intervals are
wider.
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

    The shares that a two-sided score test does not reject. It lies within 0 and 1, and unlike the
    normal (Wald) interval it has a positive width for 0 of n and n of n.
    """
    p = share(part, whole)
    n = np.where(np.isnan(p), 1.0, np.asarray(whole, float))
    z = z_quantile(confidence)
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    # Here the bound is exactly 0 or 1, but the formula may be off by 1e-17.
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
    """Odds ratio of 2 x 2 tables, with the normal interval on the log scale (Woolf, 1955).

    Half a conversation is added to each of the four cells of every table (Haldane, 1956; Anscombe,
    1956). That removes most of the bias of the log odds ratio, and tables with an empty cell have a
    finite ratio.
    """
    a, b, c, d = (np.asarray(cell, float) + 0.5 for cell in (both, row_only, column_only, neither))
    log_ratio = np.log(a) + np.log(d) - np.log(b) - np.log(c)
    half = z_quantile(confidence) * np.sqrt(1 / a + 1 / b + 1 / c + 1 / d)
    return np.exp(log_ratio), np.exp(log_ratio - half), np.exp(log_ratio + half)


def z_quantile(confidence: float = CONFIDENCE) -> float:
    """Two-sided quantile of the normal distribution: 1.96 for 95 %."""
    return float(ndtri(0.5 + confidence / 2))
