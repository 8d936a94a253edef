"""Prevalence of a value corrected for the reader's errors, from a sample reviewed by people.

The share of conversations in which a reader finds a value has false negatives and false positives.
Given its sensitivity (share found among conversations with the value) and specificity (share not
found among conversations without it), the true share is

    (found + specificity - 1) / (sensitivity + specificity - 1)

(Rogan and Gladen, 1978), clipped to 0 and 1.
"""

from dataclasses import dataclass

import numpy as np

from vitw_ray.intervals import z_quantile


@dataclass(frozen=True, slots=True)
class Reviewed:
    """Counts of reviewed conversations, by the judgement of people and of the reader.

    `holding` must be a random sample of the conversations with the value, and `lacking` one of
    those without it.
    """

    holding: int
    found: int  # of `holding`, where the reader found the value
    lacking: int
    rejected: int  # of `lacking`, where the reader did not find it

    def __post_init__(self) -> None:
        """Validate the counts."""
        if not (0 <= self.found <= self.holding and 0 <= self.rejected <= self.lacking):
            raise ValueError(f"{self}: more agreed than were reviewed")


@dataclass(frozen=True, slots=True)
class Corrected:
    """A share with its 95 % interval; None with a `reason` if it cannot be estimated."""

    share: float | None
    low: float | None
    high: float | None
    reason: str | None = None


def corrected_prevalence(positives: int, conversations: int, reviewed: Reviewed) -> Corrected:
    """Estimated share of conversations with a value that the reader found in `positives`.

    The interval is that of Lang and Reiczigel (2014). It includes the sampling error of all three
    samples.
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
