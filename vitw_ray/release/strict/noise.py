"""Exact noise and its budget: discrete Gaussians from OpenDP, added up in zCDP.

OpenDP samples the discrete Gaussian of Canonne, Kamath and Steinke (2020) in exact arithmetic from
the operating system's cryptographic source. Floating-point noise would leak through its gaps
(Mironov, 2012). One measurement of integers costs rho = sensitivity^2 / (2 scale^2); costs add up,
and the sum is converted to (epsilon, delta) by the tight formula of the same paper.
"""

import math
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol

import numpy as np

from vitw_ray.errors import ConfigError
from vitw_ray.release.strict.population import Integers

EXTRA = "vitw_ray[release]"


class Noise(Protocol):
    """Adds noise to integers."""

    def add(self, counts: Integers, scale: float) -> Integers:
        """Each number with independent discrete Gaussian noise of this scale."""
        ...


class ExactNoise:
    """Discrete Gaussian noise from a cryptographic source."""

    def add(self, counts: Integers, scale: float) -> Integers:
        """See `Noise`."""
        if not counts.size:
            return counts
        return np.array(_gaussian(scale)(counts.tolist()), np.int64)


@dataclass
class Budget:
    """What may be spent on one release, in zCDP, and the noise that it buys."""

    rho: float
    noise: Noise
    spent: list[float] = field(default_factory=list)

    def scale(self, sensitivity: float, share: float) -> float:
        """Scale of the noise that costs a share (0-1) of the budget."""
        return sensitivity / math.sqrt(2 * share * self.rho)

    def measure(self, counts: Integers, sensitivity: float, share: float) -> Integers:
        """Counts with noise that hides one account.

        Args:
            counts: integers.
            sensitivity: most that one account can change of them, in the Euclidean norm.
            share: of the budget, 0-1.

        Raises:
            ValueError: all measurements together would cost more than the budget.
        """
        self.spent.append(share)
        if math.fsum(self.spent) > 1 + 1e-9:  # shares are decimal fractions, which floats round
            raise ValueError("the measurements cost more than the privacy budget")
        return self.noise.add(counts, self.scale(sensitivity, share))


def rho_of(epsilon: float, delta: float) -> float:
    """The largest zCDP parameter that is within (epsilon, delta).

    Raises:
        ConfigError: OpenDP is not installed.
    """
    dp = opendp()
    log = math.log(1 / delta)
    loose = (math.sqrt(log + epsilon) - math.sqrt(log)) ** 2  # Bun and Steinke, 2016
    most = epsilon + math.sqrt(2 * epsilon)  # far outside: no conversion gives as much
    scales = (1 / math.sqrt(2 * most), 1.01 / math.sqrt(2 * loose))

    def fixed(scale: float) -> Any:
        return dp.c.make_fix_delta(dp.c.make_zCDP_to_approxDP(_scalar(dp, scale)), delta)

    scale = dp.binary_search_param(fixed, d_in=1.0, d_out=(epsilon, delta), bounds=scales)
    return 1 / (2 * float(scale) ** 2)


def epsilon_of(rho: float, delta: float) -> float:
    """The epsilon of a zCDP parameter at a delta."""
    dp = opendp()
    profile = dp.c.make_zCDP_to_approxDP(_scalar(dp, 1 / math.sqrt(2 * rho))).map(1.0)
    return float(profile.epsilon(delta))


def _scalar(dp: Any, scale: float) -> Any:
    return dp.m.make_gaussian(dp.atom_domain(T=dp.i64), dp.absolute_distance(T=float), scale=scale)


@cache
def _gaussian(scale: float) -> Any:
    dp = opendp()
    return dp.m.make_gaussian(
        dp.vector_domain(dp.atom_domain(T=dp.i64)), dp.l2_distance(T=float), scale=scale
    )


@cache
def opendp() -> Any:
    """The library, imported when it is needed: that takes seconds.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import opendp.prelude as dp
    except ModuleNotFoundError:
        raise ConfigError(
            "--kind strict draws its noise with OpenDP, which is not installed",
            f"pip install '{EXTRA}', or publish with --kind threshold",
        ) from None
    library: Any = dp  # some of its names are made at run time
    library.enable_features("contrib")
    return library
