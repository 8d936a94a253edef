"""Drift alarm: do conversations still fall into the clusters as those of the frozen run did?

An account is one observation: the shares of its mentions in each cell, a cell being a cluster of
the top level, or what the tree does not know. For every cell the mean of the frozen run's accounts
has an interval (empirical Bernstein bound: Maurer & Pontil 2009, theorem 4). Each new account is a
bet against the interval, above it and below it (Waudby-Smith & Ramdas 2024, section 4: capital
processes with predictable bets, of their form aGRAPA). As long as nothing has changed, no capital
grows in expectation, nor does their mean, so by Ville's inequality it ever reaches 1 / alpha with
probability alpha at most, however often somebody looks.

Half of the error goes to the intervals and half to the bets.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ALPHA = 0.05  # ours: the chance of a false alarm, ever
ALARM = 2 / ALPHA  # capital that raises it
LARGEST_BET = 0.5  # Waudby-Smith & Ramdas 2024, section 4: truncation c = 1/2

Shares = NDArray[np.float64]
"""(n, k) in 0-1: for each account, in their order, the share of its mentions in each cell."""


@dataclass(frozen=True, eq=False)
class Interval:
    """(k,) means of the frozen run's accounts and the bounds of their expectation."""

    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Watched:
    """The bets on a series of accounts.

    Attributes:
        e_value: the capital at the end; its expectation without a change is at most 1.
        largest: the largest capital so far.
        crossed: index of the first account at which it reached `ALARM`; None if never.
        moved: (k,) -1 or 1 for cells that have surely fallen or grown, else 0.
    """

    e_value: float
    largest: float
    crossed: int | None
    moved: NDArray[np.int8]


def interval_of(shares: Shares, alpha: float = ALPHA / 2) -> Interval:
    """Bounds that hold for all cells at once with probability 1 - alpha; (0, 1) for few accounts.

    Args:
        shares: of the frozen run's accounts.
        alpha: of all bounds together.
    """
    n, cells = shares.shape
    if n < 2:
        mean = shares.mean(axis=0) if n else np.full(cells, 0.5)
        return Interval(mean, np.zeros(cells), np.ones(cells))
    mean, variance = shares.mean(axis=0), shares.var(axis=0, ddof=1)
    surprise = np.log(4 * cells / alpha)  # two sides of each cell, and their variances
    half = np.sqrt(2 * variance * surprise / n) + 7 * surprise / (3 * (n - 1))
    return Interval(mean, (mean - half).clip(0, 1), (mean + half).clip(0, 1))


def watch(shares: Shares, before: Interval, only_above: int | None = None) -> Watched:
    """Bet on accounts one after the other.

    Args:
        shares: of the new accounts, in an order that does not depend on them.
        before: the frozen run.
        only_above: a cell of which less is no change.
    """
    n, cells = shares.shape
    if not n:
        return Watched(1.0, 1.0, None, np.zeros(cells, np.int8))
    counts = np.arange(2, n + 2)[:, None]
    means = (before.mean + np.cumsum(shares, axis=0)) / counts
    variances = (0.25 + np.cumsum((shares - means) ** 2, axis=0)) / counts
    # A bet is placed before its account is seen.
    means = np.vstack([before.mean, means[:-1]])
    variances = np.vstack([np.full(cells, 0.25), variances[:-1]])
    capitals = []
    for sign, bound in ((1, before.high), (-1, before.low)):
        edge = (sign * (means - bound)).clip(min=0)
        at_risk = bound if sign == 1 else 1 - bound
        largest = LARGEST_BET / at_risk.clip(min=1e-12)
        bets = np.minimum(edge / (variances + edge**2), largest)
        capitals.append(np.cumsum(np.log1p(bets * sign * (shares - bound)), axis=0))
    if only_above is not None:
        capitals[1][:, only_above] = -np.inf
    above, below = capitals
    bets_on = 2 * cells - (only_above is not None)
    total = np.logaddexp.reduce(np.hstack([above, below]), axis=1) - np.log(bets_on)
    crossings = np.flatnonzero(total >= np.log(ALARM))
    of_cell = np.log(ALARM * bets_on)
    moved = (above.max(axis=0) >= of_cell).astype(np.int8)
    moved -= below.max(axis=0) >= of_cell
    return Watched(
        _capital(total[-1]),
        _capital(total.max(initial=0.0)),
        int(crossings[0]) if len(crossings) else None,
        moved,
    )


def _capital(logarithm: float) -> float:
    return float(np.exp(min(logarithm, 300.0)))
