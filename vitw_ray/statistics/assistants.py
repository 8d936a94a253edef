"""Comparison of assistants: which values each shows more (paper, B.5). The same for periods.

All assistants of a run share one taxonomy. A difference is computed unmatched, with both assistants
standardised to one mix of tasks, and, if they answered the same prompts, paired. Only the last two
control for what people asked. The p-values of one facet, level and matching are one family:
Bonferroni multiplies each by the number of labels tested over all pairs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pyarrow as pa
from scipy.sparse import csr_array

from vitw_ray.records import MODEL_COMPARISON
from vitw_ray.statistics.contingency import Axis, GroupCounts, Integers, SparseCounts
from vitw_ray.statistics.differences import (
    Difference,
    in_both,
    paired,
    post_stratified,
    unmatched,
)
from vitw_ray.statistics.paired import PairedCounts

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


def groups_of_assistants(columns: SparseCounts, strata: int, names: Sequence[str]) -> Groups:
    """All pairs of assistants, the larger first; at most `MOST_MODELS` assistants."""
    sizes = np.zeros(len(names), np.int64)
    np.add.at(sizes, columns.keys // strata, columns.counts)
    largest = sorted(np.flatnonzero(sizes).tolist(), key=lambda code: (-sizes[code], names[code]))
    pairs = list(combinations(largest[:MOST_MODELS], 2))
    return Groups("models", dict(enumerate(names)), pairs)


def groups_of_periods(columns: SparseCounts, strata: int, name_of: Callable[[int], str]) -> Groups:
    """Each period with the previous one that has data; `model_a` is the later one."""
    seen = np.unique(columns.keys // strata).tolist()
    names = {code: name_of(code) for code in seen}
    return Groups("periods", names, list(zip(seen[1:], seen[:-1], strict=True)))


def task_mix(columns: SparseCounts, groups: Groups, tasks: Axis) -> pa.Table:
    """Comparison of the tasks: what people ask each assistant."""
    strata, rows = len(tasks.names) + 1, []
    for pair in groups.pairs:
        a, b = (_of_group(columns, code, strata) for code in pair)
        labels = np.flatnonzero((a + b)[:-1])
        n = int(a.sum()), int(b.sum())
        rows.append(_Rows(pair, labels, n, unmatched(a[labels], n[0], b[labels], n[1])))
    return _table(rows, groups, tasks, "nothing")


def compare(counts: GroupCounts, strata: int, groups: Groups, label: Axis) -> pa.Table:
    """`model_comparison` of one facet, unmatched and matched on tasks.

    Labels that neither assistant of a pair shows have no row. The columns of `counts` are
    `group * strata + stratum`.
    """
    held = _by_group(counts, strata, {code for pair in groups.pairs for code in pair}, label)
    plain, matched = [], []
    for pair in groups.pairs:
        n_a, n_b = (_of_group(counts.columns, code, strata) for code in pair)
        a, b = (held[code] for code in pair)
        labels = np.flatnonzero(np.asarray(a.sum(axis=1) + b.sum(axis=1)))
        a, b = (x[labels].toarray() for x in (a, b))
        n = int(n_a.sum()), int(n_b.sum())
        difference = unmatched(a.sum(axis=1), n[0], b.sum(axis=1), n[1])
        plain.append(_Rows(pair, labels, n, difference))
        met = in_both(n_a, n_b)
        if met.any():
            n = int(n_a[met].sum()), int(n_b[met].sum())
            matched.append(_Rows(pair, labels, n, post_stratified(a, n_a, b, n_b)))
    tables = [_table(plain, groups, label, "nothing"), _table(matched, groups, label, "tasks")]
    return pa.concat_tables(tables)


def compare_paired(counts: PairedCounts, groups: Groups, label: Axis) -> pa.Table:
    """`model_comparison` of one facet over the prompts that both assistants of a pair answered."""
    shape = counts.answered.shape[0], len(label.names)
    rows = []
    for a, b in groups.pairs:
        n = int(counts.answered[a, b])
        if n:
            hits_a, hits_b = _shown(counts.shown, a, b, shape), _shown(counts.shown, b, a, shape)
            both = _shown(counts.both, a, b, shape)
            labels = np.flatnonzero(hits_a + hits_b)
            difference = paired(hits_a[labels], hits_b[labels], both[labels], n)
            rows.append(_Rows((a, b), labels, (n, n), difference))
    return _table(rows, groups, label, "prompts")


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
        }
        tables.append(pa.table(columns, schema=MODEL_COMPARISON))
    return pa.concat_tables(tables)
