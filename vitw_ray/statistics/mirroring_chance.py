"""What mirroring chance alone would give: the same margins, the pairs shuffled within the task.

Two sides that speak of one task share labels without any mirroring, so the share is set against
`share_by_chance`: what it would be if each conversation's human values met the AI values of another
conversation of the same response type and task. Its estimate needs margins only. Of a stratum's M
conversations, H hold value v on the human side, A on the AI side, and B on both. Over all pairs of
different conversations, a human value then meets its match with probability

    q = sum over v of (H A - B) / ((M - 1) x sum over v of H),

and a conversation with k human values that the AI side knows is mirrored with 1 - (1 - q)^k. For
k = 1 that is the exact mean over all pairs. For larger k it takes the k matches as independent,
which they are not quite, as a conversation holds a value once: on sets drawn from the published
frequencies it comes out 1 to 5 % too low, the more so the fewer and larger the clusters, so that a
lift below 1.05 shows nothing. A conversation alone in its stratum meets those of its response type.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from vitw_ray.intervals import Floats, share
from vitw_ray.statistics.contingency import Integers, SparseCounts

SIZES = 64  # ours: a conversation of more human values is an error; an answer holds 8


@dataclass(frozen=True, slots=True, eq=False)
class MirroringCounts:
    """Margins of each stratum in each group of accounts; a monoid under `add`, with `zero`.

    A stratum is a response type and a task: number `type * (tasks + 1) + task`, the last task
    being "none". Only conversations with a response type and a human value are counted. The keys
    of the first two tallies are `(group * strata + stratum) * values + AI code`, those of the last
    `(group * strata + stratum) * SIZES + k` for conversations with k human values that the AI side
    knows.
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
    """All groups of accounts as one: arrays without an axis for groups, keys without the group."""
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
    """`total`, which is `summed(counts, values)`, less one group."""
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

    `total` is of all groups of accounts, or of all but one. NaN for a response type without
    conversations, or whose only conversation has a human value that the AI side knows: there is
    nobody to pair it with.
    """
    strata = np.arange(total.conversations.size)
    type_of = strata // (strata.size // response_types)
    alone = total.conversations == 1
    within_stratum = _match_probability(total, strata, np.ones(strata.size, bool), values)
    within_type = _match_probability(total, type_of, alone, values)
    q = np.where(alone, within_type[type_of], within_stratum)
    q = np.where(_held(total) > 0, q, 0.0)  # nothing to match, nobody needed
    stratum, known = np.divmod(total.sizes.keys, SIZES)
    mirrored = total.sizes.counts * (1 - (1 - q[stratum]) ** known)
    expected = np.bincount(type_of[stratum], mirrored, response_types)
    return share(expected, _sum_by(type_of, total.conversations))


def _match_probability(
    counts: MirroringCounts, group: Integers, taking_part: NDArray[np.bool_], values: int
) -> Floats:
    """The module's q, [groups]: strata are gathered by `group`, int64[strata].

    Human values are those of the strata taking part; they meet the AI values of the whole group.
    NaN where there is no human value or no other conversation.
    """
    human = _gathered(counts.human, group, taking_part, values)
    ai = _gathered(counts.ai, group, np.ones(group.size, bool), values)
    keys, in_human, in_ai = np.intersect1d(
        human.keys, ai.keys, assume_unique=True, return_indices=True
    )
    matches = -_sum_by(group, counts.matches * taking_part)  # a conversation does not meet itself
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
    """Human values that the AI side knows, summed over the conversations of each stratum."""
    held = np.zeros(counts.conversations.size, np.int64)
    stratum, known = np.divmod(counts.sizes.keys, SIZES)
    np.add.at(held, stratum, known * counts.sizes.counts)
    return held


def _sum_by(group: Integers, numbers: Integers) -> Integers:
    sums = np.zeros(group[-1] + 1, np.int64)
    np.add.at(sums, group, numbers)
    return sums
