"""Which names may be released: partition selection with accounts as units.

A name is released if its noisy weight passes a threshold that a name of a single account passes
with probability `delta` at most. The weights of one account have Euclidean norm 1: with t names,
each gets 1 / sqrt(t) (weighted Gaussian; Gopi et al., 2020).

There are two rounds, after MAD2R (Chen, Cohen-Addad, Epasto and Zadimoghaddam, 2025). The first one
finds the common names. In the second one, accounts give no weight to names that are released
already, nor to names whose noisy weight is hopelessly small; so all of it goes to names that may
still pass. The weights of the second round depend on other accounts through the noisy weights of
the first only, so the two rounds compose: their costs add up, as do their `delta`.
"""

from dataclasses import dataclass
from math import isqrt

import numpy as np
from scipy.special import ndtri

from vitw_ray.release.strict.noise import Budget
from vitw_ray.release.strict.population import Integers, Pairs

UNIT = 1 << 16  # the weight of one account, in integers: noise is exact on integers only
FIRST_ROUND = 0.25  # ours, of the budget: finds what is common, and what is hopeless
HOPELESS = 0.5  # ours: of the second threshold, two scales above the noisy weight of the first


@dataclass(frozen=True)
class Selected:
    """The codes of the released names, and their noisy weights, heaviest first."""

    codes: Integers
    weights: Integers
    sure_from: float
    """Accounts from which a name is released with probability 0.98 at least."""


def select(
    pairs: Pairs, accounts: Integers, most: int, budget: Budget, share: float, delta: float
) -> Selected:
    """The names to release.

    Args:
        pairs: of bounded contributions.
        accounts: of each conversation.
        most: names of one account, at most.
        budget: pays for it.
        share: of the budget.
        delta: probability that a name of a single account is released.
    """
    size = len(pairs.names)
    holders, codes = _distinct(accounts[pairs.rows], pairs.codes, size)
    shares = (FIRST_ROUND * share, (1 - FIRST_ROUND) * share)
    scales = [budget.scale(UNIT, each) for each in shares]
    limits = [threshold(scale, most, delta / 2) for scale in scales]
    first = _noisy(weights_of(holders, codes, size), budget, shares[0])
    passed = first > limits[0]
    hopeless = first + 2 * scales[0] < HOPELESS * limits[1]
    left = ~(passed | hopeless)[codes]
    second = _noisy(weights_of(holders[left], codes[left], size), budget, shares[1])
    passed |= second > limits[1]
    (found,) = np.nonzero(passed)
    found = found[np.lexsort((found, -first[found]))]
    sure_from = (min(limits[0] + 2 * scales[0], limits[1] + 2 * scales[1])) * most**0.5 / UNIT
    return Selected(found, first[found], sure_from)


def threshold(scale: float, most: int, delta: float) -> float:
    """What the weight of no name of a single account passes, but with probability `delta`.

    An account has up to `most` such names, each of weight UNIT / sqrt(t) if it has t. The tail of a
    discrete Gaussian is below that of the continuous one from one step less (Canonne et al., 2020).
    """
    sizes = np.arange(1, most + 1)
    return float(np.max(UNIT / np.sqrt(sizes) - scale * ndtri(delta / sizes)) + 1)


def weights_of(accounts: Integers, codes: Integers, size: int) -> Integers:
    """The sum of all accounts' weights, per name."""
    _, of_account, names = np.unique(accounts, return_inverse=True, return_counts=True)
    each = np.array([isqrt(UNIT * UNIT // t) for t in range(1, int(names.max(initial=0)) + 1)])
    weights = np.zeros(size, np.int64)
    if accounts.size:
        np.add.at(weights, codes, each[names - 1][of_account])
    return weights


def _noisy(weights: Integers, budget: Budget, share: float) -> Integers:
    """Weights with noise, drawn only where there is weight: others are never released."""
    noisy = np.full(weights.size, np.iinfo(np.int64).min, np.int64)
    held = weights > 0
    noisy[held] = budget.measure(weights[held], UNIT, share)
    return noisy


def _distinct(accounts: Integers, codes: Integers, size: int) -> tuple[Integers, Integers]:
    """Each (account, name) once."""
    found = np.unique(accounts * max(size, 1) + codes)
    return found // max(size, 1), found % max(size, 1)
