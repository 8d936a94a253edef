"""Variation: how much the frequency of a value depends on the task or on the human values.

Merged `Counts` of labels by categories -> the table `variation`. The measure is the paper's
(section 2): the coefficient of variation of a label's frequency over the categories of another
facet. It is low for a value that does not depend on context.
"""

import numpy as np
import pyarrow as pa

from vitw_ray.intervals import Floats, share
from vitw_ray.records import VARIATION
from vitw_ray.statistics.contingency import Axis, Counts


def variation(counts: Counts, label: Axis, over: Axis) -> pa.Table:
    """The table `variation` of one facet over the categories of another, one row per label."""
    columns = {
        "facet": pa.repeat(label.facet, len(label.names)),
        "label": pa.array(label.names, pa.string()),
        "over_facet": pa.repeat(over.facet, len(label.names)),
        "share": pa.array(np.nan_to_num(share(counts.rows, counts.conversations))),
        "coefficient_of_variation": pa.array(coefficient_of_variation(counts), from_pandas=True),
        "corrected": pa.array(corrected(counts), from_pandas=True),
    }
    return pa.table(columns, schema=VARIATION)


def coefficient_of_variation(counts: Counts) -> Floats:
    """Population SD over mean of the label's share of conversations in each category: [rows].

    Every category has the same weight, whatever its size; empty categories are left out. NaN with
    fewer than two categories, or for a label that none of them has.
    """
    shares = _shares(counts, least_conversations=1)
    return _ratio(np.var(shares, axis=1), shares) if shares.shape[1] > 1 else _undefined(counts)


def corrected(counts: Counts) -> Floats:
    """The same without the sampling variance of the shares: [rows].

    The unbiased estimate of the sampling variance of a share p of n conversations is
    p (1 - p) / (n - 1). Its mean over k categories, times (k - 1) / k, is what sampling adds to the
    population variance of the shares. It is subtracted, and the result is at least 0. The estimate
    needs two conversations, so smaller categories are left out. Categories that share
    conversations, as human values do, are treated as independent.
    """
    shares = _shares(counts, least_conversations=2)
    categories = shares.shape[1]
    if categories < 2:
        return _undefined(counts)
    conversations = counts.columns[counts.columns >= 2]
    by_sampling = np.mean(shares * (1 - shares) / (conversations - 1), axis=1)
    between = np.var(shares, axis=1) - by_sampling * (categories - 1) / categories
    return _ratio(np.maximum(between, 0.0), shares)


def _shares(counts: Counts, least_conversations: int) -> Floats:
    enough = counts.columns >= least_conversations
    return counts.both[:, enough] / counts.columns[enough]


def _ratio(variance: Floats, shares: Floats) -> Floats:
    return share(np.sqrt(variance), shares.mean(axis=1))


def _undefined(counts: Counts) -> Floats:
    return np.full(counts.rows.size, np.nan)
