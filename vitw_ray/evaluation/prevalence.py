"""Prevalence corrected for the extractor's errors, from a sample that people reviewed.

An extractor that finds a value in a share of conversations misses some and imagines others. With
its sensitivity (of conversations that hold the value, those where it is found) and specificity (of
those that do not, those where it is not) the share that holds the value is

    (found + specificity - 1) / (sensitivity + specificity - 1)

(Rogan and Gladen, 1978), cut to 0 and 1.
"""

from dataclasses import dataclass

import numpy as np

from vitw_ray.intervals import z_quantile


@dataclass(frozen=True, slots=True)
class Reviewed:
    """Conversations that people looked at, by what they and the extractor found.

    Drawn so that `holding` is a sample of the conversations that hold the value and `lacking` one
    of those that do not.
    """

    holding: int
    found: int  # of `holding`, by the extractor as well
    lacking: int
    rejected: int  # of `lacking`, by the extractor as well

    def __post_init__(self) -> None:
        """Refuse counts that cannot be."""
        if not (0 <= self.found <= self.holding and 0 <= self.rejected <= self.lacking):
            raise ValueError(f"{self}: more agreed than were reviewed")


@dataclass(frozen=True, slots=True)
class Corrected:
    """A share with its 95 % interval; all null with the `reason` when nothing can be said."""

    share: float | None
    low: float | None
    high: float | None
    reason: str | None = None


def corrected_prevalence(positives: int, conversations: int, reviewed: Reviewed) -> Corrected:
    """Share of conversations that hold a value, of which the extractor found `positives`.

    The interval is that of Lang and Reiczigel (2014): it carries the chance in all three samples.
    """
    if conversations == 0:
        return Corrected(None, None, None, "no_conversations")
    if reviewed.holding == 0 or reviewed.lacking == 0:
        return Corrected(None, None, None, "nothing_reviewed")
    sensitivity = reviewed.found / reviewed.holding
    specificity = reviewed.rejected / reviewed.lacking
    if sensitivity + specificity <= 1:
        return Corrected(None, None, None, "no_better_than_chance")
    share = (positives / conversations + specificity - 1) / (sensitivity + specificity - 1)
    low, high = _lang_reiczigel(positives, conversations, reviewed)
    low, share, high = (float(np.clip(x, 0, 1)) for x in (low, share, high))
    return Corrected(share, min(low, share), max(high, share))


def _lang_reiczigel(positives: int, conversations: int, reviewed: Reviewed) -> tuple[float, float]:
    z = z_quantile()
    n = conversations + z**2
    apparent = (positives + z**2 / 2) / n
    of_holding, of_lacking = reviewed.holding + 2, reviewed.lacking + 2
    sensitivity = (reviewed.found + 1) / of_holding
    specificity = (reviewed.rejected + 1) / of_lacking
    youden = sensitivity + specificity - 1
    if youden <= 0:
        return 0.0, 1.0
    share = (apparent + specificity - 1) / youden
    by_sensitivity = sensitivity * (1 - sensitivity) / of_holding
    by_specificity = specificity * (1 - specificity) / of_lacking
    shift = 2 * z**2 * (share * by_sensitivity - (1 - share) * by_specificity)
    variance = (
        apparent * (1 - apparent) / n
        + share**2 * by_sensitivity
        + (1 - share) ** 2 * by_specificity
    )
    half = z * np.sqrt(variance) / youden
    return share + shift - half, share + shift + half
