"""Strict releases with a planted error each, for the audit to find."""

from contextlib import contextmanager

import numpy as np
import pytest

from vitw_ray.evaluation.audit_population import alone, audit_population
from vitw_ray.release.strict import measure, names, sharing
from vitw_ray.release.strict.bounds import Bounds
from vitw_ray.release.strict.noise import Budget, ExactNoise
from vitw_ray.release.strict.population import WEIGHT

EPSILON, DELTA = 1.0, 1e-3
BOUNDS = Bounds(conversations=1, pairs=4, delta=DELTA / 2)
POPULATIONS = {there: audit_population(there) for there in (True, False)}
ALONE = alone()


class FixedSeed:
    """The same noise at every run."""

    def add(self, counts, scale):
        drawn = np.random.default_rng(0).normal(0, scale, counts.size)
        return counts + np.rint(drawn).astype(np.int64)

    add_cube = add


class BareTotal(Budget):
    """The number of conversations gets no noise."""

    def measure_few(self, numbers, sensitivity):
        noisy = super().measure_few(numbers, sensitivity)
        return np.append(noisy[:-1], numbers[-1])


def drawing(noise=None, budget=Budget, patch=None, bounds=BOUNDS):
    """A release of the audit's populations, with something exchanged."""

    def release(there):
        with pytest.MonkeyPatch.context() as patched:
            for target, name, value in patch or ():
                patched.setattr(target, name, value)
            people = POPULATIONS[there]
            of = sharing.budget_of(people, bounds, EPSILON, DELTA / 2, noise or ExactNoise())
            return measure.measure(people, bounds, budget(of.rho, of.epsilon, of.noise))

    return release


def all_weigh_one(population, most):
    return np.full(population.conversations, WEIGHT)


UNBOUND = (
    (measure, "weigh", all_weigh_one),
    (sharing, "weigh", all_weigh_one),
    (measure, "bound_names", lambda pairs, population, most: pairs),
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
            ai.take(ai.codes == only), ALONE.accounts, 4, Budget(rho, 1.0, ExactNoise()), 1.0, DELTA
        )
        found += only in chosen.codes
    return found
