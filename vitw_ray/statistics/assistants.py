"""Comparison of assistants: which values each shows more (paper, B.5). The same for periods.

All assistants of a run share one taxonomy. A difference is computed unmatched, with both assistants
standardised to one mix of tasks, and, if they answered the same prompts, paired. Only the last two
control for what people asked. The p-values of one facet, level and matching are one family:
Bonferroni multiplies each by the number of labels tested over all pairs.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pyarrow as pa
from scipy.sparse import csr_array

from vitw_ray.gate import OTHER, Mask
from vitw_ray.intervals import Floats, share
from vitw_ray.records import MODEL_COMPARISON
from vitw_ray.statistics.cell_accounts import CellAccounts
from vitw_ray.statistics.contingency import Axis, GroupCounts, Integers, SparseCounts
from vitw_ray.statistics.differences import (
    Difference,
    in_both,
    paired,
    post_stratified,
    unmatched,
)
from vitw_ray.statistics.paired import PairedCounts
from vitw_ray.statistics.suppression import hide_lines, hide_table, is_small

MOST_MODELS = 50  # ours: 1,225 pairs; only the assistants with most conversations are compared


@dataclass(frozen=True)
class Groups:
    """The groups to compare: `kind` is models or periods; `pairs` are codes, named by `names`."""

    kind: str
    names: dict[int, str]
    pairs: Sequence[tuple[int, int]]


@dataclass(frozen=True)
class _Rows:
    """Rows of one pair, before the Bonferroni correction."""

    pair: tuple[int, int]
    labels: Integers
    conversations: tuple[int, int]
    difference: Difference
    plain: Floats | None = None  # differences without matching, where these are matched


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
    codes = sorted({code for pair in groups.pairs for code in pair})
    held = _by_group(counts, strata, set(codes), label)
    columns = [np.asarray(held[code].sum(axis=1)).ravel() for code in codes]
    labels = counts.both.keys // counts.width
    total = np.bincount(labels, counts.both.counts, minlength=len(label.names)).astype(np.int64)
    few = _few(accounts, columns, codes, counts.width // strata)
    return _hidden(columns, total, codes, least, exclusive, few)


def _hidden(
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


def _few(
    accounts: CellAccounts | None, columns: Sequence[Integers], codes: Sequence[int], groups: int
) -> Mask | None:
    """Labels of each group with too few accounts, [labels, groups]."""
    if accounts is None or not codes:
        return None
    labels = np.arange(columns[0].size)
    return np.column_stack([accounts.few_of(labels * groups + code) for code in codes])


def task_mix(
    columns: SparseCounts,
    groups: Groups,
    tasks: Axis,
    least: int = 1,
    accounts: CellAccounts | None = None,
    size: int = 0,
) -> pa.Table:
    """Comparison of the tasks: what people ask each assistant.

    `accounts`: of each task in each of `size` groups.
    """
    strata, rows = len(tasks.names) + 1, []
    codes = sorted({code for pair in groups.pairs for code in pair})
    of_groups = [_of_group(columns, code, strata) for code in codes]
    total = np.bincount(columns.keys % strata, columns.counts, minlength=strata).astype(np.int64)
    few = _few(accounts, of_groups, codes, size)
    hidden = _hidden(of_groups, total, codes, least, True, few)
    for pair in groups.pairs:
        a, b = (_of_group(columns, code, strata) for code in pair)
        if is_small([a.sum(), b.sum()], least).any():
            continue
        labels = np.flatnonzero(((a + b) > 0)[:-1] & ~(hidden[pair[0]] | hidden[pair[1]])[:-1])
        n = int(a.sum()), int(b.sum())
        rows.append(_Rows(pair, labels, n, unmatched(a[labels], n[0], b[labels], n[1])))
    return _table(rows, groups, tasks, "nothing")


def compare(
    counts: GroupCounts,
    strata: int,
    groups: Groups,
    label: Axis,
    least: int = 1,
    hidden: Hidden | None = None,
) -> pa.Table:
    """`model_comparison` of one facet, unmatched and matched on tasks.

    Labels that neither assistant of a pair shows have no row, nor have those that are `hidden` or
    that some, but fewer than `least` conversations of either show. The columns of `counts` are
    `group * strata + stratum`.
    """
    held = _by_group(counts, strata, {code for pair in groups.pairs for code in pair}, label)
    plain, matched = [], []
    for pair in groups.pairs:
        n_a, n_b = (_of_group(counts.columns, code, strata) for code in pair)
        a, b = (held[code] for code in pair)
        n = int(n_a.sum()), int(n_b.sum())
        if is_small(n, least).any():
            continue
        fit = ~_hidden_of_pair(hidden, pair, label)
        labels = np.flatnonzero(
            np.asarray(a.sum(axis=1) + b.sum(axis=1)).ravel().astype(bool) & fit
        )
        a, b = (x[labels].toarray() for x in (a, b))
        difference = unmatched(a.sum(axis=1), n[0], b.sum(axis=1), n[1])
        apart = difference.share_a - difference.share_b
        plain.append(_Rows(pair, labels, n, difference))
        met = in_both(n_a, n_b)
        n = int(n_a[met].sum()), int(n_b[met].sum())
        if met.any() and not is_small(n, least).any():
            enough = ~np.any([is_small(x[:, met].sum(axis=1), least) for x in (a, b)], axis=0)
            difference = post_stratified(a[enough], n_a, b[enough], n_b)
            matched.append(_Rows(pair, labels[enough], n, difference, apart[enough]))
    tables = [_table(plain, groups, label, "nothing"), _table(matched, groups, label, "tasks")]
    return pa.concat_tables(tables)


def compare_paired(
    counts: PairedCounts,
    groups: Groups,
    label: Axis,
    least: int = 1,
    hidden: Hidden | None = None,
    everything: tuple[GroupCounts, int] | None = None,
) -> pa.Table:
    """`model_comparison` of one facet over the prompts that both assistants of a pair answered.

    `everything` are the counts and strata of `compare`, to say which signs turn.
    """
    shape = counts.answered.shape[0], len(label.names)
    rows, shares = [], _shares(everything, groups, label)
    for a, b in groups.pairs:
        n = int(counts.answered[a, b])
        if n and n >= least:
            hits_a, hits_b = _shown(counts.shown, a, b, shape), _shown(counts.shown, b, a, shape)
            both = _shown(counts.both, a, b, shape)
            small = is_small(hits_a, least) | is_small(hits_b, least)
            small |= _hidden_of_pair(hidden, (a, b), label)
            labels = np.flatnonzero(((hits_a + hits_b) > 0) & ~small)
            difference = paired(hits_a[labels], hits_b[labels], both[labels], n)
            apart = shares[a][labels] - shares[b][labels] if shares else None
            rows.append(_Rows((a, b), labels, (n, n), difference, apart))
    return _table(rows, groups, label, "prompts")


def _shares(
    everything: tuple[GroupCounts, int] | None, groups: Groups, label: Axis
) -> dict[int, Floats]:
    """Per group, the share of its conversations that hold each label."""
    if everything is None:
        return {}
    counts, strata = everything
    held = _by_group(counts, strata, {code for pair in groups.pairs for code in pair}, label)
    return {
        code: share(
            np.asarray(table.sum(axis=1)).ravel(), _of_group(counts.columns, code, strata).sum()
        )
        for code, table in held.items()
    }


def _hidden_of_pair(hidden: Hidden | None, pair: tuple[int, int], label: Axis) -> Mask:
    if hidden is None:
        return np.zeros(len(label.names), bool)
    return hidden[pair[0]] | hidden[pair[1]]


def _of_group(columns: SparseCounts, code: int, strata: int) -> Integers:
    """Conversations of one group in each stratum, [strata]."""
    low, high = np.searchsorted(columns.keys, [code * strata, (code + 1) * strata])
    n = np.zeros(strata, np.int64)
    n[columns.keys[low:high] - code * strata] = columns.counts[low:high]
    return n


def _by_group(
    counts: GroupCounts, strata: int, codes: set[int], label: Axis
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


def _shown(tally: SparseCounts, model: int, other: int, shape: tuple[int, int]) -> Integers:
    """Prompts that two assistants answered and where the first shows each label, [labels]."""
    models, labels = shape
    low, high = np.searchsorted(tally.keys, np.array([model, model + 1]) * (labels * models))
    label, beside = np.divmod(tally.keys[low:high] - model * labels * models, models)
    hits = np.zeros(labels, np.int64)
    hits[label[beside == other]] = tally.counts[low:high][beside == other]
    return hits


def _turned(row: _Rows) -> pa.Array:
    """Whether the sign is the opposite of that without matching; null where nothing is matched."""
    if row.plain is None:
        return pa.nulls(row.labels.size, pa.bool_())
    product = (row.difference.share_a - row.difference.share_b) * row.plain
    return pa.array(product < 0, mask=np.isnan(product))


def _table(rows: Sequence[_Rows], groups: Groups, label: Axis, matched_on: str) -> pa.Table:
    """The rows of all pairs, as one Bonferroni family."""
    tested = sum(int(np.sum(~np.isnan(row.difference.p_value))) for row in rows)
    names = pa.array(label.names, pa.string())
    tables = [MODEL_COMPARISON.empty_table()]
    for row in rows:
        size, found = row.labels.size, row.difference
        numbers = {
            "share_a": found.share_a,
            "share_b": found.share_b,
            "difference": found.share_a - found.share_b,
            "low": found.low,
            "high": found.high,
            "p_adjusted": np.minimum(found.p_value * tested, 1.0),
        }
        columns = {
            "groups": pa.repeat(groups.kind, size),
            "model_a": pa.repeat(groups.names[row.pair[0]], size),
            "model_b": pa.repeat(groups.names[row.pair[1]], size),
            "facet": pa.repeat(label.facet, size),
            "label": names.take(pa.array(row.labels)),
            "conversations_a": pa.repeat(row.conversations[0], size),
            "conversations_b": pa.repeat(row.conversations[1], size),
            **{name: pa.array(array, from_pandas=True) for name, array in numbers.items()},
            "matched_on": pa.repeat(matched_on, size),
            "turned": _turned(row),
        }
        tables.append(pa.table(columns, schema=MODEL_COMPARISON))
    return pa.concat_tables(tables)
