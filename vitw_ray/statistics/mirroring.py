"""Mirroring: how often the assistant shows a value that the user stated.

Blocks of coded conversations -> `MirroringCounts`, integers that merge by addition -> the table
`mirroring`. The share is the paper's (section 2): among the conversations of a response type in
which the user states a value, those where both sides have the same label (at higher levels: the
same cluster). `mirroring_chance` computes the share expected by chance; `lift` is the ratio.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike

from vitw_ray.gate import Mask
from vitw_ray.intervals import Floats, share, wilson
from vitw_ray.records import MIRRORING
from vitw_ray.statistics.account_groups import t_interval
from vitw_ray.statistics.contingency import (
    Axis,
    CodedFacet,
    Integers,
    SparseCounts,
    code_of_row,
    to_ancestors,
)
from vitw_ray.statistics.mirroring_chance import (
    SIZES,
    MirroringCounts,
    share_by_chance,
    summed,
    without,
)
from vitw_ray.statistics.suppression import is_small, numbers

LEAST_MIRRORED = 5  # ours: with fewer, the logarithm of a share is far from normal


def count_mirroring(
    human: CodedFacet,
    ai: CodedFacet,
    to_ai: ArrayLike,
    response_type: CodedFacet,
    task: CodedFacet,
    group: CodedFacet,
) -> MirroringCounts:
    """Count one block of conversations.

    `to_ai[human code]` is the AI code of the same label or cluster, -1 if there is none.
    `response_type` and `task` hold at most one code per conversation; `group`, the group of
    accounts, holds exactly one.
    """
    n_rows = group.rows.size
    strata = group.size * response_type.size * (task.size + 1)
    stratum = _stratum_of_row(human, response_type, task, n_rows)
    in_group = group.codes.astype(np.int64) * response_type.size * (task.size + 1)
    stratum = np.where(stratum >= 0, in_group + stratum, -1)
    twin = _inside(to_ancestors(human, to_ai, ai.size), stratum)
    ai = _inside(_with_twin(ai, to_ai), stratum)
    met = np.intersect1d(_keys(twin.rows, twin), _keys(ai.rows, ai), assume_unique=True) // ai.size
    is_mirrored = np.zeros(n_rows, bool)
    is_mirrored[met] = True
    known = np.bincount(twin.rows, minlength=n_rows)
    if known.max(initial=0) >= SIZES:
        raise ValueError(f"a conversation with {known.max()} human values")
    base = stratum >= 0
    shape = (group.size, strata // group.size)
    return MirroringCounts(
        conversations=np.bincount(stratum[base], minlength=strata).reshape(shape),
        mirrored=np.bincount(stratum[is_mirrored], minlength=strata).reshape(shape),
        matches=np.bincount(stratum[met], minlength=strata).reshape(shape),
        human=SparseCounts.of(_keys(stratum[twin.rows], twin)),
        ai=SparseCounts.of(_keys(stratum[ai.rows], ai)),
        sizes=SparseCounts.of(stratum[base] * SIZES + known[base]),
    )


def _stratum_of_row(
    human: CodedFacet, response_type: CodedFacet, task: CodedFacet, n_rows: int
) -> Integers:
    """Stratum of each conversation, int64[n_rows]; -1 if it has no human value or response type."""
    type_code, task_code = code_of_row(response_type, n_rows), code_of_row(task, n_rows)
    has_value = np.zeros(n_rows, bool)
    has_value[human.rows] = True
    task_code = np.where(task_code < 0, task.size, task_code)
    stratum = type_code.astype(np.int64) * (task.size + 1) + task_code
    return np.where(has_value & (type_code >= 0), stratum, -1)


def _with_twin(ai: CodedFacet, to_ai: ArrayLike) -> CodedFacet:
    """Only the AI values that some human label maps to; no other can match."""
    twins = np.asarray(to_ai, np.int64)
    has_twin = np.zeros(ai.size, bool)
    has_twin[twins[twins >= 0]] = True
    kept = has_twin[ai.codes]
    return CodedFacet(ai.rows[kept], ai.codes[kept], ai.size)


def _inside(facet: CodedFacet, stratum: Integers) -> CodedFacet:
    kept = stratum[facet.rows] >= 0
    return CodedFacet(facet.rows[kept], facet.codes[kept], facet.size)


def _keys(group: Integers, facet: CodedFacet) -> Integers:
    return group * facet.size + facet.codes


def mirroring(
    counts: MirroringCounts,
    response_type: Axis,
    values: int,
    least: int = 1,
    hidden: Mask | None = None,
    groups: int = 1,
) -> pa.Table:
    """The table `mirroring` at `response_type.level`, one row per response type.

    `values` is the size of the AI vocabulary at that level. A row is not written if its
    conversations, those that are mirrored or the others are some and fewer than `least`, or if its
    response type is `hidden` already; nor if they are of fewer `groups` of accounts.
    """
    types = len(response_type.names)
    conversations = _of_type(counts.conversations, types).sum(axis=0)
    mirrored = _of_type(counts.mirrored, types).sum(axis=0)
    total = summed(counts, values)
    by_chance = share_by_chance(total, types, values)
    observed = share(mirrored, conversations)
    low, high = wilson(mirrored, conversations)
    lift_low, lift_high = _lift_interval(counts, total, by_chance, values)
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
        "lift_low": pa.array(lift_low, from_pandas=True),
        "lift_high": pa.array(lift_high, from_pandas=True),
    }
    small = [is_small(n, least) for n in (conversations, mirrored, conversations - mirrored)]
    n, k = (_of_type(c, types) for c in (counts.conversations, counts.mirrored))
    small += [is_small(np.count_nonzero(found, axis=0), groups) for found in (n, k, n - k)]
    mask = np.any([*small, hidden if hidden is not None else small[0]], axis=0)
    return pa.table(columns, schema=MIRRORING).take(pa.array(numbers(mask)))


def _lift_interval(
    counts: MirroringCounts, total: MirroringCounts, by_chance: Floats, values: int
) -> tuple[Floats, Floats]:
    """95 % interval of the lift, [response types]; NaN where the lift is undefined.

    A delete-a-group jackknife of the log lift over groups of accounts. It covers the sampling error
    of both the share and the share by chance, and similar conversations of one account. With fewer
    than `LEAST_MIRRORED` mirrored conversations, it is Wilson's interval of the share divided by
    the share by chance.
    """
    types = by_chance.size
    n, k = (_of_type(c, types) for c in (counts.conversations, counts.mirrored))
    all_n, all_k = n.sum(axis=0), k.sum(axis=0)
    low, high = (share(end, by_chance) for end in wilson(all_k, all_n))
    enough = (all_k >= LEAST_MIRRORED) & (by_chance > 0)
    groups = np.flatnonzero(n.sum(axis=1))
    if not enough.any() or groups.size < 2:
        return low, high
    lifts = np.array(
        [
            share(
                share(all_k - k[group], all_n - n[group]),
                share_by_chance(without(total, counts, int(group), values), types, values),
            )
            for group in groups
        ]
    )
    enough &= np.all(np.nan_to_num(lifts) > 0, axis=0)
    lift = share(share(all_k, all_n), by_chance)
    ends = t_interval(np.log(lift[enough]), np.log(lifts[:, enough]))
    low[enough], high[enough] = (np.exp(end) for end in ends)
    return low, high


def _of_type(strata: Integers, types: int) -> Integers:
    """Sums over the tasks of each response type: [groups, response types]."""
    return strata.reshape(strata.shape[0], types, -1).sum(axis=2)
