"""From the numbers of a headline in all specifications to its badge, and to what moves it.

Three badges, for a claim and its one-sided tests at level a = `RISK` / headlines:

- `holds_in_all`: the claim is significant in every specification. This is an intersection-union
  test (Berger, 1982): a claim that fails in any one specification gets this badge with a
  probability of at most a, and any of the run's headlines with `RISK`, however many
  specifications there are.
- `hangs_on_the_wording`: the opposite is significant in some specification (at a / specifications),
  or the claim is significant in no more than half of them and in some surely weaker than in the
  run's own.
- `holds_in_most`: significant in more than half, and surely false in none.

Where neither can be said the sample is too small, and there is no badge.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from scipy.special import ndtri

from vitw_ray.evaluation.certificate.design import CHOICES, Specification
from vitw_ray.evaluation.certificate.measuring import Measured
from vitw_ray.intervals import Floats

RISK = 0.01  # ours: of one wrong `holds_in_all` among all headlines of a certificate
Badge = Literal["holds_in_all", "holds_in_most", "hangs_on_the_wording"]
MOST = 0.5
Limits = Sequence[tuple[int, float]]


class Judged(NamedTuple):
    """A headline over all specifications: [specifications] each."""

    badge: Badge | None
    estimates: Floats
    errors: Floats
    holds: tuple[bool, ...]


class MovedBy(NamedTuple):
    """Share of the variance between specifications that a choice explains (eta squared).

    `by_chance` is the part of all variance that draws of the conversations alone give the choice.
    """

    choice: str
    share: float | None
    by_chance: float | None


def judge(found: Sequence[Measured], limits: Limits, headlines: int) -> Judged:
    """The badge of a headline; the first specification is that of the run.

    Args:
        found: by specification.
        limits: of the claim.
        headlines: how many are judged together.
    """
    values = np.array([one.values for one in found])
    estimates = values[:, 0]
    least = np.array([one.least_error for one in found])
    errors = np.maximum(_spread(values[:, 1:]), least)
    distances = np.array([sign * (estimates - limit) for sign, limit in limits])
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = distances.min(axis=0) / errors
    scores = np.nan_to_num(scores, nan=0.0)
    level = RISK / headlines
    holds = scores > -ndtri(level)
    reversed_ = scores < ndtri(level / (len(found) * len(limits)))
    weaker = _weaker(values, distances, errors, holds, level)
    badge: Badge | None = None
    if reversed_.any():
        badge = "hangs_on_the_wording"
    elif holds.all():
        badge = "holds_in_all"
    elif holds.mean() > MOST:
        badge = "holds_in_most"
    elif weaker:
        badge = "hangs_on_the_wording"
    return Judged(badge, estimates, errors, tuple(holds.tolist()))


def _weaker(
    values: Floats, distances: Floats, errors: Floats, holds: np.ndarray, level: float
) -> bool:
    """Whether the claim holds in the run's own specification and is surely weaker in another."""
    if not holds[0]:
        return False
    change = values - values[0]
    loss = distances[:, :1] - distances
    spread = np.maximum(_spread(change[:, 1:]), errors / 10)
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = np.nan_to_num(loss.max(axis=0) / spread, nan=0.0)
    return bool((scores[~holds] > -ndtri(level / len(values))).any())


def _spread(draws: Floats) -> Floats:
    """Standard deviation over draws; 0 where there is no number."""
    known = np.isfinite(draws)
    counted = np.maximum(known.sum(axis=1), 2)
    filled = np.where(known, draws, 0.0)
    mean = filled.sum(axis=1) / counted
    squares = np.where(known, (filled - mean[:, None]) ** 2, 0.0).sum(axis=1)
    return np.sqrt(squares / (counted - 1))


def moved_by(found: Sequence[Measured], specifications: Sequence[Specification]) -> list[MovedBy]:
    """Eta squared of each choice that was made in more than one way, and of the rest.

    A choice that some readers do not have is compared among those that have it. A gate at which
    some way has no number is left out, so that the design stays balanced.
    """
    known = [bool(np.isfinite(one.values[0])) for one in found]
    lacking = {one.gate for one, told in zip(specifications, known, strict=True) if not told}
    places = [n for n, one in enumerate(specifications) if one.gate not in lacking]
    if len(places) < 2:
        return []
    specifications = [specifications[n] for n in places]
    values = np.array([found[n].values for n in places])
    estimates = values[:, 0]
    noise = np.nan_to_num(values[:, 1:] - estimates[:, None])
    total = float(((estimates - estimates.mean()) ** 2).sum())
    rows, explained = [], 0.0
    for choice in CHOICES:
        levels = [one.level(choice) for one in specifications]
        if len(set(levels) - {None}) < 2:
            continue
        part = float(_between(estimates[:, None], levels)[0])
        chance = float(_between(noise, levels).mean())
        explained += part
        rows.append(
            MovedBy(choice, part / total, chance / total) if total else MovedBy(choice, None, None)
        )
    rest = max(1 - explained / total, 0.0) if total else None
    return [*rows, MovedBy("rest", rest, None)] if rows else []


def _between(values: Floats, levels: Sequence[object]) -> Floats:
    """Sum of squares between the levels of a choice, for each column of values."""
    has = np.array([level is not None for level in levels])
    mean = values[has].mean(axis=0)
    total = np.zeros(values.shape[1])
    for level in {level for level in levels if level is not None}:
        mine = np.array([one == level for one in levels])
        total += mine.sum() * (values[mine].mean(axis=0) - mean) ** 2
    return total
