"""Comparison of assistants: which values each shows more (paper, B.5). The same for periods.

All assistants of a run share one taxonomy. A difference is computed unmatched, with both assistants
standardised to one mix of tasks, and, if they answered the same prompts, paired. Only the last two
control for what people asked. The p-values of one facet, level and matching are one family:
Bonferroni multiplies each by the number of labels tested over all pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from vitw_ray.intervals import Floats, share
from vitw_ray.records import MODEL_COMPARISON
from vitw_ray.statistics.cell_accounts import CellAccounts
from vitw_ray.statistics.compared_groups import (
    Groups,
    Hidden,
    by_group,
    hidden_cells,
    hidden_of_pair,
    of_group,
    with_few_accounts,
)
from vitw_ray.statistics.contingency import Axis, GroupCounts, Integers, SparseCounts
from vitw_ray.statistics.differences import (
    Difference,
    in_both,
    paired,
    post_stratified,
    unmatched,
)
from vitw_ray.statistics.paired import PairedCounts
from vitw_ray.statistics.suppression import is_small


@dataclass(frozen=True)
class _Rows:
    """Rows of one pair, before the Bonferroni correction."""

    pair: tuple[int, int]
    labels: Integers
    conversations: tuple[int, int]
    difference: Difference
    plain: Floats | None = None  # differences without matching, where these are matched


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
    codes = groups.compared
    of_groups = [of_group(columns, code, strata) for code in codes]
    total = np.bincount(columns.keys % strata, columns.counts, minlength=strata).astype(np.int64)
    few = with_few_accounts(accounts, of_groups, codes, size)
    hidden = hidden_cells(of_groups, total, codes, least, True, few)
    for pair in groups.pairs:
        a, b = (of_group(columns, code, strata) for code in pair)
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
    held = by_group(counts, strata, groups.compared, label)
    plain, matched = [], []
    for pair in groups.pairs:
        n_a, n_b = (of_group(counts.columns, code, strata) for code in pair)
        a, b = (held[code] for code in pair)
        n = int(n_a.sum()), int(n_b.sum())
        if is_small(n, least).any():
            continue
        fit = ~hidden_of_pair(hidden, pair, label)
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
            small |= hidden_of_pair(hidden, (a, b), label)
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
    held = by_group(counts, strata, groups.compared, label)
    return {
        code: share(
            np.asarray(table.sum(axis=1)).ravel(), of_group(counts.columns, code, strata).sum()
        )
        for code, table in held.items()
    }


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
