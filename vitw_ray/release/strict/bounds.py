"""How much one account counts, and how the budget for all but the first AI values is split."""

from collections.abc import Mapping
from dataclasses import dataclass

AI, HUMAN, TASKS = "ai_values", "human_values", "tasks"
SPLIT: Mapping[str, float] = {  # ours: see docs/releasing.md
    "names ai_values": 0.22,
    "names human_values": 0.05,
    "names tasks": 0.02,
    "counts ai_values": 0.53,
    "counts human_values": 0.08,
    "counts tasks": 0.02,
    "response_types": 0.03,
    "ai_values x response_types": 0.025,
    "ai_values x tasks": 0.025,
}
TASKS_OF_ACCOUNT = 4  # ours: whose names it supports, per conversation that it counts as


@dataclass(frozen=True)
class Bounds:
    """What one account counts at most, and the probability left to names of one account."""

    conversations: int
    """All conversations of an account weigh as much as this many, at most."""
    pairs: int
    """Names of a facet that one conversation has at most; it has one task."""
    delta: float

    def of(self, facet: str) -> int:
        """Names of a facet that one conversation has at most."""
        return 1 if facet == TASKS else self.pairs

    def names(self, facet: str) -> int:
        """Names of a facet that one account supports at most."""
        return self.conversations * (TASKS_OF_ACCOUNT if facet == TASKS else 2 * self.pairs)

    def norm(self, facet: str) -> float:
        """Most that one account changes the counts of a facet's names, in the Euclidean norm.

        Each name gets at most the account's weight k, all names together at most k times `of`.
        """
        return self.conversations * self.of(facet) ** 0.5
