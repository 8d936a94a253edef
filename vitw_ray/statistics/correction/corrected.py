"""Corrected measures with intervals, or the reason why there is none.

A corrected number needs a minimum of evidence: too few conversations in which people found the
label would give an interval whose confidence nobody can vouch for. Then a reason stands in its
place.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from vitw_ray.statistics.correction import bounds
from vitw_ray.statistics.correction.measures import (
    CELLS,
    HOLDING,
    LACKING,
    OUTSIDE,
    LogOddsRatio,
    Share,
    Slope,
)
from vitw_ray.statistics.correction.sample import Estimate, Reviewed, estimate

LEAST_REVIEWED = 10  # ours: with and without the label; simulated coverage holds from there
LEAST_OF_CELL = 5  # ours: of each cell of a 2 x 2 table
LEAST_PERIODS = 3  # ours: two periods are a difference, not a trend

Reason = Literal["few_reviewed", "no_estimate"]


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


def share(reviewed: Reviewed, population: ArrayLike, group: int = 0) -> Corrected:
    """The share of a label within a group; states as in `share_states`."""
    lacking, holding = _states_of(reviewed, group)
    if min(lacking, holding) < LEAST_REVIEWED:
        return _nothing(lacking + holding, "few_reviewed")
    found = estimate(reviewed, population, Share(group))
    return _share_or_reason(found, lacking + holding)


def difference(reviewed: Reviewed, population: ArrayLike, a: int, b: int) -> Corrected:
    """The share within group `a` minus that within group `b`."""
    states = [_states_of(reviewed, group) for group in (a, b)]
    rows = int(np.sum(states))
    if min(map(min, states)) < LEAST_REVIEWED:
        return _nothing(rows, "few_reviewed")
    found = [estimate(reviewed, population, Share(group)) for group in (a, b)]
    if not all(0 < one.value < 1 for one in found):
        return _nothing(rows, "no_estimate")
    low, high = bounds.of_difference(*found)
    return Corrected(found[0].value - found[1].value, low, high, rows)


def odds_ratio(reviewed: Reviewed, population: ArrayLike, group: int = 0) -> Corrected:
    """The odds ratio of two labels; states as in `table_states`."""
    mine = reviewed.people[reviewed.group == group]
    cells = np.bincount(mine, minlength=CELLS)[OUTSIDE + 1 :]
    if cells.min() < LEAST_OF_CELL:
        return _nothing(int(cells.sum()), "few_reviewed")
    found = estimate(reviewed, population, LogOddsRatio(group))
    if np.isnan(found.value):
        return _nothing(int(cells.sum()), "no_estimate")
    low, high = np.exp(bounds.about(found)).tolist()
    return Corrected(float(np.exp(found.value)), low, high, int(cells.sum()))


def trend(reviewed: Reviewed, population: ArrayLike, times: Sequence[float]) -> Corrected:
    """How much the share of a label grows per period; groups are periods, at `times`."""
    held = np.bincount(reviewed.people, minlength=HOLDING + 1)
    lacking, holding = int(held[LACKING]), int(held[HOLDING])
    periods = np.unique(reviewed.group[reviewed.people != OUTSIDE]).size
    if min(lacking, holding) < LEAST_REVIEWED or periods < LEAST_PERIODS:
        return _nothing(lacking + holding, "few_reviewed")
    found = estimate(reviewed, population, Slope(times))
    if np.isnan(found.value):
        return _nothing(lacking + holding, "no_estimate")
    return Corrected(found.value, *bounds.about(found), lacking + holding)


def _states_of(reviewed: Reviewed, group: int) -> tuple[int, int]:
    mine = reviewed.people[reviewed.group == group]
    return int(np.sum(mine == LACKING)), int(np.sum(mine == HOLDING))


def _share_or_reason(found: Estimate, rows: int) -> Corrected:
    if not 0 < found.value < 1:
        return _nothing(rows, "no_estimate")
    return Corrected(found.value, *bounds.of_share(found), rows)


def _nothing(rows: int, reason: Reason) -> Corrected:
    return Corrected(None, None, None, rows, reason)
