"""Exact noise of two kinds, and its budget.

Many numbers get discrete Gaussian noise. OpenDP samples it (Canonne, Kamath and Steinke, 2020) in
exact arithmetic from the operating system's cryptographic source; floating-point noise would leak
through its gaps (Mironov, 2012). One measurement costs rho = sensitivity^2 / (2 scale^2) in zCDP;
costs add up, and the sum is converted to (epsilon, delta) by the tight formula of the same paper.

A few numbers of which one account may change each by as much get the noise of the K-norm mechanism
(Hardt and Talwar, 2010) for the cube: P(z) in proportion to exp(-max |z| / scale). It has pure
epsilon = sensitivity / scale, sensitivity in the maximum norm. For six numbers at epsilon 0.5 its
standard deviation is half that of Gaussian noise of the same epsilon and a delta of 5e-7, and the
largest of the six errors is smaller still. The two costs add up: see docs/privacy.md.
"""

import math
import secrets
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

    def add_cube(self, numbers: Integers, scale: float) -> Integers:
        """All numbers with noise z, where P(z) is in proportion to exp(-max |z| / scale)."""
        ...


class ExactNoise:
    """Discrete Gaussian noise from a cryptographic source."""

    def add(self, counts: Integers, scale: float) -> Integers:
        """See `Noise`."""
        if not counts.size:
            return counts
        return np.array(_gaussian(scale)(counts.tolist()), np.int64)

    def add_cube(self, numbers: Integers, scale: float) -> Integers:
        """See `Noise`.

        Let P(t) be in proportion to (2 t + 1)^d exp(-t / scale), and z uniform on the integers of
        the cube [-t, t]^d. Then P(z) is in proportion to the sum of exp(-t / scale) over all t that
        are max |z| or more, and so to exp(-max |z| / scale). To draw t, a sum of d + 1 geometric
        numbers is accepted with a probability that makes up for its other polynomial.
        """
        size = numbers.size
        while True:
            radius = sum(_geometric(scale, size + 1))
            others = math.prod(2 * (radius + n) for n in range(1, size + 1))
            if secrets.randbelow(others) < (2 * radius + 1) ** size:
                break
        drawn = [secrets.randbelow(2 * radius + 1) - radius for _ in range(size)]
        return numbers + np.array(drawn, np.int64)


@dataclass
class Budget:
    """What may be spent on one release, and the noise that it buys."""

    rho: float
    """In zCDP, for all measurements but one."""
    epsilon: float
    """For the one measurement of a few numbers."""
    noise: Noise
    spent: list[float] = field(default_factory=list)
    has_measured_few: bool = False

    @classmethod
    def of(cls, epsilon: float, delta: float, few_share: float, noise: Noise) -> "Budget":
        """The budget of (epsilon, delta), with a share (0-1) of epsilon for a few numbers.

        Raises:
            ConfigError: OpenDP is not installed.
        """
        few = few_share * epsilon
        return cls(rho_of(epsilon - few, delta), few, noise)

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

    def few_scale(self, sensitivity: float) -> float:
        """Scale of the noise of a few numbers."""
        return cube_scale(sensitivity, self.epsilon)

    def measure_few(self, numbers: Integers, sensitivity: float) -> Integers:
        """A few numbers with noise that hides one account, once.

        Args:
            numbers: integers.
            sensitivity: most that one account can change each of them.

        Raises:
            ValueError: it was measured before.
        """
        if self.has_measured_few:
            raise ValueError("a further measurement costs more than the privacy budget")
        self.has_measured_few = True
        return self.noise.add_cube(numbers, self.few_scale(sensitivity))


def cube_scale(sensitivity: float, epsilon: float) -> float:
    """Scale of the noise of a cube that costs `epsilon`; sensitivity in the maximum norm."""
    return math.nextafter(sensitivity / epsilon, math.inf)


def cube_deviation(scale: float, size: int) -> float:
    """Standard deviation of each of `size` numbers with the noise of a cube."""
    return scale * math.sqrt((size + 1) * (size + 2) / 3)


@cache
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


def _geometric(scale: float, size: int) -> list[int]:
    """Numbers with P(n) in proportion to exp(-n / scale): discrete Laplace, from 0 on."""
    drawn: list[int] = []
    while len(drawn) < size:
        drawn += [n for n in _laplace(scale)([0] * 2 * size) if n >= 0]
    return drawn[:size]


@cache
def _laplace(scale: float) -> Any:
    dp = opendp()
    return dp.m.make_laplace(
        dp.vector_domain(dp.atom_domain(T=dp.i64)), dp.l1_distance(T=dp.i64), scale=scale
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
