"""Half-split replication: does one half of the accounts lead its lists with the same entries?

The hash of the account decides the half, so that the halves share no account, and the same input
gives the same halves. One half is counted in the pass of all others; the second is what is left.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vitw_ray.gate import Mask
from vitw_ray.statistics.assistants import compare
from vitw_ray.statistics.compared_groups import Groups
from vitw_ray.statistics.contingency import Axis, CodedFacet, Counts, GroupCounts, SparseCounts
from vitw_ray.statistics.shrunken import log_odds

SIDES = ("model_a", "model_b")
TOP = 20  # ours: as long as a list that is read
MOST_PAIRS = 10  # ours: pairs of assistants, the largest first; comparing 1,225 twice takes minutes


def count_half(rows: CodedFacet, columns: CodedFacet, is_in: Mask) -> Counts:
    """Counts of the conversations of one half; `is_in` is of each conversation of the block."""
    found = Counts.of(_inside(rows, is_in), _inside(columns, is_in), is_in.size)
    return Counts(int(is_in.sum()), found.rows, found.columns, found.both)


def _inside(facet: CodedFacet, is_in: Mask) -> CodedFacet:
    kept = is_in[facet.rows]
    return CodedFacet(facet.rows[kept], facet.codes[kept], facet.size)


def replicated(whole: Counts, half: Counts) -> dict[str, Any]:
    """Length of the list of strongest pairs in either half, and how many of them are in both.

    A list holds at most `TOP` pairs, those with the largest lower end of the shrunken odds ratio,
    if it is above 1; the longer one is cut to the length of the other.
    """
    rest = Counts(
        whole.conversations - half.conversations,
        whole.rows - half.rows,
        whole.columns - half.columns,
        whole.both - half.both,
    )
    one, other = strongest(half), strongest(rest)
    listed = min(one.size, other.size)
    return {"listed": listed, "in_both": np.intersect1d(one[:listed], other[:listed]).size}


def strongest(counts: Counts) -> NDArray[np.intp]:
    """Cells at the top of the list, as indices into the flat matrix; ties in their order."""
    r, c = np.nonzero(counts.both)
    parts = counts.both[r, c], counts.rows[r], counts.columns[c]
    low = log_odds(*parts, counts.conversations)[1]
    sure = np.flatnonzero(low > 0)
    first = sure[np.argsort(-low[sure], kind="stable")[:TOP]]
    return r[first] * counts.columns.size + c[first]


def groups_in_halves(
    values: CodedFacet, groups: CodedFacet, is_in: Mask
) -> tuple[GroupCounts, GroupCounts]:
    """Counts of all conversations, and of those of one half; as dear as the first alone."""
    one, other = (
        GroupCounts.of(_inside(values, half), _inside(groups, half), half.size)
        for half in (is_in, ~is_in)
    )
    return one.add(other), one


def replicated_differences(
    whole: GroupCounts, half: GroupCounts, strata: int, groups: Groups, label: Axis
) -> dict[str, int]:
    """The same for the list of surest differences between assistants, matched on tasks.

    An entry is a label, two assistants and who shows it more; those whose interval leaves out 0 are
    ranked by the end that is nearer to it.
    """
    largest = Groups(groups.kind, groups.names, groups.pairs[:MOST_PAIRS])
    rest = GroupCounts(
        whole.width, _less(whole.columns, half.columns), _less(whole.both, half.both)
    )
    one, other = (_surest(counts, strata, largest, label) for counts in (half, rest))
    listed = min(len(one), len(other))
    return {"listed": listed, "in_both": len({*one[:listed]} & {*other[:listed]})}


def _less(whole: SparseCounts, half: SparseCounts) -> SparseCounts:
    return whole.add(SparseCounts(half.keys, -half.counts))


def _surest(
    counts: GroupCounts, strata: int, groups: Groups, label: Axis
) -> list[tuple[str, str, str, bool]]:
    table = compare(counts, strata, groups, label)
    table = table.filter(pc.field("matched_on") == "tasks")
    low, high = (np.nan_to_num(table[end].to_numpy()) for end in ("low", "high"))
    nearer = np.maximum(low, -high)
    sure = np.flatnonzero(nearer > 0)
    first = sure[np.argsort(-nearer[sure], kind="stable")[:TOP]]
    names = (table[name].take(pa.array(first)).to_pylist() for name in ("label", *SIDES))
    return list(zip(*names, (low[first] > 0).tolist(), strict=True))
