"""Certify a threshold of the screen: learn-then-test with exact binomial tests.

A conversation is screened out when the head's score is below the threshold. The **loss** of a
threshold is the share of the reader's subjective conversations that it screens out: of all
conversations of the run that the reader would call subjective, how many it never gets to see. The
loss is relative to the reader's answers, not to the truth, and counts conversations, not values.

The calibration rows are a random sample of the run's conversations that the head was not trained
on. Of `m` subjective ones, `k` below a threshold whose loss is above alpha would be at most
Bin(m, alpha), so P(Bin(m, alpha) <= k) is a valid p-value for "the loss is above alpha".
Thresholds are tested in a fixed order that no data decides, from the most careful on, each at level
delta, until the first one fails. The last that passed has, with probability 1 - delta, a loss of at
most alpha (Angelopoulos et al., Learn then test, 2021: fixed-sequence testing).
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

DELTA = 0.05  # ours: the probability with which a certificate may be wrong
GRID = np.round(np.arange(-12.0, 12.0, 0.05), 2)
"""Thresholds in the order of testing: logits, from far below any score of a conversation on."""


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """What the calibration rows allow.

    Attributes:
        threshold: scores below it are screened out; None: no threshold can be certified.
        alpha: most of the reader's subjective conversations that may be lost, as a share.
        delta: probability that the loss is larger all the same.
        calibration: conversations that it was tested on.
        subjective: those of them that the reader calls subjective.
        lost: those of them below the threshold.
        bound: upper limit of the loss at the threshold, with probability 1 - delta.
    """

    threshold: float | None
    alpha: float
    delta: float
    calibration: int
    subjective: int
    lost: int
    bound: float


def certify(
    scores: np.ndarray, subjective: np.ndarray, alpha: float, delta: float = DELTA
) -> Certificate:
    """Find the highest threshold whose loss is at most alpha, with probability 1 - delta.

    Args:
        scores: of the calibration rows, shape (n,).
        subjective: whether the reader calls them subjective, shape (n,).
        alpha: most loss.
        delta: level of every test.
    """
    kept = np.sort(scores[subjective])
    m = len(kept)
    lost = np.searchsorted(kept, GRID, side="left")  # strictly below each threshold
    passed = p_values(lost, m, alpha) <= delta
    last = len(GRID) if passed.all() else int(np.argmin(passed))  # tests before the first failure
    found = int(lost[last - 1]) if last else 0
    return Certificate(
        threshold=float(GRID[last - 1]) if last else None,
        alpha=alpha,
        delta=delta,
        calibration=len(scores),
        subjective=m,
        lost=found,
        bound=upper_limit(found, m, delta) if last else 0.0,
    )


def p_values(lost: np.ndarray, subjective: int, alpha: float) -> np.ndarray:
    """P(Bin(subjective, alpha) <= lost): small where a loss above alpha is implausible."""
    return np.asarray(stats.binom.cdf(lost, subjective, alpha))


def upper_limit(lost: int, of: int, delta: float) -> float:
    """Exact one-sided upper limit of a share (Clopper-Pearson)."""
    return 1.0 if lost >= of else float(stats.beta.ppf(1 - delta, lost + 1, of - lost))


def least_subjective(alpha: float, delta: float = DELTA) -> int:
    """Subjective calibration rows without which no threshold can be certified."""
    return int(np.ceil(np.log(delta) / np.log1p(-alpha)))
