"""Whether a reader's confidence is right as often as it says."""

from dataclasses import dataclass

import numpy as np

from vitw_ray.agreement.estimates import MISSING, Estimate, estimate, mean
from vitw_ray.agreement.reliability import EDGES, Bin, bin_of, places
from vitw_ray.comparison.readers.readings import Reading


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
    place = places(confidence)
    bins = []
    for n in np.unique(place):
        inside = place == n
        bins.append(bin_of(EDGES[n], EDGES[n + 1], confidence[inside], right[inside]))
    gaps = [abs(b.confidence - (b.right.value or 0.0)) * b.right.conversations for b in bins]
    return Reliability(
        tuple(bins),
        estimate(mean((confidence - right) ** 2)),
        sum(gaps) / len(confidence),
    )
