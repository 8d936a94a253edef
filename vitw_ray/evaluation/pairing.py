"""Pair sets of AI values with sets of human values so that a given share is mirrored.

Pairing moves whole sets, so the distribution of either side alone does not change.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitw_ray.statistics.contingency import CodedFacet

ROUNDS = 200  # ours: each round leaves about a tenth of the accidental matches


@dataclass(frozen=True)
class Sets:
    """Human and AI sets of the conversations of one pool, numbered 0 .. size - 1.

    Each side is pairs (number, code), ascending. Human values are given as codes of AI values;
    those without such a code are left out.
    """

    size: int
    labels: int
    human: tuple[NDArray[np.int64], NDArray[np.int64]]
    ai: tuple[NDArray[np.int64], NDArray[np.int64]]

    @staticmethod
    def of(
        human: CodedFacet, to_ai: NDArray[np.int64], ai: CodedFacet, pool: NDArray[np.int64]
    ) -> "Sets":
        """The sets of the rows in `pool`, which must be ascending."""

        def inside(rows: NDArray[np.int64], codes: NDArray[np.int64]) -> tuple:
            place = np.searchsorted(pool, rows)
            kept = (pool[np.minimum(place, pool.size - 1)] == rows) & (codes >= 0)
            return place[kept], codes[kept]

        if not pool.size:
            empty = np.zeros(0, np.int64)
            return Sets(0, ai.size, (empty, empty), (empty, empty))
        sides = inside(human.rows, to_ai[human.codes]), inside(ai.rows, ai.codes.astype(np.int64))
        return Sets(pool.size, ai.size, *sides)


def pair_sets(
    rng: np.random.Generator, sets: Sets, mirrored: float, same: int, again: float
) -> NDArray[np.int64]:
    """The conversation that each AI set is assigned to: a permutation of 0 .. size - 1.

    A binomial number of conversations, with probability `mirrored`, gets a set with one of its
    human values. Of the conversations that state the value `same`, a share `again` gets a set with
    this value. All others get a set without a match.
    """
    goes_to = np.full(sets.size, -1)
    if not sets.size:
        return goes_to
    is_mirrored = _assign_matches(
        rng, sets, goes_to, rng.binomial(sets.size, mirrored), same, again
    )
    rest = np.flatnonzero(~is_mirrored)
    free = np.flatnonzero(goes_to < 0)
    goes_to[free] = rng.permutation(rest)
    human = np.sort(sets.human[0] * sets.labels + sets.human[1])
    for _ in range(ROUNDS):
        keys = goes_to[sets.ai[0]] * sets.labels + sets.ai[1]
        place = np.minimum(np.searchsorted(human, keys), human.size - 1)
        met = np.unique(sets.ai[0][human[place] == keys]) if human.size else human
        met = met[~is_mirrored[goes_to[met]]]
        if not met.size:
            return goes_to
        for one in met:  # swap conversations with another set that was not chosen for a match
            other = free[rng.integers(free.size)]
            goes_to[[one, other]] = goes_to[[other, one]]
    raise ValueError("too many sets match by accident: ask for a larger mirrored share")


def _assign_matches(
    rng: np.random.Generator,
    sets: Sets,
    goes_to: NDArray[np.int64],
    wanted: int,
    same: int,
    again: float,
) -> NDArray[np.bool_]:
    """Assign matching sets to `wanted` conversations; fills `goes_to`, returns a mask of them."""
    order = rng.permutation(sets.ai[0].size)
    by_label: dict[int, list[int]] = {}
    for number, code in zip(sets.ai[0][order].tolist(), sets.ai[1][order].tolist(), strict=True):
        by_label.setdefault(code, []).append(number)
    is_mirrored = np.zeros(sets.size, bool)

    def assign(conversation: int, code: int) -> bool:
        while by_label.get(code):
            number = by_label[code].pop()
            if goes_to[number] < 0:
                goes_to[number], is_mirrored[conversation] = conversation, True
                return True
        return False

    states = np.unique(sets.human[0][sets.human[1] == same])
    chosen = states[rng.random(states.size) < again]
    remaining = wanted - sum(assign(conversation, same) for conversation in chosen.tolist())
    others = np.flatnonzero(sets.human[1] != same)
    for place in rng.permutation(others).tolist():
        if remaining <= 0:
            break
        conversation = int(sets.human[0][place])
        if not is_mirrored[conversation]:
            remaining -= assign(conversation, int(sets.human[1][place]))
    return is_mirrored
