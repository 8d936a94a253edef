"""Strict releases with a planted error each, for the audit to find."""

from contextlib import contextmanager

import numpy as np
import pytest

from vitw_ray.evaluation.audit_population import alone, audit_population
from vitw_ray.release.strict import measure, names
from vitw_ray.release.strict.bounds import Bounds, choose_bounds
from vitw_ray.release.strict.noise import Budget, ExactNoise, rho_of

EPSILON, DELTA = 1.0, 1e-3
BOUNDS = Bounds(conversations=1, pairs=4, delta=DELTA / 2)
POPULATIONS = {there: audit_population(there) for there in (True, False)}
ALONE = alone()


class FixedSeed:
    """The same noise at every run."""

    def add(self, counts, scale):
        drawn = np.random.default_rng(0).normal(0, scale, counts.size)
        return counts + np.rint(drawn).astype(np.int64)


class BareTotal(Budget):
    """A single number gets no noise."""

    def measure(self, counts, sensitivity, share):
        noisy = super().measure(counts, sensitivity, share)
        return counts if counts.size == 1 else noisy


def drawing(rho=None, noise=None, budget=Budget, patch=None, chosen=False):
    """A release of the audit's populations, with something exchanged; `chosen`: its bounds."""
    rho = rho or rho_of(EPSILON, DELTA / 2)
    noise = noise or ExactNoise()

    def release(there):
        with pytest.MonkeyPatch.context() as patched:
            for target, name, value in patch or ():
                patched.setattr(target, name, value)
            people, pays = POPULATIONS[there], budget(rho, noise)
            bounds = choose_bounds(people, None, 4, DELTA / 2, pays) if chosen else BOUNDS
            return measure.measure(people, bounds, pays)

    return release


UNBOUND = (
    (measure, "bound_conversations", lambda population, most: population),
    (measure, "bound_pairs", lambda pairs, population, most: pairs),
)
RIGHT_THRESHOLD = names.threshold


def one_account_less(scale, most, delta):
    return RIGHT_THRESHOLD(scale, most, delta) - names.UNIT


LEAKS = {
    "no bound": {"patch": UNBOUND},
    "fixed seed": {"noise": FixedSeed()},
    "bare total": {"budget": BareTotal},
}


@contextmanager
def threshold_too_low():
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(names, "threshold", one_account_less)
        yield


def name_of_one_account_is_released(runs, rho=8.0):
    """In how many runs the name that one account holds passes; noise of half an account."""
    ai = ALONE.facets["ai_values"]
    only = ai.names.index("a name of one account")
    found = 0
    for _ in range(runs):
        chosen = names.select(
            ai.take(ai.codes == only), ALONE.accounts, 4, Budget(rho, ExactNoise()), 1.0, DELTA
        )
        found += only in chosen.codes
    return found
