"""Shares of the seven response types: how the assistant responds to the values people state.

Merged `Counts` of response types by assistants or by categories -> the table `response_types`. The
base of a share is the conversations of its group that have a response type.
"""

import numpy as np
import pyarrow as pa

from vitw_ray.gate import Mask
from vitw_ray.intervals import share, wilson
from vitw_ray.records import RESPONSE_TYPE_SHARES
from vitw_ray.statistics.contingency import Axis, Counts, Integers
from vitw_ray.statistics.suppression import hide_lines, hide_parts, numbers


def by_model(
    counts: Counts,
    response_type: Axis,
    model: Axis,
    least: int = 1,
    few: tuple[Mask, Mask] | None = None,
) -> pa.Table:
    """The response types of all assistants together (`model` is null), then of each.

    The first group holds every conversation, including those with an unknown assistant. Cells with
    fewer than `least` conversations are not written, nor are those with `few` accounts: of all
    assistants, and of each.
    """
    groups = np.column_stack([counts.rows, counts.both])
    nothing = [None] * groups.shape[1]
    of_all, of_each = few or (None, None)
    whole = hide_lines(counts.rows[None, :], least, None if few is None else few[0][None, :]).T
    parts = hide_parts(counts.rows, counts.both, least, of_all, of_each)
    hidden = np.column_stack([whole, parts])
    return _rows(groups, hidden, response_type, [None, *model.names], nothing, nothing)


def by_category(
    counts: Counts,
    response_type: Axis,
    over: Axis,
    least: int = 1,
    few: tuple[Mask, Mask] | None = None,
    *,
    exclusive: bool = False,
) -> pa.Table:
    """The response types within each task, or each human value, over all assistants.

    A conversation with several human values is in several groups. With `exclusive`, as with tasks,
    it is in one, so that the groups add up to all conversations.
    """
    groups = len(over.names)
    _check(counts.both, response_type, groups)
    hidden = (
        hide_parts(counts.rows, counts.both, least, *(few or ()))
        if exclusive
        else hide_lines(counts.both.T, least, None if few is None else few[1].T).T
    )
    facets: list[str | None] = [over.facet] * groups
    return _rows(counts.both, hidden, response_type, [None] * groups, facets, list(over.names))


def _rows(
    groups: Integers,
    hidden: Mask,
    response_type: Axis,
    model: list[str | None],
    over_facet: list[str | None],
    over: list[str | None],
) -> pa.Table:
    """One row per group and response type, from `groups` [response types, groups]."""
    types = len(response_type.names)
    _check(groups, response_type, len(over))
    conversations = groups.T.ravel()
    of_group = np.repeat(groups.sum(axis=0), types)
    low, high = wilson(conversations, of_group)
    which = pa.array(np.repeat(np.arange(len(over)), types))
    columns = {
        "model": pa.array(model, pa.string()).take(which),
        "over_facet": pa.array(over_facet, pa.string()).take(which),
        "over": pa.array(over, pa.string()).take(which),
        "response_type": pa.array(list(response_type.names) * len(over), pa.string()),
        "conversations": pa.array(conversations),
        "share": pa.array(share(conversations, of_group), from_pandas=True),
        "low": pa.array(low, from_pandas=True),
        "high": pa.array(high, from_pandas=True),
    }
    table = pa.table(columns, schema=RESPONSE_TYPE_SHARES)
    return table.take(pa.array(numbers(hidden.T)))


def _check(groups: Integers, response_type: Axis, size: int) -> None:
    types = len(response_type.names)
    if groups.shape != (types, size):
        raise ValueError(f"{groups.shape} counts for {types} response types x {size} groups")
