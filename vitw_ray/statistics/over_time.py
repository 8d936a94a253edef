"""Variation of a value over periods: one that comes and goes, or is always there.

There may be two periods only, and then the coefficient and the share of a label tell its counts. So
a label has no coefficient where one of its counts is too small to be public.
"""

import numpy as np
import pyarrow as pa

from vitw_ray.intervals import Floats
from vitw_ray.statistics.cell_accounts import CellAccounts
from vitw_ray.statistics.contingency import Axis, Counts, GroupCounts, Integers
from vitw_ray.statistics.suppression import is_small
from vitw_ray.statistics.variation import variation

COEFFICIENTS = ("coefficient_of_variation", "corrected", "low", "high")


def variation_over_time(
    whole: Counts,
    by_period: GroupCounts,
    strata: int,
    periods: Integers,
    label: Axis,
    least: int,
    accounts: CellAccounts | None = None,
) -> pa.Table:
    """The table `variation` over periods.

    Args:
        whole: any counts of the labels in all conversations.
        by_period: with the columns `period * strata + stratum`.
        strata: in each period.
        periods: codes of those that may be shown, in order.
        label: the labels.
        least: conversations that a count needs to be public.
        accounts: of each label in each period.
    """
    columns, both = _dense(by_period, strata, periods, len(label.names))
    counts = Counts(whole.conversations, whole.rows, columns, both)
    table = variation(counts, label, Axis("periods", []))
    cells = np.column_stack([both, whole.rows - both.sum(axis=1)])
    hidden = is_small(cells, least).any(axis=1)
    if accounts is not None:
        labels, groups = np.arange(len(label.names)), by_period.width // strata
        few = [accounts.few_of(labels * groups + period) for period in periods]
        hidden |= (np.column_stack(few) & (both > 0)).any(axis=1)
    for name in COEFFICIENTS:
        place = table.schema.get_field_index(name)
        shown: Floats = np.where(hidden, np.nan, table[name].fill_null(np.nan).to_numpy())
        table = table.set_column(
            place, table.schema.field(place), pa.array(shown, from_pandas=True)
        )
    return table


def _dense(
    counts: GroupCounts, strata: int, periods: Integers, labels: int
) -> tuple[Integers, Integers]:
    """Conversations of each period, [periods], and of each label in it, [labels, periods]."""
    place = np.full(counts.width // strata, -1, np.int64)
    place[periods] = np.arange(periods.size)
    sizes, both = np.zeros(periods.size, np.int64), np.zeros((labels, periods.size), np.int64)
    at = place[counts.columns.keys // strata]
    np.add.at(sizes, at[at >= 0], counts.columns.counts[at >= 0])
    label, column = np.divmod(counts.both.keys, counts.width)
    at = place[column // strata]
    np.add.at(both, (label[at >= 0], at[at >= 0]), counts.both.counts[at >= 0])
    return sizes, both
