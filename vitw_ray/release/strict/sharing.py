"""How a budget is shared between the most frequent AI values and all others.

A share of a few accounts needs more of epsilon for the same error than one of many. So a hundredth
of epsilon tells how large the population is, and that decides. Whatever it decides, what is left is
a budget of the same size, so the two add up.
"""

import math

import numpy as np

from vitw_ray.release.strict.bounds import Bounds
from vitw_ray.release.strict.noise import Budget, Noise, cube_scale
from vitw_ray.release.strict.population import WEIGHT, Population, weigh

SIZE_SHARE = 0.01  # ours, of epsilon
WANTED = 1e-4  # ours: error of the most frequent shares
SCALES = 5.2  # ours: of the noise of six numbers; 84 of 100 releases err by less
LEAST, MOST, STEPS = 0.25, 0.5, 20  # ours: below, nothing is gained; above, too many names are lost


def budget_of(
    population: Population, bounds: Bounds, epsilon: float, delta: float, noise: Noise
) -> Budget:
    """The budget of a release of a population with (epsilon, delta).

    Args:
        population: a hundredth of epsilon is spent on its size.
        bounds: of its accounts.
        epsilon: of the release.
        delta: for all but names of a single account, which have their own.
        noise: what the measurements get.

    Raises:
        ConfigError: OpenDP is not installed.
    """
    of_size = SIZE_SHARE * epsilon
    k = bounds.conversations
    total = np.array([weigh(population, k).sum()])
    noisy = noise.add_cube(total, cube_scale(WEIGHT * k, of_size))
    left = epsilon - of_size
    return Budget.of(left, delta, head_share(int(noisy[0]) / WEIGHT, k, left), noise)


def head_share(conversations: float, most: int, epsilon: float) -> float:
    """The share of epsilon for the most frequent AI values, in steps.

    Args:
        conversations: what all accounts count as.
        most: what one account counts as.
        epsilon: of which the share is.
    """
    needed = SCALES * most / (WANTED * max(conversations, 1.0) * epsilon)
    return min(max(math.ceil(needed * STEPS) / STEPS, LEAST), MOST)
