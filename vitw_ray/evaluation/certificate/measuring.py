"""The number of a headline in one specification, with draws of the conversations.

Each draw weighs the accounts by Poisson numbers (a bootstrap over accounts). All specifications
are weighed by the same draws, so what the sample has in common cancels in their differences.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vitw_ray.evaluation.certificate.headlines import Headline
from vitw_ray.intervals import Floats, share
from vitw_ray.statistics.variation import LEAST

Mask = NDArray[np.bool_]
Integers = NDArray[np.int64]
DRAWS = 200  # ours: the standard error is known to 5 %
FEWEST = 5  # ours: conversations of a pair, below which no odds ratio is believed


@dataclass(frozen=True, eq=False)
class Cells:
    """What one headline needs of one specification, each an array over the conversations.

    Attributes:
        base: counted, because it passed the gate and was read.
        shown: has the label; of `resists`, is resisted.
        other: has what the label is compared with: a second label, a task, the second assistant.
        within: of `differs`, the two assistants are the only ones that count.
        task: cluster of the task, -1 where there is none.
    """

    base: Mask
    shown: Mask
    other: Mask
    within: Mask
    task: Integers


class Measured(NamedTuple):
    """The number, once for all conversations and then for each draw; NaN: no such number.

    `least_error` is the least standard error that counts of this size have. `support` are the
    groups of conversations that the number tells of; that none of a few has a label tells of them.
    """

    values: Floats
    least_error: float
    support: tuple[Mask, ...]


def draws_of(accounts: Sequence[str | None], seed: int, draws: int = DRAWS) -> Floats:
    """Weights of the conversations, [draws + 1, conversations]; the first are all 1."""
    rng = np.random.default_rng(seed)
    names = {name: code for code, name in enumerate(dict.fromkeys(a for a in accounts if a))}
    codes, free = [], len(names)
    for account in accounts:
        codes.append(names[account] if account else free)
        free += 0 if account else 1
    weights = rng.poisson(1.0, (draws, free)).astype(float)[:, codes]
    return np.vstack([np.ones(len(codes)), weights])


def measure(headline: Headline, cells: Cells, weights: Floats) -> Measured:
    """The number that the headline's limits are about."""
    kinds = {
        "most_common": _two_shares,
        "depends": _varies,
        "together": _log_odds,
        "resists": _share,
        "resists_in": _share_within,
        "differs": _difference,
    }
    return kinds[headline.claim](headline, cells, weights)


def _share(_: Headline, cells: Cells, weights: Floats) -> Measured:
    n, k = _sums(weights, cells.base, cells.base & cells.shown)
    support = (cells.base, cells.base & cells.shown)
    return Measured(share(k, n), _error_of_share(k[0], n[0]), support)


def _two_shares(_: Headline, cells: Cells, weights: Floats) -> Measured:
    first, second = cells.base & cells.shown, cells.base & cells.other
    n, a, b = _sums(weights, cells.base, first, second)
    error = float(np.hypot(_error_of_share(a[0], n[0]), _error_of_share(b[0], n[0])))
    return Measured(share(a - b, n), error / 2, (cells.base, first, second))


def _share_within(_: Headline, cells: Cells, weights: Floats) -> Measured:
    inside = cells.base & cells.other
    n, k = _sums(weights, cells.base, cells.base & cells.shown)
    m, j = _sums(weights, inside, inside & cells.shown)
    support = (cells.base, inside, inside & cells.shown)
    return Measured(share(j, m) - share(k, n), _error_of_share(j[0], m[0]), support)


def _log_odds(_: Headline, cells: Cells, weights: Floats) -> Measured:
    row, column = cells.base & cells.shown, cells.base & cells.other
    n, r, c, both = _sums(weights, cells.base, row, column, row & column)
    table = np.array([both, r - both, c - both, n - r - c + both]) + 0.5  # Haldane, Anscombe
    e, f, g, h = np.log(table)
    values = np.where(np.minimum(r, c) > 0, e - f - g + h, 0.0)
    error = float(np.sqrt((1 / table[:, 0]).sum())) / 2
    if both[0] < FEWEST and both[0] * n[0] >= r[0] * c[0]:
        error = np.inf  # too few to go together
    return Measured(np.where(n > 0, values, np.nan), error, (row & column, row, column))


def _varies(_: Headline, cells: Cells, weights: Floats) -> Measured:
    """Coefficient of variation of the share over tasks, less what sampling adds."""
    tasks = [
        here
        for task in np.unique(cells.task[cells.task >= 0])
        if (here := cells.base & (cells.task == task)).sum() >= LEAST
    ]
    shown = cells.base & cells.shown
    if len(tasks) < 2 or not shown.any():
        return Measured(np.full(weights.shape[0], np.nan), 0.0, (shown,))
    n = np.array([weights @ here for here in tasks])
    p = share(np.array([weights @ (here & cells.shown) for here in tasks]), n)
    p = np.nan_to_num(p)
    by_sampling = np.mean(p * (1 - p) / np.maximum(n - 1, 1), axis=0)
    twice = np.where(np.arange(weights.shape[0]) == 0, 1.0, 2.0)  # a draw adds as much again
    between = np.var(p, axis=0) - twice * by_sampling * (len(tasks) - 1) / len(tasks)
    values = share(np.sqrt(np.maximum(between, 0.0)), p.mean(axis=0))
    return Measured(values, 0.5 / float(np.sqrt(shown.sum())), (shown,))


def _difference(headline: Headline, cells: Cells, weights: Floats) -> Measured:
    """Difference of two assistants' shares; within tasks by Mantel and Haenszel's weights."""
    pair = cells.base & cells.within
    strata = np.unique(cells.task[pair]) if headline.by_task else [None]
    total = np.zeros((2, weights.shape[0]))
    for task in strata:
        here = pair if task is None else pair & (cells.task == task)
        a, b = here & cells.other, here & ~cells.other
        n_a, n_b, k_a, k_b = _sums(weights, a, b, a & cells.shown, b & cells.shown)
        weight = share(n_a * n_b, n_a + n_b)
        difference = share(k_a, n_a) - share(k_b, n_b)
        total += np.nan_to_num(np.array([weight * difference, weight]))
    sides = [pair & side for side in (cells.other, ~cells.other)]
    shown = [side & cells.shown for side in sides]
    errors = [_error_of_share(k.sum(), n.sum()) for k, n in zip(shown, sides, strict=True)]
    error = float(np.hypot(errors[0], errors[1])) / 2
    return Measured(share(total[0], total[1]), error, (*sides, *shown))


def _sums(weights: Floats, *masks: Mask) -> Floats:
    return (weights @ np.array(masks, float).T).T


def _error_of_share(part: float, whole: float) -> float:
    """Standard error of a share, of a count that is one more, so that it is never 0."""
    p = (part + 1) / (whole + 2)
    return float(np.sqrt(p * (1 - p) / max(whole, 1)))
