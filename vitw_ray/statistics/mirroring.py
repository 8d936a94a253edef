"""Mirroring: how often the assistant shows the very value that the user brought.

Blocks of coded conversations come in and leave as `MirroringCounts`, integers that merge by
addition; rows of the table `mirroring` go out. The share is the paper's (section 2): of the
conversations of a response type in which the user states a value, those where the same label (one
level up: the same cluster) stands on both sides.

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
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from vitw_ray.records import MIRRORING
from vitw_ray.statistics.contingency import (
    Axis,
    Facet,
    Integers,
    Tally,
    code_of_row,
    to_ancestors,
)
from vitw_ray.statistics.intervals import Floats, share, wilson

MOST_HUMAN_VALUES = 8  # an answer holds no more (extraction/answers.py)


@dataclass(frozen=True, slots=True, eq=False)
class MirroringCounts:
    """Margins of each stratum; a monoid under `add`, with `zero`.

    A stratum is a response type and a task: number `type * (tasks + 1) + task`, the last task
    being "none". Only conversations with a response type and a human value are counted. The keys
    of the two tallies are `stratum * values + AI code`.
    """

    conversations: Integers  # [strata]
    mirrored: Integers  # [strata]: at least one label on both sides
    matches: Integers  # [strata]: labels on both sides, summed over conversations
    known_values: Integers  # [strata, k]: conversations with k human values that the AI side knows
    human: Tally  # of human values, as AI codes
    ai: Tally

    @classmethod
    def zero(cls, response_types: int, tasks: int) -> Self:
        """The counts of no conversations."""
        strata = response_types * (tasks + 1)
        margin = np.zeros(strata, np.int64)
        known_values = np.zeros((strata, MOST_HUMAN_VALUES + 1), np.int64)
        nothing = Tally.of(np.zeros(0, np.int64))
        return cls(margin, margin, margin, known_values, nothing, nothing)

    def add(self, other: Self) -> Self:
        """The counts of both blocks."""
        return type(self)(
            self.conversations + other.conversations,
            self.mirrored + other.mirrored,
            self.matches + other.matches,
            self.known_values + other.known_values,
            self.human.add(other.human),
            self.ai.add(other.ai),
        )


def count_mirroring(
    human: Facet, ai: Facet, to_ai: ArrayLike, response_type: Facet, task: Facet, n_rows: int
) -> MirroringCounts:
    """Count one block of `n_rows` conversations.

    `to_ai[human code]` is the AI code of the same label or cluster, -1 where there is none;
    `response_type` and `task` hold at most one code per conversation.
    """
    strata = response_type.size * (task.size + 1)
    stratum = _stratum_of_row(human, response_type, task, n_rows)
    twin = _inside(to_ancestors(human, to_ai, ai.size), stratum)
    ai = _inside(_with_twin(ai, to_ai), stratum)
    met = np.intersect1d(_keys(twin.rows, twin), _keys(ai.rows, ai), assume_unique=True) // ai.size
    is_mirrored = np.zeros(n_rows, bool)
    is_mirrored[met] = True
    known = np.bincount(twin.rows, minlength=n_rows)
    if known.max(initial=0) > MOST_HUMAN_VALUES:
        raise ValueError(f"a conversation with {known.max()} human values")
    base = stratum >= 0
    widths = MOST_HUMAN_VALUES + 1
    return MirroringCounts(
        conversations=np.bincount(stratum[base], minlength=strata),
        mirrored=np.bincount(stratum[is_mirrored], minlength=strata),
        matches=np.bincount(stratum[met], minlength=strata),
        known_values=np.bincount(
            stratum[base] * widths + known[base], minlength=strata * widths
        ).reshape(strata, widths),
        human=Tally.of(_keys(stratum[twin.rows], twin)),
        ai=Tally.of(_keys(stratum[ai.rows], ai)),
    )


def _stratum_of_row(human: Facet, response_type: Facet, task: Facet, n_rows: int) -> Integers:
    """Stratum of each conversation, int64[n_rows]; -1 without a human value or a response type."""
    type_code, task_code = code_of_row(response_type, n_rows), code_of_row(task, n_rows)
    has_value = np.zeros(n_rows, bool)
    has_value[human.rows] = True
    task_code = np.where(task_code < 0, task.size, task_code)
    stratum = type_code.astype(np.int64) * (task.size + 1) + task_code
    return np.where(has_value & (type_code >= 0), stratum, -1)


def _with_twin(ai: Facet, to_ai: ArrayLike) -> Facet:
    """Only the AI values that some human label maps to; no other can match."""
    twins = np.asarray(to_ai, np.int64)
    has_twin = np.zeros(ai.size, bool)
    has_twin[twins[twins >= 0]] = True
    kept = has_twin[ai.codes]
    return Facet(ai.rows[kept], ai.codes[kept], ai.size)


def _inside(facet: Facet, stratum: Integers) -> Facet:
    kept = stratum[facet.rows] >= 0
    return Facet(facet.rows[kept], facet.codes[kept], facet.size)


def _keys(group: Integers, facet: Facet) -> Integers:
    return group * facet.size + facet.codes


def mirroring(counts: MirroringCounts, response_type: Axis, values: int) -> pa.Table:
    """The table `mirroring` at `response_type.level`, one row per response type.

    `values` is the size of the AI vocabulary at that level.
    """
    types = len(response_type.names)
    conversations = counts.conversations.reshape(types, -1).sum(axis=1)
    mirrored = counts.mirrored.reshape(types, -1).sum(axis=1)
    by_chance = share_by_chance(counts, types, values)
    observed = share(mirrored, conversations)
    low, high = wilson(mirrored, conversations)
    columns = {
        "response_type": pa.array(response_type.names, pa.string()),
        "level": pa.repeat(pa.scalar(response_type.level, pa.int8()), types),
        "conversations": pa.array(conversations),
        "mirrored": pa.array(mirrored),
        "share": pa.array(observed, from_pandas=True),
        "share_by_chance": pa.array(by_chance, from_pandas=True),
        "lift": pa.array(share(observed, by_chance), from_pandas=True),
        "low": pa.array(low, from_pandas=True),
        "high": pa.array(high, from_pandas=True),
    }
    return pa.table(columns, schema=MIRRORING)


def share_by_chance(counts: MirroringCounts, response_types: int, values: int) -> Floats:
    """Share of conversations mirrored under random pairing, [response types]; see the module.

    NaN for a response type without conversations, or whose only conversation has a human value
    that the AI side knows: there is nobody to pair it with.
    """
    strata = np.arange(counts.conversations.size)
    type_of = strata // (strata.size // response_types)
    alone = counts.conversations == 1
    within_stratum = _match_probability(counts, strata, np.ones(strata.size, bool), values)
    within_type = _match_probability(counts, type_of, alone, values)
    q = np.where(alone, within_type[type_of], within_stratum)
    q = np.where(_held(counts) > 0, q, 0.0)  # nothing to match, nobody needed
    per_size = counts.known_values * (1 - (1 - q[:, None]) ** np.arange(MOST_HUMAN_VALUES + 1))
    expected = per_size.sum(axis=1).reshape(response_types, -1).sum(axis=1)
    return share(expected, _sum_by(type_of, counts.conversations))


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


def _gathered(tally: Tally, group: Integers, taking_part: NDArray[np.bool_], values: int) -> Tally:
    stratum, value = np.divmod(tally.keys, values)
    kept = taking_part[stratum]
    return Tally.of(group[stratum[kept]] * values + value[kept], tally.counts[kept])


def _held(counts: MirroringCounts) -> Integers:
    """Human values that the AI side knows, summed over the conversations of each stratum."""
    return counts.known_values @ np.arange(MOST_HUMAN_VALUES + 1)


def _sum_by(group: Integers, numbers: Integers) -> Integers:
    sums = np.zeros(group[-1] + 1, np.int64)
    np.add.at(sums, group, numbers)
    return sums
