"""Mirroring expected by chance: human values paired with AI values of other conversations.

Two sides that discuss the same task share labels without any mirroring. `share_by_chance` is the
share of mirrored conversations if each conversation's human values were paired with the AI values
of another conversation of the same response type and task (a stratum). The estimate needs margins
only. In a stratum of M conversations, let H conversations hold value v on the human side, A on the
AI side, and B on both. Over all pairs of different conversations, a human value finds a match with
probability

    q = sum over v of (H A - B) / ((M - 1) x sum over v of H),

and a conversation with k human values that also exist as AI values is mirrored with probability
1 - (1 - q)^k. For k = 1 that is the exact mean over all pairs. For larger k it treats the k matches
as independent. They are not quite, because a conversation holds a value once: on data drawn from
the published frequencies the estimate is 1 to 5 % too low, more so with fewer and larger clusters.
Therefore a lift below 1.05 is no evidence of mirroring. A conversation that is alone in its stratum
is paired with those of its response type.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from vitw_ray.intervals import Floats, share
from vitw_ray.statistics.contingency import Integers, SparseCounts

SIZES = 64  # ours: more human values in a conversation are an error; an answer holds at most 8


@dataclass(frozen=True, slots=True, eq=False)
class MirroringCounts:
    """Margins of each stratum in each group of accounts; a monoid under `add`, with `zero`.

    A stratum is a response type and a task: index `type * (tasks + 1) + task`, where the last task
    is "none". Only conversations with a response type and a human value are counted. Keys of
    `human` and `ai` are `(group * strata + stratum) * values + AI code`. Keys of `sizes` are
    `(group * strata + stratum) * SIZES + k` for conversations with k human values that exist as AI
    values.
    """

    conversations: Integers  # [groups, strata]
    mirrored: Integers  # [groups, strata]: at least one label on both sides
    matches: Integers  # [groups, strata]: labels on both sides, summed over conversations
    human: SparseCounts  # of human values, as AI codes
    ai: SparseCounts
    sizes: SparseCounts

    @classmethod
    def zero(cls, groups: int, response_types: int, tasks: int) -> Self:
        """The counts of no conversations."""
        shape = (groups, response_types * (tasks + 1))
        margin = np.zeros(shape, np.int64)
        nothing = SparseCounts.of(np.zeros(0, np.int64))
        return cls(margin, margin, margin, nothing, nothing, nothing)

    def add(self, other: Self) -> Self:
        """The counts of both blocks."""
        return type(self)(
            self.conversations + other.conversations,
            self.mirrored + other.mirrored,
            self.matches + other.matches,
            self.human.add(other.human),
            self.ai.add(other.ai),
            self.sizes.add(other.sizes),
        )


def summed(counts: MirroringCounts, values: int) -> MirroringCounts:
    """The sum over groups of accounts: no axis for groups in arrays, no group in keys."""
    strata = counts.conversations.shape[1]
    arrays = (counts.conversations, counts.mirrored, counts.matches)

    def tally(of_groups: SparseCounts, codes: int) -> SparseCounts:
        return SparseCounts.of(of_groups.keys % (strata * codes), of_groups.counts)

    return MirroringCounts(
        *(array.sum(axis=0) for array in arrays),
        human=tally(counts.human, values),
        ai=tally(counts.ai, values),
        sizes=tally(counts.sizes, SIZES),
    )


def without(
    total: MirroringCounts, counts: MirroringCounts, group: int, values: int
) -> MirroringCounts:
    """`total`, which must be `summed(counts, values)`, minus one group."""
    strata = counts.conversations.shape[1]

    def tally(of_all: SparseCounts, of_groups: SparseCounts, codes: int) -> SparseCounts:
        first = group * strata * codes
        low, high = np.searchsorted(of_groups.keys, [first, first + strata * codes])
        left = of_all.counts.copy()
        place = np.searchsorted(of_all.keys, of_groups.keys[low:high] - first)
        left[place] -= of_groups.counts[low:high]
        return SparseCounts(of_all.keys, left)

    return MirroringCounts(
        total.conversations - counts.conversations[group],
        total.mirrored - counts.mirrored[group],
        total.matches - counts.matches[group],
        human=tally(total.human, counts.human, values),
        ai=tally(total.ai, counts.ai, values),
        sizes=tally(total.sizes, counts.sizes, SIZES),
    )


def share_by_chance(total: MirroringCounts, response_types: int, values: int) -> Floats:
    """Share of conversations mirrored under random pairing, [response types]; see the module.

    `total` is of all groups of accounts, or of all but one. NaN for a response type that has no
    conversations, or a single one whose human values exist as AI values: it has no partner.
    """
    strata = np.arange(total.conversations.size)
    type_of = strata // (strata.size // response_types)
    alone = total.conversations == 1
    within_stratum = _match_probability(total, strata, np.ones(strata.size, bool), values)
    within_type = _match_probability(total, type_of, alone, values)
    q = np.where(alone, within_type[type_of], within_stratum)
    q = np.where(_held(total) > 0, q, 0.0)  # without values to match, no partner is needed
    stratum, known = np.divmod(total.sizes.keys, SIZES)
    mirrored = total.sizes.counts * (1 - (1 - q[stratum]) ** known)
    expected = np.bincount(type_of[stratum], mirrored, response_types)
    return share(expected, _sum_by(type_of, total.conversations))


def _match_probability(
    counts: MirroringCounts, group: Integers, taking_part: NDArray[np.bool_], values: int
) -> Floats:
    """The q of the module docstring, [groups]; `group` is the group of each stratum, int64[strata].

    Human values of the strata taking part are paired with the AI values of the whole group. NaN if
    there is no human value or no other conversation.
    """
    human = _gathered(counts.human, group, taking_part, values)
    ai = _gathered(counts.ai, group, np.ones(group.size, bool), values)
    keys, in_human, in_ai = np.intersect1d(
        human.keys, ai.keys, assume_unique=True, return_indices=True
    )
    matches = -_sum_by(group, counts.matches * taking_part)  # no conversation is its own partner
    np.add.at(matches, keys // values, human.counts[in_human] * ai.counts[in_ai])
    others = _sum_by(group, counts.conversations) - 1
    return share(matches, others * _sum_by(group, _held(counts) * taking_part))


def _gathered(
    tally: SparseCounts, group: Integers, taking_part: NDArray[np.bool_], values: int
) -> SparseCounts:
    stratum, value = np.divmod(tally.keys, values)
    kept = taking_part[stratum]
    return SparseCounts.of(group[stratum[kept]] * values + value[kept], tally.counts[kept])


def _held(counts: MirroringCounts) -> Integers:
    """Human values that exist as AI values, summed over the conversations of each stratum."""
    held = np.zeros(counts.conversations.size, np.int64)
    stratum, known = np.divmod(counts.sizes.keys, SIZES)
    np.add.at(held, stratum, known * counts.sizes.counts)
    return held


def _sum_by(group: Integers, numbers: Integers) -> Integers:
    sums = np.zeros(group[-1] + 1, np.int64)
    np.add.at(sums, group, numbers)
    return sums
