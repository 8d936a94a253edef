"""Whether a strict release leaks more than it claims: an audit by paired runs.

A release is drawn many times from a population with one more account, and many times without it.
If some event of the output is more likely with the account than epsilon and delta allow, the claim
is wrong. Events are chosen on one half of the runs and counted on the other, with exact intervals
(Clopper and Pearson, 1934), so that a right release passes but for the stated probability. An audit
finds gross errors; it proves nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from vitw_ray.evaluation.audit_population import COMMON, ONLY
from vitw_ray.release.strict.bounds import AI
from vitw_ray.release.strict.measure import Findings

CONFIDENCE = 0.9999  # ours: of the whole audit; a right release fails once in 10,000
CUTS = 20  # ours: thresholds that are tried for a statistic

Samples = NDArray[np.float64]  # [runs, statistics]


@dataclass(frozen=True)
class Audit:
    """What paired runs show, with confidence: lower bounds, so they may be far below the truth."""

    epsilon: float
    """The privacy loss is at least this."""
    only: float
    """A name of a single account is released with at least this probability."""


def audit(
    release: Callable[[bool], Findings], runs: int, delta: float, statistics: Sequence[int] = ()
) -> Audit:
    """Audit a release.

    Args:
        release: draws it, with the account or without.
        runs: of each of the two.
        delta: that it claims.
        statistics: those of `statistics_of` to look at; default: all.
    """
    drawn = [
        np.array([statistics_of(release(there)) for _ in range(runs)]) for there in (True, False)
    ]
    held = drawn[0][:, -1]
    chosen = list(statistics) or list(range(drawn[0].shape[1]))
    return Audit(
        epsilon_shown(drawn[0][:, chosen], drawn[1][:, chosen], delta),
        at_least(int(held.sum()), held.size, 1 - CONFIDENCE),
    )


def statistics_of(found: Findings) -> list[float]:
    """Numbers of a release that one account could change; the last: is its own name in it?"""
    table = found.facets[AI]
    counts = dict(zip(table.names, table.counts.tolist(), strict=True))
    crossed = [float(one.counts.sum()) for one in found.crossed.values()]
    return [
        float(found.conversations),
        float(found.response_types.counts.sum()),
        float(found.response_types.counts[0]),
        float(counts.get(COMMON, -1)),
        float(table.counts.sum()),
        float(len(table.names)),
        *crossed,
        float(ONLY in counts),
    ]


def epsilon_shown(present: Samples, absent: Samples, delta: float) -> float:
    """Lower bound of the privacy loss over all statistics and both directions."""
    half = present.shape[0] // 2
    alpha = (1 - CONFIDENCE) / (4 * present.shape[1])  # two directions, two intervals each
    shown = 0.0
    for more, less in ((present, absent), (absent, present)):
        for column in range(more.shape[1]):
            event = _best_event(more[:half, column], less[:half, column])
            p = at_least(int(event(more[half:, column]).sum()), more.shape[0] - half, alpha)
            q = at_most(int(event(less[half:, column]).sum()), less.shape[0] - half, alpha)
            if p > delta:
                shown = max(shown, float(np.log((p - delta) / q)))
    return shown


Event = Callable[[Samples], NDArray[np.bool_]]


def _best_event(more: Samples, less: Samples) -> Event:
    """The event that tells the two apart best: beyond a cut, or one exact value."""
    cuts = np.unique(np.quantile(np.r_[more, less], np.linspace(0, 1, CUTS)))
    events: list[Event] = [lambda x, cut=cut: x >= cut for cut in cuts]
    events += [lambda x, cut=cut: x <= cut for cut in cuts]
    values, times = np.unique(more, return_counts=True)
    commonest = values[times.argmax()]
    events.append(lambda x: x == commonest)

    def score(event: Event) -> float:
        return float(np.log((event(more).sum() + 1) / (event(less).sum() + 1)))

    return max(events, key=score)


def at_least(hits: int, runs: int, alpha: float) -> float:
    """Lower end of the one-sided interval of a probability."""
    return float(beta.ppf(alpha, hits, runs - hits + 1)) if hits else 0.0


def at_most(hits: int, runs: int, alpha: float) -> float:
    """Upper end of the one-sided interval of a probability."""
    return float(beta.ppf(1 - alpha, hits + 1, runs - hits)) if hits < runs else 1.0
