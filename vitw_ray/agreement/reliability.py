"""Whether a confidence is right as often as it says: shares of right answers by confidence."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitw_ray.agreement.estimates import Estimate
from vitw_ray.intervals import Floats, wilson

EDGES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Confidence that a conversation is on the side of the gate that was answered is 0.5 or more."""


@dataclass(frozen=True, slots=True)
class Bin:
    """Conversations whose confidence lies from `low` up to `high`.

    `confidence` is its mean; `right` the share that is on the side of the truth.
    """

    low: float
    high: float
    confidence: float
    right: Estimate


def places(confidence: Floats) -> NDArray[np.intp]:
    """The bin of each confidence, as an index into `EDGES`."""
    return np.clip(np.digitize(confidence, EDGES) - 1, 0, len(EDGES) - 2)


def bin_of(
    low: float,
    high: float,
    confidence: Floats,
    right: NDArray[np.bool_],
    weights: Floats | None = None,
) -> Bin:
    """One bin, with Wilson's interval.

    Conversations that stand for different numbers of others (`weights`) have the interval of as
    many equal ones as give the same variance (Kish, 1965).
    """
    weight = np.ones(right.size) if weights is None else weights
    mean = float(np.average(confidence, weights=weight))
    share = float(np.average(right, weights=weight))
    size = float(weight.sum() ** 2 / (weight**2).sum())
    below, above = wilson(share * size, size)
    return Bin(low, high, mean, Estimate(share, float(below), float(above), right.size))
