"""Coefficients of agreement with bootstrap intervals over conversations.

Every coefficient here is a function of sums over conversations: of a cross table, of coincidences,
of counts of matched labels. An `Additive` holds what each conversation adds to the sums, and the
function. A resample of the conversations is then a draw of counts, one for each distinct addition,
so thousands of resamples cost one small matrix product.

`kappa`, `krippendorff_alpha`, ... return such additives; `estimate` turns one into a number with
its percentile interval. Answers are codes from 0 to `size - 1`; -1 is a missing answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vitw_ray.intervals import CONFIDENCE, Floats, wilson

ROUNDS = 1000  # ours: the ends of a 95 % interval then rest on 25 resamples each
FEWEST = 5  # ours: resamples of fewer conversations are too much alike for an interval
MISSING = -1


@dataclass(frozen=True, eq=False)
class Additive:
    """What each conversation adds, [conversations, d], and a coefficient of sums, [..., d]."""

    added: NDArray[np.float64]
    value: Callable[[Floats], Floats]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A coefficient and its 95 % interval; None where one is undefined.

    `conversations` is how many it rests on.
    """

    value: float | None
    low: float | None
    high: float | None
    conversations: int


def estimate(coefficient: Additive, seed: int = 0, rounds: int = ROUNDS) -> Estimate:
    """Value and percentile interval (Efron, 1979) by resampling whole conversations.

    Resamples in which the coefficient is undefined are left out. Fewer than `FEWEST` conversations
    give a value without an interval.
    """
    n = len(coefficient.added)
    if not n:
        return Estimate(None, None, None, 0)
    value = float(coefficient.value(coefficient.added.sum(axis=0)))
    if np.isnan(value):
        return Estimate(None, None, None, n)
    if n < FEWEST:
        return Estimate(value, None, None, n)
    distinct, times = np.unique(coefficient.added, axis=0, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(n, times / n, size=rounds)
    found = coefficient.value(drawn @ distinct)
    found = found[~np.isnan(found)]
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(found, [tail, 100 - tail]) if found.size else (value, value)
    return Estimate(value, min(float(low), value), max(float(high), value), n)


def kappa(first: ArrayLike, second: ArrayLike, size: int, *, ordinal: bool = False) -> Additive:
    """Cohen's kappa of the conversations that both answered; `ordinal`: with squared distances."""
    added = _cross_table(first, second, size, size)
    scale = np.arange(size, dtype=float)
    weights = (scale[:, None] - scale) ** 2 if ordinal else 1.0 - np.eye(size)

    def value(sums: Floats) -> Floats:
        tables = sums.reshape(*sums.shape[:-1], size, size)
        total = tables.sum(axis=(-1, -2))
        expected = tables.sum(axis=-1)[..., :, None] * tables.sum(axis=-2)[..., None, :]
        by_chance = (weights * expected).sum(axis=(-1, -2)) / np.maximum(total, 1)
        return 1.0 - _ratio((weights * tables).sum(axis=(-1, -2)), by_chance)

    return Additive(added, value)


def krippendorff_alpha(
    answers: Sequence[ArrayLike], size: int, *, ordinal: bool = False
) -> Additive:
    """Krippendorff's alpha of any number of readers, with missing answers (2011).

    Args:
        answers: codes of each reader, [readers][conversations].
        size: number of categories.
        ordinal: distances by Krippendorff's ordinal metric; else any two categories differ by 1.

    Conversations with fewer than two answers say nothing about agreement, and are left out.
    """
    codes = np.array([np.asarray(row, np.int64) for row in answers])
    held = np.stack([(codes == code).sum(axis=0) for code in range(size)], axis=1).astype(float)
    answered = held.sum(axis=1)
    held, answered = held[answered >= 2], answered[answered >= 2]
    pairs = held[:, :, None] * held[:, None, :] - held[:, :, None] * np.eye(size)
    added = (pairs / (answered - 1)[:, None, None]).reshape(len(held), size * size)

    def value(sums: Floats) -> Floats:
        found = sums.reshape(*sums.shape[:-1], size, size)
        per_code = found.sum(axis=-1)
        total = per_code.sum(axis=-1)
        distance = (
            _ordinal(per_code) if ordinal else np.broadcast_to(1.0 - np.eye(size), found.shape)
        )
        expected = (per_code[..., :, None] * per_code[..., None, :] * distance).sum(axis=(-1, -2))
        observed = (found * distance).sum(axis=(-1, -2))
        return 1.0 - _ratio(observed * (total - 1), expected)

    return Additive(added, value)


def _ordinal(per_code: Floats) -> Floats:
    """Squared count of answers between two categories, half of both ends: [..., size, size]."""
    middle = np.cumsum(per_code, axis=-1) - per_code / 2
    return (middle[..., :, None] - middle[..., None, :]) ** 2


def macro_f1(gold: ArrayLike, predicted: ArrayLike, size: int) -> Additive:
    """Unweighted mean of the F1 scores of the categories that occur."""
    added = _cross_table(gold, predicted, size, size)

    def value(sums: Floats) -> Floats:
        tables = sums.reshape(*sums.shape[:-1], size, size)
        both = np.diagonal(tables, axis1=-2, axis2=-1)
        return np.nanmean(_ratio(2 * both, tables.sum(axis=-1) + tables.sum(axis=-2)), axis=-1)

    return Additive(added, value)


def level_auc(positive: ArrayLike, levels: ArrayLike, size: int) -> Additive:
    """AUC of ordinal levels against a yes (1) or no (0); ties count half."""
    added = _cross_table(positive, levels, 2, size)

    def value(sums: Floats) -> Floats:
        tables = sums.reshape(*sums.shape[:-1], 2, size)
        no, yes = tables[..., 0, :], tables[..., 1, :]
        below = np.cumsum(no, axis=-1) - no / 2
        return _ratio((yes * below).sum(axis=-1), yes.sum(axis=-1) * no.sum(axis=-1))

    return Additive(added, value)


def _cross_table(first: ArrayLike, second: ArrayLike, rows: int, columns: int) -> Floats:
    """The cell of each conversation that both answered: [conversations, rows * columns]."""
    a, b = (np.asarray(codes, np.int64) for codes in (first, second))
    both = (a != MISSING) & (b != MISSING)
    added = np.zeros((int(both.sum()), rows * columns))
    added[np.arange(len(added)), a[both] * columns + b[both]] = 1
    return added


def label_f1(matched: ArrayLike, first: ArrayLike, second: ArrayLike) -> Additive:
    """F1 of labels over all conversations: counts of both sides, and of those that match."""
    return Additive(
        np.column_stack([matched, first, second]).astype(float),
        lambda sums: _ratio(2 * sums[..., 0], sums[..., 1] + sums[..., 2]),
    )


def ratio_of_sums(part: ArrayLike, whole: ArrayLike) -> Additive:
    """Sum of `part` over sum of `whole`: a share whose units are not the conversations."""
    return Additive(
        np.column_stack([part, whole]).astype(float),
        lambda sums: _ratio(sums[..., 0], sums[..., 1]),
    )


def agreement(first: ArrayLike, second: ArrayLike) -> Estimate:
    """Share of the conversations that both answered in which the answers are the same.

    Its interval is Wilson's, which has a width also where all answers are the same.
    """
    a, b = (np.asarray(codes, np.int64) for codes in (first, second))
    both = (a != MISSING) & (b != MISSING)
    same, n = int((a == b)[both].sum()), int(both.sum())
    if not n:
        return Estimate(None, None, None, 0)
    low, high = wilson(same, n)
    return Estimate(same / n, float(low), float(high), n)


def mean(values: ArrayLike) -> Additive:
    """Mean over the conversations; NaN entries are left out."""
    known = np.asarray(values, float)
    known = known[~np.isnan(known)]
    return ratio_of_sums(known, np.ones(known.size))


def _ratio(part: Floats, whole: Floats) -> Floats:
    part, whole = np.broadcast_arrays(np.asarray(part, float), np.asarray(whole, float))
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
