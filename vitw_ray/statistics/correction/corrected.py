"""Corrected measures with intervals, or the reason why there is none.

A corrected number needs a minimum of evidence: too few conversations in which people found the
label would give an interval whose confidence nobody can vouch for. Then a reason stands in its
place.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike

from vitw_ray.config import LabelsConfig
from vitw_ray.gate import Mask
from vitw_ray.statistics.correction import bounds
from vitw_ray.statistics.correction.measures import (
    BOTH,
    FIRST,
    HOLDING,
    LACKING,
    NEITHER,
    OUTSIDE,
    SECOND,
    LogOddsRatio,
    Share,
    Slope,
)
from vitw_ray.statistics.correction.sample import Reviewed, estimate

LEAST_REVIEWED = 10  # ours: with and without the label; simulated coverage holds from there
LEAST_OF_CELL = 5  # ours: of each cell of a 2 x 2 table
LEAST_PERIODS = 3  # ours: two periods are a difference, not a trend

Reason = Literal["few_reviewed", "no_estimate"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Reviewed conversations, and their accounts, that a corrected number must rest on."""

    rows: int = LEAST_REVIEWED
    cell: int = LEAST_OF_CELL
    accounts: int = 1

    @classmethod
    def of(cls, thresholds: LabelsConfig) -> Self:
        """At least what a label needs to be shown."""
        least = thresholds.min_conversations
        return cls(max(LEAST_REVIEWED, least), max(LEAST_OF_CELL, least), thresholds.min_accounts)

    def suffices(self, reviewed: Reviewed, states: Sequence[int], least: int, group: int) -> bool:
        """Whether people put enough rows of a group, or of all (-1), into each state."""
        inside = np.ones(reviewed.rows, bool) if group < 0 else reviewed.group == group
        for state in states:
            accounts = reviewed.account[inside & (reviewed.people == state)]
            if accounts.size < least or np.unique(accounts).size < self.accounts:
                return False
        return True


USUAL = Evidence()


@dataclass(frozen=True, slots=True)
class Corrected:
    """A corrected measure with its 95 % interval; None with a `reason` if it cannot be told.

    `reviewed` counts the conversations of the base that people reviewed.
    """

    value: float | None
    low: float | None
    high: float | None
    reviewed: int
    reason: Reason | None = None


def share(
    reviewed: Reviewed, population: ArrayLike, group: int = 0, least: Evidence = USUAL
) -> Corrected:
    """The share of a label within a group; states as in `share_states`."""
    rows = _base(reviewed, reviewed.group == group)
    if not least.suffices(reviewed, (HOLDING, LACKING), least.rows, group):
        return _nothing(rows, "few_reviewed")
    found = estimate(reviewed, population, Share(group))
    if not 0 < found.value < 1:
        return _nothing(rows, "no_estimate")
    return Corrected(found.value, *bounds.of_share(found), rows)


def difference(
    reviewed: Reviewed, population: ArrayLike, a: int, b: int, least: Evidence = USUAL
) -> Corrected:
    """The share within group `a` minus that within group `b`."""
    rows = _base(reviewed, np.isin(reviewed.group, (a, b)))
    states = HOLDING, LACKING
    if not all(least.suffices(reviewed, states, least.rows, group) for group in (a, b)):
        return _nothing(rows, "few_reviewed")
    one, other = (estimate(reviewed, population, Share(group)) for group in (a, b))
    if not (0 < one.value < 1 and 0 < other.value < 1):
        return _nothing(rows, "no_estimate")
    return Corrected(one.value - other.value, *bounds.of_difference(one, other), rows)


def odds_ratio(reviewed: Reviewed, population: ArrayLike, least: Evidence = USUAL) -> Corrected:
    """The odds ratio of two labels, in a single group; states as in `table_states`."""
    rows = _base(reviewed, reviewed.group == 0)
    if not least.suffices(reviewed, (NEITHER, FIRST, SECOND, BOTH), least.cell, 0):
        return _nothing(rows, "few_reviewed")
    found = estimate(reviewed, population, LogOddsRatio())
    if np.isnan(found.value):
        return _nothing(rows, "no_estimate")
    low, high = np.exp(bounds.about(found)).tolist()
    return Corrected(float(np.exp(found.value)), low, high, rows)


def trend(
    reviewed: Reviewed, population: ArrayLike, times: Sequence[float], least: Evidence = USUAL
) -> Corrected:
    """How much the share of a label grows per unit of `times`, of which each group has one."""
    rows = _base(reviewed, np.ones(reviewed.rows, bool))
    periods = np.unique(reviewed.group[reviewed.people != OUTSIDE]).size
    enough = least.suffices(reviewed, (HOLDING, LACKING), least.rows, -1)
    if not enough or periods < LEAST_PERIODS:
        return _nothing(rows, "few_reviewed")
    found = estimate(reviewed, population, Slope(times))
    if np.isnan(found.value):
        return _nothing(rows, "no_estimate")
    return Corrected(found.value, *bounds.about(found), rows)


def _base(reviewed: Reviewed, inside: Mask) -> int:
    return int(np.sum(inside & (reviewed.people != OUTSIDE)))


def _nothing(rows: int, reason: Reason) -> Corrected:
    return Corrected(None, None, None, rows, reason)
