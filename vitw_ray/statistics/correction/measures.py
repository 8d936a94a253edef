"""The measures that are corrected, as functions of the totals of states.

Of a share there are three states: outside its base, in the base without the label, and with it. Of
an odds ratio there are five: outside the base, and the cells of the 2 x 2 table.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from vitw_ray.intervals import Floats
from vitw_ray.statistics.contingency import Integers

OUTSIDE, LACKING, HOLDING = range(3)
STATES = 3
NEITHER, FIRST, SECOND, BOTH = range(1, 5)
CELLS = 5


def share_states(base: ArrayLike, holding: ArrayLike) -> Integers:
    """The state of each conversation, from two masks."""
    inside, held = np.asarray(base, bool), np.asarray(holding, bool)
    return np.where(inside, np.where(held, HOLDING, LACKING), OUTSIDE)


def table_states(base: ArrayLike, first: ArrayLike, second: ArrayLike) -> Integers:
    """The state of each conversation in a 2 x 2 table, from three masks."""
    one, other = np.asarray(first, np.int64), np.asarray(second, np.int64)
    return np.where(np.asarray(base, bool), NEITHER + one + 2 * other, OUTSIDE)


@dataclass(frozen=True)
class Share:
    """The share of the label in the base of one group."""

    group: int = 0

    def __call__(self, totals: Floats) -> tuple[float, Floats]:
        """The share and its gradient; NaN if the base is empty."""
        lacking, holding = totals[self.group, [LACKING, HOLDING]]
        base = lacking + holding
        gradient = np.zeros_like(totals)
        if base <= 0:
            return np.nan, gradient
        gradient[self.group, [LACKING, HOLDING]] = -holding / base**2, lacking / base**2
        return float(holding / base), gradient


@dataclass(frozen=True)
class LogOddsRatio:
    """The logarithm of the odds ratio of a 2 x 2 table."""

    group: int = 0

    def __call__(self, totals: Floats) -> tuple[float, Floats]:
        """The log odds ratio and its gradient; NaN if a cell is empty."""
        cells = totals[self.group, [NEITHER, FIRST, SECOND, BOTH]]
        gradient = np.zeros_like(totals)
        if cells.min() <= 0:
            return np.nan, gradient
        signs = np.array([1, -1, -1, 1])
        gradient[self.group, [NEITHER, FIRST, SECOND, BOTH]] = signs / cells
        return float(signs @ np.log(cells)), gradient


@dataclass(frozen=True)
class Slope:
    """How much the share grows from one period to the next; groups are periods, at `times`.

    The slope of the least-squares line of the label over the conversations of the base.
    """

    times: Sequence[float]

    def __call__(self, totals: Floats) -> tuple[float, Floats]:
        """The slope and its gradient; NaN if all of the base is in one period."""
        times = np.asarray(self.times, float)
        gradient = np.zeros_like(totals)
        holding = totals[:, HOLDING]
        base = totals[:, LACKING] + holding
        if base.sum() <= 0:
            return np.nan, gradient
        centred = times - base @ times / base.sum()
        spread = float(base @ centred**2)
        if spread <= 0:
            return np.nan, gradient
        slope = float(holding @ centred) / spread
        middle = holding.sum() / base.sum()
        for state, holds in ((LACKING, 0), (HOLDING, 1)):
            gradient[:, state] = centred * (holds - middle - slope * centred) / spread
        return slope, gradient
