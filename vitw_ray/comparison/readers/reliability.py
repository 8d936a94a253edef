"""Whether a reader's confidence is right as often as it says."""

from dataclasses import dataclass

import numpy as np

from vitw_ray.agreement.estimates import MISSING, Estimate, estimate, mean
from vitw_ray.comparison.readers.readings import Reading
from vitw_ray.intervals import wilson

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


@dataclass(frozen=True, slots=True)
class Reliability:
    """How confidence and truth go together.

    Attributes:
        bins: those that hold a conversation.
        brier: mean squared difference of confidence and outcome (Brier, 1950); 0.25 is a coin's.
        gap: mean difference of confidence and share of right answers over the bins (ECE).
    """

    bins: tuple[Bin, ...]
    brier: Estimate
    gap: float


def reliability(truth: Reading, reading: Reading) -> Reliability | None:
    """Of the conversations that have a confidence and a truth; None without any."""
    sides = truth.codes["is_subjective"], reading.codes["is_subjective"]
    known = ~np.isnan(reading.confidence) & (sides[0] != MISSING) & (sides[1] != MISSING)
    if not known.any():
        return None
    confidence = reading.confidence[known].clip(0.0, 1.0)
    right = (sides[0] == sides[1])[known]
    place = np.clip(np.digitize(confidence, EDGES) - 1, 0, len(EDGES) - 2)
    bins = []
    for n in np.unique(place):
        inside = place == n
        hits, size = int(right[inside].sum()), int(inside.sum())
        low, high = wilson(hits, size)
        share = Estimate(hits / size, float(low), float(high), size)
        bins.append(Bin(EDGES[n], EDGES[n + 1], float(confidence[inside].mean()), share))
    gaps = [abs(b.confidence - (b.right.value or 0.0)) * b.right.conversations for b in bins]
    return Reliability(
        tuple(bins),
        estimate(mean((confidence - right) ** 2)),
        sum(gaps) / len(confidence),
    )
