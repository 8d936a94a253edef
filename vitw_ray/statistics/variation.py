"""Variation: does a value show everywhere alike, or only in some tasks, for some people's values?

Merged `Counts` of labels by categories come in, rows of the table `variation` go out. The measure
is the paper's (section 2): the coefficient of variation of a label's frequency over the categories
of another feature, low for a value that does not depend on context.
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

    Every category weighs the same, however many conversations it has; categories without one are
    left out. NaN with fewer than two categories, or for a label that none of them shows.
    """
    shares = _shares(counts, least_conversations=1)
    return _ratio(np.var(shares, axis=1), shares) if shares.shape[1] > 1 else _undefined(counts)


def corrected(counts: Counts) -> Floats:
    """The same, less the variance that drawing few conversations makes by itself: [rows].

    A share p of n conversations varies by p (1 - p) / (n - 1), estimated without bias, even if the
    category were no different from the others; the mean of that over k categories, times
    (k - 1) / k, is what sampling adds to the population variance of the shares. It is subtracted,
    and the rest floored at 0. Only categories of two conversations or more have such an estimate,
    and only they enter here. Categories that share conversations, as human values do, are taken as
    independent.
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
