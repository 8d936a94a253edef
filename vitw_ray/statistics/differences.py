"""Differences of shares between two groups, vectorised: plain, stratified, paired.

Each function returns the share of both groups, a 95 % interval of the difference and a two-sided
p-value, elementwise over labels; NaN where undefined. All assume independent conversations.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, erfc

from vitw_ray.intervals import Floats, share, wilson, z_quantile
from vitw_ray.statistics.contingency import Integers
from vitw_ray.statistics.residuals import LEAST_EXPECTED, p_value


class Difference(NamedTuple):
    """Two shares; `low` and `high` are the interval of `share_a - share_b`."""

    share_a: Floats
    share_b: Floats
    low: Floats
    high: Floats
    p_value: Floats


def unmatched(hits_a: Integers, n_a: int, hits_b: Integers, n_b: int) -> Difference:
    """Two independent shares: Newcombe's hybrid score interval (1998, his method 10).

    The p-value is that of the 2 x 2 table: exact if fewer than five conversations are expected.
    """
    low, high = newcombe(hits_a, n_a, hits_b, n_b)
    n, hits = n_a + n_b, hits_a + hits_b
    mine, n_mine = (hits_a, n_a) if n_a <= n_b else (hits_b, n_b)
    common = 2 * hits > n  # test the cell with the smallest expected count of the four
    observed, margin = np.where(common, n_mine - mine, mine), np.where(common, n - hits, hits)
    p = p_value(observed, margin, np.full(hits.shape, n_mine), n)
    return Difference(share(hits_a, n_a), share(hits_b, n_b), low, high, p)


def newcombe(
    hits_a: ArrayLike, n_a: ArrayLike, hits_b: ArrayLike, n_b: ArrayLike
) -> tuple[Floats, Floats]:
    """Interval of the difference of two independent shares, from the Wilson interval of each."""
    a, b = share(hits_a, n_a), share(hits_b, n_b)
    low_a, high_a = wilson(hits_a, n_a)
    low_b, high_b = wilson(hits_b, n_b)
    low = a - b - np.sqrt((a - low_a) ** 2 + (high_b - b) ** 2)
    high = a - b + np.sqrt((high_a - a) ** 2 + (b - low_b) ** 2)
    return low, high


def post_stratified(hits_a: Integers, n_a: Integers, hits_b: Integers, n_b: Integers) -> Difference:
    """Both groups standardised to the same mix of strata: hits [labels, strata], n [strata].

    The weights are the sizes of both groups together, over the strata in which both have at least
    two conversations; other strata are left out. The interval is Newcombe's with effective sample
    sizes (Korn and Graubard, 1998). The p-value is Cochran-Mantel-Haenszel without continuity
    correction; NaN if one of its four cells expects fewer than five conversations.
    """
    both = in_both(n_a, n_b)
    hits_a, n_a, hits_b, n_b = hits_a[:, both], n_a[both], hits_b[:, both], n_b[both]
    weights = share(n_a + n_b, (n_a + n_b).sum())
    share_a, effective_a = _standardised(hits_a, n_a, weights)
    share_b, effective_b = _standardised(hits_b, n_b, weights)
    low, high = newcombe(share_a * effective_a, effective_a, share_b * effective_b, effective_b)
    p = _mantel_haenszel(hits_a, n_a, hits_b, n_b)
    return Difference(share_a, share_b, low, high, p)


def in_both(n_a: Integers, n_b: Integers) -> NDArray[np.bool_]:
    """Strata in which both groups have two conversations or more, as the variance needs two."""
    return (n_a >= 2) & (n_b >= 2)


def _standardised(hits: Integers, n: Integers, weights: Floats) -> tuple[Floats, Floats]:
    """Standardised shares, and the effective sample size: that with the same variance."""
    if not n.size:
        return np.full(hits.shape[0], np.nan), np.zeros(hits.shape[0])
    p = hits / n
    # no matrix product: its bits depend on the number of BLAS threads
    total = (p * weights).sum(axis=1)
    variance = (p * (1 - p) / (n - 1) * weights**2).sum(axis=1)
    worst = np.full(total.shape, 1 / np.sum(weights**2 / n))  # as if all strata had one share
    effective = np.divide(total * (1 - total), variance, out=worst.copy(), where=variance > 0)
    return total, np.minimum(effective, n.sum())


def _mantel_haenszel(hits_a: Integers, n_a: Integers, hits_b: Integers, n_b: Integers) -> Floats:
    n, hits = n_a + n_b, hits_a + hits_b
    expected = hits * (n_a / n)
    variance = (hits * (n - hits) * (n_a * n_b / (n * n * (n - 1.0)))).sum(axis=1)
    excess = (hits_a - expected).sum(axis=1)
    cells = [expected, hits - expected, n_a - expected, n_b - (hits - expected)]
    least = np.min([cell.sum(axis=1) for cell in cells], axis=0)
    testable = (least >= LEAST_EXPECTED) & (variance > 0)
    z = np.divide(excess, np.sqrt(variance), out=np.full(excess.shape, np.nan), where=testable)
    return np.asarray(erfc(np.abs(z) / math.sqrt(2)))


def paired(hits_a: Integers, hits_b: Integers, both: Integers, n: int) -> Difference:
    """Two groups that answered the same n prompts; on `both` prompts, both show the label.

    The interval adds half a prompt to each of the four cells (Bonett and Price, 2012); the p-value
    is McNemar's exact test.
    """
    only_a, only_b = hits_a - both, hits_b - both
    low, high = bonett_price(only_a, only_b, n)
    discordant = only_a + only_b
    p = np.minimum(2 * bdtr(np.minimum(only_a, only_b), np.maximum(discordant, 1), 0.5), 1.0)
    p = np.where(discordant > 0, p, np.nan)
    return Difference(share(hits_a, n), share(hits_b, n), low, high, p)


def bonett_price(only_a: Integers, only_b: Integers, n: int) -> tuple[Floats, Floats]:
    """Interval of the difference of two paired shares; NaN if there is no pair."""
    a, b = (only_a + 1) / (n + 2), (only_b + 1) / (n + 2)
    half = z_quantile() * np.sqrt((a + b - (a - b) ** 2) / (n + 2))
    nothing = np.full(a.shape, np.nan)
    if n == 0:
        return nothing, nothing
    return np.maximum(a - b - half, -1.0), np.minimum(a - b + half, 1.0)
