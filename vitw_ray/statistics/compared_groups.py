"""The assistants or periods that are compared: their pairs, counts and hidden labels."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.sparse import csr_array

from vitw_ray.gate import OTHER, Mask
from vitw_ray.statistics.cell_accounts import CellAccounts
from vitw_ray.statistics.contingency import Axis, GroupCounts, Integers, SparseCounts
from vitw_ray.statistics.suppression import hide_lines, hide_table

MOST_MODELS = 50  # ours: 1,225 pairs; only the assistants with most conversations are compared


@dataclass(frozen=True)
class Groups:
    """The groups to compare: `kind` is models or periods; `pairs` are codes, named by `names`."""

    kind: str
    names: dict[int, str]
    pairs: Sequence[tuple[int, int]]

    @property
    def compared(self) -> list[int]:
        """Codes of the groups that are in a pair."""
        return sorted({code for pair in self.pairs for code in pair})


def groups_of_assistants(columns: SparseCounts, strata: int, names: Sequence[str]) -> Groups:
    """All pairs of assistants, the larger first; at most `MOST_MODELS` assistants, all named."""
    sizes = np.zeros(len(names), np.int64)
    np.add.at(sizes, columns.keys // strata, columns.counts)
    named = [code for code in np.flatnonzero(sizes).tolist() if names[code] != OTHER]
    largest = sorted(named, key=lambda code: (-sizes[code], names[code]))
    pairs = list(combinations(largest[:MOST_MODELS], 2))
    return Groups("models", dict(enumerate(names)), pairs)


def groups_of_periods(
    columns: SparseCounts,
    strata: int,
    name_of: Callable[[int], str],
    shown: Collection[int] | None = None,
) -> Groups:
    """Each period with the previous one that has data; `model_a` is the later one.

    `shown` are the periods that may be shown; by default all.
    """
    seen = np.unique(columns.keys // strata).tolist()
    seen = [code for code in seen if shown is None or code in shown]
    names = {code: name_of(code) for code in seen}
    return Groups("periods", names, list(zip(seen[1:], seen[:-1], strict=True)))


def of_group(columns: SparseCounts, code: int, strata: int) -> Integers:
    """Conversations of one group in each stratum, [strata]."""
    low, high = np.searchsorted(columns.keys, [code * strata, (code + 1) * strata])
    n = np.zeros(strata, np.int64)
    n[columns.keys[low:high] - code * strata] = columns.counts[low:high]
    return n


def by_group(
    counts: GroupCounts, strata: int, codes: Sequence[int], label: Axis
) -> dict[int, csr_array]:
    """Per group, conversations that hold each label in each stratum, [labels, strata]."""
    labels, columns = np.divmod(counts.both.keys, counts.width)
    groups, stratum = np.divmod(columns, strata)
    shape = len(label.names), strata
    tables = {}
    for code in codes:
        mine = groups == code
        places = labels[mine], stratum[mine]
        tables[code] = csr_array((counts.both.counts[mine], places), shape=shape)
    return tables


Hidden = dict[int, Mask]
"""By group: the labels that are not compared."""


def hidden_labels(
    counts: GroupCounts,
    strata: int,
    groups: Groups,
    label: Axis,
    least: int,
    accounts: CellAccounts | None = None,
    *,
    exclusive: bool = False,
) -> Hidden:
    """Labels that would show fewer than `least` conversations of a group, by subtraction as well.

    The groups and what is in no compared one add up to the label, which is public; with
    `exclusive`, the labels add up to the group. `accounts`: of each label in each group.
    """
    codes = groups.compared
    held = by_group(counts, strata, codes, label)
    columns = [np.asarray(held[code].sum(axis=1)).ravel() for code in codes]
    labels = counts.both.keys // counts.width
    total = np.bincount(labels, counts.both.counts, minlength=len(label.names)).astype(np.int64)
    few = with_few_accounts(accounts, columns, codes, counts.width // strata)
    return hidden_cells(columns, total, codes, least, exclusive, few)


def hidden_cells(
    columns: Sequence[Integers],
    total: Integers,
    codes: Sequence[int],
    least: int,
    exclusive: bool,
    few: Mask | None = None,
) -> Hidden:
    """Hidden cells of a table with a column for each group and one for all others."""
    if not codes:
        return {}
    of_groups = np.column_stack(columns)
    table = np.column_stack([of_groups, total - of_groups.sum(axis=1)])
    if few is not None:  # of the groups; the rest of them has no name
        few = np.column_stack([few & (of_groups > 0), np.zeros(len(table), bool)])
    mask = (hide_table if exclusive else hide_lines)(table, least, few)
    return {code: mask[:, number] for number, code in enumerate(codes)}


def with_few_accounts(
    accounts: CellAccounts | None, columns: Sequence[Integers], codes: Sequence[int], groups: int
) -> Mask | None:
    """Labels of each group with too few accounts, [labels, groups]."""
    if accounts is None or not codes:
        return None
    labels = np.arange(columns[0].size)
    return np.column_stack([accounts.few_of(labels * groups + code) for code in codes])


def hidden_of_pair(hidden: Hidden | None, pair: tuple[int, int], label: Axis) -> Mask:
    """Labels that are not compared, as either group hides them."""
    if hidden is None:
        return np.zeros(len(label.names), bool)
    return hidden[pair[0]] | hidden[pair[1]]
