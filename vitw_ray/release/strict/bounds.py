"""How much one account contributes, and how the budget is split.

Accounts with several conversations are counted better if several of them count, and all others
worse, since the noise grows with what one account may change. So a small share of the budget goes
to the two numbers that tell: accounts, and accounts with several conversations.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vitw_ray.release.strict.noise import Budget
from vitw_ray.release.strict.population import Integers, Population

AI, HUMAN, TASKS = "ai_values", "human_values", "tasks"
SPLIT: Mapping[str, float] = {  # ours: see docs/releasing.md
    "bounds": 0.01,
    "names ai_values": 0.08,
    "names human_values": 0.03,
    "names tasks": 0.02,
    "conversations": 0.09,
    "head": 0.33,
    "counts ai_values": 0.30,
    "counts human_values": 0.06,
    "counts tasks": 0.02,
    "response_types": 0.02,
    "ai_values x response_types": 0.02,
    "ai_values x tasks": 0.02,
}
SEVERAL = 0.2  # ours: of the accounts have several; then three each give more names, smaller errors
CHOSEN = 3  # ours: more conversations add noise and hardly any names
PAIRS_OF_ONE, PAIRS_OF_SEVERAL = 12, 24


@dataclass(frozen=True)
class Bounds:
    """What one account contributes at most, and the probability left to names of one account."""

    conversations: int
    pairs: int
    delta: float

    def of(self, facet: str) -> int:
        """Pairs of a facet that one account contributes at most; a conversation has one task."""
        return self.conversations if facet == TASKS else self.pairs

    def norm(self, facet: str) -> float:
        """Most that one account changes the counts of a facet's names, in the Euclidean norm.

        All of its pairs may be of the same few names, each in all of its conversations.
        """
        return (self.conversations * self.of(facet)) ** 0.5


def choose_bounds(
    population: Population,
    conversations: int | None,
    pairs: int | None,
    delta: float,
    budget: Budget,
) -> Bounds:
    """The bounds that were asked for; what was not is chosen, by noisy counts.

    Args:
        population: before it is bounded.
        conversations: of one account; None: one, or a few where many accounts have several.
        pairs: of one account and facet; None: by the conversations.
        delta: probability that is left to names of one account.
        budget: pays for the choice, if there is one.
    """
    if conversations is None:
        noisy = budget.measure(accounts_counted(population), 2**0.5, SPLIT["bounds"])
        has_several = noisy[1] >= SEVERAL * max(int(noisy[0]), 1)
        conversations = CHOSEN if has_several else 1
    if pairs is None:
        pairs = PAIRS_OF_ONE if conversations == 1 else max(PAIRS_OF_SEVERAL, conversations)
    return Bounds(conversations, pairs, delta)


def accounts_counted(population: Population) -> Integers:
    """Accounts, and accounts with several conversations: one account changes each by 1 at most."""
    _, sizes = np.unique(population.accounts, return_counts=True)
    return np.array([sizes.size, (sizes > 1).sum()], np.int64)
