"""Intervals of corrected estimates that hold for small samples.

A share is bounded on the scale of its log odds, which keeps it within 0 and 1 and is wider upwards
for a rare label. Quantiles are Student's, with the freedom of the estimate. The interval of a
difference combines those of its two shares (Newcombe's square-and-add; Zou and Donner, 2008).
"""

import numpy as np
from scipy.special import expit, logit, stdtrit

from vitw_ray.intervals import CONFIDENCE
from vitw_ray.statistics.correction.sample import Estimate

Interval = tuple[float, float]


def half_width(found: Estimate) -> float:
    """Half of the 95 % interval of an estimate that is about normal."""
    quantile = float(stdtrit(max(found.freedom, 1.0), 0.5 + CONFIDENCE / 2))
    return quantile * float(np.sqrt(found.variance))


def of_share(found: Estimate) -> Interval:
    """95 % interval of a share strictly between 0 and 1."""
    p = found.value
    half = half_width(found) / (p * (1 - p))
    return float(expit(logit(p) - half)), float(expit(logit(p) + half))


def of_difference(a: Estimate, b: Estimate) -> Interval:
    """95 % interval of the difference of two independent shares."""
    (low_a, high_a), (low_b, high_b) = of_share(a), of_share(b)
    middle = a.value - b.value
    below = np.hypot(a.value - low_a, high_b - b.value)
    above = np.hypot(high_a - a.value, b.value - low_b)
    return float(middle - below), float(middle + above)


def about(found: Estimate) -> Interval:
    """95 % interval of an estimate that is about normal, such as a log odds ratio or a slope."""
    half = half_width(found)
    return found.value - half, found.value + half
