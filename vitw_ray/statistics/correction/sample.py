"""Totals over all conversations, from a reviewed sample and the reader's answers to all of them.

Every measure of stage 5 is a function of how many conversations are in which state, such as "not
subjective", "subjective without the value" and "subjective with the value". The reader's state is
known of all conversations, the true one (that of people) of a probability sample. The totals

    T = tuning x reader over all + sum over reviewed of weight x (people - tuning x reader)

are unbiased whatever errors the reader makes, because only the design of the sample is assumed:
the difference estimator of survey sampling, known as prediction-powered inference (Angelopoulos et
al., 2023), and with `tuning` = 1 as design-based supervised learning (Egami et al., 2023). `tuning`
minimises the variance (PPI++, Angelopoulos, Duchi and Zrnic, 2023): a reader that is of no use
gets 0, which leaves the estimate of people alone.

All of it needs counts of the reader's states and the reviewed rows, never the population itself.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from vitw_ray.intervals import Floats
from vitw_ray.statistics.contingency import Integers

ROUNDS = 5  # ours: tuning and gradient depend on each other; later rounds change nothing visible
MOST_LEVERAGE = 0.9  # ours: a bound on a division by almost 0
LEAST_FREEDOM = 2.0  # of one disagreement

Measure = Callable[[Floats], tuple[float, Floats]]
"""From totals [groups, states]: the value and its gradient [groups, states]."""


@dataclass(frozen=True, eq=False)
class Reviewed:
    """The reviewed conversations, in rows; all arrays have their length.

    `group` is a known property, such as the assistant. States are codes; of a sample that covers a
    part of the population only, leave the other rows out of both.
    """

    probability: Floats  # of being in the sample
    stratum: Integers
    account: Integers  # rows of one account are not independent
    group: Integers
    people: Integers  # true state
    reader: Integers  # state by the reader

    @property
    def rows(self) -> int:
        """Number of reviewed conversations."""
        return self.probability.size

    def of_states(self, group: Integers, people: Integers, reader: Integers) -> "Reviewed":
        """The same sample with other states."""
        return replace(self, group=group, people=people, reader=reader)

    @cached_property
    def weight(self) -> Floats:
        """How many conversations a row stands for."""
        return 1 / self.probability

    @cached_property
    def scale(self) -> Floats:
        """Factor of a deviation from the mean of its stratum: rows of the stratum, finite size."""
        n = np.bincount(self._pooled)[self._pooled]
        size = np.bincount(self._pooled, self.weight)[self._pooled]
        left = np.clip(1 - n / size, 0.0, 1.0)
        return np.sqrt(left * n / np.maximum(n - 1, 1))

    @cached_property
    def _pooled(self) -> Integers:
        """Strata with at least two rows; single rows are one stratum, or join another one."""
        _, codes, sizes = np.unique(self.stratum, return_inverse=True, return_counts=True)
        codes = codes.astype(np.int64)
        single = sizes[codes] == 1
        if single.sum() == 1:
            nearest = int(np.argmin(np.where(single, np.inf, np.abs(codes - codes[single][0]))))
            return np.where(single, codes[nearest], codes)
        return np.where(single, sizes.size, codes)

    def deviations(self, contributions: Floats) -> Floats:
        """Scaled deviations by account: their squares add up to the variance of the sum."""
        n = np.bincount(self._pooled)
        with np.errstate(invalid="ignore"):
            mean = np.bincount(self._pooled, contributions) / n
        scaled = self.scale * (contributions - mean[self._pooled])
        return np.asarray(np.bincount(self._accounts, scaled), np.float64)

    @cached_property
    def _accounts(self) -> Integers:
        return np.unique(self.account, return_inverse=True)[1].astype(np.int64)

    def totals(self, states: Integers, shape: tuple[int, int]) -> Floats:
        """Weighted totals [groups, states] of the people's or the reader's states."""
        keys = self.group * shape[1] + states
        sums = np.bincount(keys, self.weight, minlength=shape[0] * shape[1])
        return np.asarray(sums, np.float64).reshape(shape)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measure with its variance.

    `freedom` is the number of independent rows that the variance rests on, in effect: few if few
    rows disagree with the reader (Satterthwaite). `value` is NaN if the totals are out of the
    domain of the measure.
    """

    value: float
    variance: float
    freedom: float
    tuning: float


def estimate(
    reviewed: Reviewed, population: ArrayLike, measure: Measure, tuning: float | None = None
) -> Estimate:
    """Estimate a measure of the true states.

    The variance has two parts: of the review, and of the conversations themselves, as if they were
    drawn from more of the kind.

    Args:
        reviewed: the sample.
        population: [groups, states], conversations by the reader's state.
        measure: what to estimate.
        tuning: weight of the reader; by default the best.
    """
    found = np.asarray(population, float)
    people = reviewed.totals(reviewed.people, found.shape)
    surplus = found - reviewed.totals(reviewed.reader, found.shape)
    used, leverage = (0.0 if tuning is None else tuning), 0.0
    value, gradient = measure(people + used * surplus)
    for _ in range(ROUNDS if tuning is None else 0):
        by_people, by_reader = _deviations(reviewed, gradient)
        used, leverage = _tuned(by_people, by_reader)
        value, gradient = measure(people + used * surplus)
    by_people, by_reader = _deviations(reviewed, gradient)
    residual = (by_people - used * by_reader) / (1 - leverage)
    of_review = max(float(residual @ residual), _one_disagreement(reviewed, gradient))
    variance = of_review + _of_conversations(reviewed, gradient)
    freedom = max(_freedom(residual), LEAST_FREEDOM)
    if of_review:
        freedom *= (variance / of_review) ** 2  # the part of the conversations is known well
    return Estimate(value, variance, freedom, used)


def _of_conversations(reviewed: Reviewed, gradient: Floats) -> float:
    """Variance of the true measure if the conversations are drawn from more of the kind."""
    true, weight = gradient[reviewed.group, reviewed.people], reviewed.weight
    squares = float(weight @ true**2) - float(weight @ true) ** 2 / float(weight.sum())
    return max(squares, 0.0) * reviewed.rows / max(reviewed.rows - 1, 1)


def _one_disagreement(reviewed: Reviewed, gradient: Floats) -> float:
    """What one row would add to the variance if people and reader differed there.

    The least that is assumed: a reader that agrees on all of 100 rows may still err on one in 100.
    """
    return float(np.mean(reviewed.weight) * np.max(np.ptp(gradient, axis=1))) ** 2


def _deviations(reviewed: Reviewed, gradient: Floats) -> tuple[Floats, Floats]:
    """What each account adds to the measure, by people and by the reader."""
    true = gradient[reviewed.group, reviewed.people]
    read = gradient[reviewed.group, reviewed.reader]
    weight = reviewed.weight
    return reviewed.deviations(weight * true), reviewed.deviations(weight * read)


def _tuned(by_people: Floats, by_reader: Floats) -> tuple[float, Floats | float]:
    """The tuning by least squares, and the leverage of each row.

    The tuning lies between 0 (a reader of no use) and 1. A row has decided a part of it, its
    leverage h: its residual by the other rows alone is larger by 1 / (1 - h).
    """
    square = float(by_reader @ by_reader)
    if square == 0:
        return 0.0, 0.0
    best = float(by_people @ by_reader) / square
    return float(np.clip(best, 0.0, 1.0)), np.minimum(by_reader**2 / square, MOST_LEVERAGE)


def _freedom(residual: Floats) -> float:
    """How many equal residuals would tell the variance as well as these do."""
    squares = residual**2
    total, fourth = float(squares.sum()), float((squares**2).sum())
    spread = fourth - total**2 / residual.size
    if total == 0 or not np.isfinite(spread):
        return 0.0
    return float(min(2 * total**2 / spread if spread > 0 else np.inf, residual.size - 1))
