"""The values that the assistant shows in a task, by how it responds: task x response type x value.

One matrix counts values by pairs of a task and a response type. The values are those of one level
of the taxonomy, and the tasks the most frequent ones, so that the table can be read. Beside each
count stands how much more often the value is shown than with the other response types of the task.

Its sums over response types and over tasks are cells of `associations`, and no count exceeds its
cell of `response_types`. What is hidden there is merged before it is looked for cells to hide here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from vitw_ray.facets import RESPONSE_TYPES
from vitw_ray.gate import Mask
from vitw_ray.intervals import share, wilson
from vitw_ray.records import TASK_VALUES
from vitw_ray.statistics.contingency import Axis, CodedFacet, Counts, Integers, code_of_row
from vitw_ray.statistics.residuals import FEW, SHRUNKEN
from vitw_ray.statistics.shrunken import has_evidence, log_odds
from vitw_ray.statistics.suppression import hide_table, is_small

MOST_VALUES, MOST_TASKS = 50, 50  # ours: 17,500 cells at most; longer lists are not read
_TYPES = len(RESPONSE_TYPES)


def level_of(sizes: Sequence[int]) -> int:
    """The lowest level of a tree with at most `MOST_VALUES` nodes, else the top one."""
    fits = [level for level, size in enumerate(sizes) if size <= MOST_VALUES]
    return fits[0] if fits else len(sizes) - 1


def in_tasks(
    task: CodedFacet, response_type: CodedFacet, tasks: Sequence[int], n_rows: int
) -> CodedFacet:
    """Pairs of one of `tasks` and a response type, as one code: `place of task * types + type`."""
    place = np.full(task.size, -1, np.int64)
    place[np.asarray(tasks, np.intp)] = np.arange(len(tasks))
    kind = code_of_row(response_type, n_rows)[task.rows]
    where = place[task.codes]
    kept = (where >= 0) & (kind >= 0)
    codes = where[kept] * _TYPES + kind[kept]
    return CodedFacet(task.rows[kept], codes.astype(np.int32), len(tasks) * _TYPES)


@dataclass(frozen=True)
class Sums:
    """What other tables say of the same conversations, and what they hide.

    Args:
        by_task: values of the level by all tasks, with the cells that are hidden.
        by_type: the same by response types.
        types: response types by all tasks, with the cells that are hidden.
    """

    by_task: tuple[Counts, Mask]
    by_type: tuple[Counts, Mask]
    types: tuple[Counts, Mask]


def task_values(
    counts: Counts,
    sums: Sums,
    value: Axis,
    task: Axis,
    tasks: Sequence[int],
    least: int = 1,
    few: Mask | None = None,
) -> pa.Table:
    """The table `task_values`: cells with a conversation that are not hidden.

    Args:
        counts: values by pairs of `in_tasks`.
        sums: what is public beside it.
        value: names of the values.
        task: names of all tasks.
        tasks: codes of the tasks that are counted.
        least: conversations that a cell needs.
        few: cells of `counts` with too few accounts.
    """
    main = np.asarray(tasks, np.intp)
    shape = len(value.names), main.size, _TYPES
    both = counts.both.reshape(shape)
    hidden = np.zeros(shape, bool)
    for number in range(len(value.names)) if main.size else ():
        given = None if few is None else few.reshape(shape)[number]
        hidden[number] = _hidden(both[number], sums, number, main, least, given)
    t, k, v = np.nonzero((~hidden & (both > 0)).transpose(1, 2, 0))
    n, of_type = both[v, t, k], sums.types[0].both[k, main[t]]
    low, high = wilson(n, of_type)
    margins = sums.by_task[0].both[v, main[t]], of_type, sums.types[0].columns[main[t]]
    shrunken = log_odds(n, *margins)
    columns = {
        "task_cluster": pa.array(task.names, pa.string()).take(pa.array(main[t])),
        "response_type": pa.array(RESPONSE_TYPES, pa.string()).take(pa.array(k)),
        "level": pa.repeat(pa.scalar(value.level, pa.int8()), n.size),
        "value": pa.array(value.names, pa.string()).take(pa.array(v)),
        "conversations": n,
        "share": share(n, of_type),
        "low": low,
        "high": high,
        **dict(zip(SHRUNKEN, shrunken, strict=True)),
        "reason": _reasons(n, *margins),
    }
    arrays = [
        column if isinstance(column, pa.Array) else pa.array(column, from_pandas=True)
        for column in (columns[name] for name in TASK_VALUES.names)
    ]
    return pa.Table.from_arrays(arrays, schema=TASK_VALUES)


def _reasons(n: Integers, row: Integers, column: Integers, conversations: Integers) -> pa.Array:
    """Why a cell has no shrunken odds ratio; null where it has one."""
    evident = has_evidence(n, row, column, conversations)
    cases = [row == conversations, column == conversations, ~evident]
    codes = np.select(cases, [0, 1, 2], -1)
    return pa.array(["row_always", "column_always", FEW]).take(pa.array(codes, mask=codes < 0))


def _hidden(
    counts: Integers, sums: Sums, value: int, main: Integers, least: int, few: Mask | None
) -> Mask:
    """Cells of one value to hide, [tasks, types].

    Tasks and types whose sums are public stay lines of their own; all others are one line, whose
    sum follows from those. No cell can hold more conversations than its task has of its type.
    """
    (by_task, no_task), (by_type, no_type), (types, no_cell) = (
        sums.by_task,
        sums.by_type,
        sums.types,
    )
    rows, columns = ~no_task[value, main], ~no_type[value]
    table = _beside_the_rest(
        counts,
        by_task.both[value, main],
        by_type.both[value],
        int(by_task.rows[value]),
        rows,
        columns,
    )
    most = _beside_the_rest(
        types.both[:, main].T,
        types.columns[main],
        types.rows,
        types.conversations,
        rows,
        columns,
    )
    mask = np.ones(counts.shape, bool)
    if not (rows.any() and columns.any()) or _sums_tell(table, most, sums, value, main, least):
        return mask
    lines = np.ix_(rows, columns)
    given = np.zeros(table.shape, bool)
    given[:-1, :-1] = no_cell[:, main].T[lines]
    if few is not None:
        given[:-1, :-1] |= few[lines] & (counts[lines] > 0)
    mask[lines] = hide_table(table, least, given, most)[:-1, :-1]
    return mask


def _beside_the_rest(
    cells: Integers, of_row: Integers, of_column: Integers, total: int, rows: Mask, columns: Mask
) -> Integers:
    """Some rows and columns of a table, then all others as one: [rows + 1, columns + 1]."""
    inner = cells[np.ix_(rows, columns)]
    last = of_column[columns] - inner.sum(axis=0)
    side = of_row[rows] - inner.sum(axis=1)
    corner = total - inner.sum() - last.sum() - side.sum()
    return np.block([[inner, side[:, None]], [last[None, :], np.array([[corner]])]])


def _sums_tell(
    table: Integers, most: Integers, sums: Sums, value: int, main: Integers, least: int
) -> bool:
    """Whether the rest of a value leaves a small hidden sum no room to be 0.

    The rest holds so many conversations that its other tasks, or types, cannot take them all.
    """
    (by_task, no_task), (by_type, no_type), (types, _) = sums.by_task, sums.by_type, sums.types
    kept = ~no_type[value]
    of_task = _and_rest(types.both[:, main].T, types.columns[main], kept)
    small = no_task[value, main] & is_small(by_task.both[value, main], least)
    if any((table[-1] > most[-1] - own).any() for own in of_task[small]):
        return True
    kept = ~no_task[value, main]
    of_type = _and_rest(types.both[:, main], types.rows, kept)
    small = no_type[value] & is_small(by_type.both[value], least)
    return any((table[:, -1] > most[:, -1] - own).any() for own in of_type[small])


def _and_rest(cells: Integers, sums: Integers, kept: Mask) -> Integers:
    """Some columns of a table, and what is left of each line's sum."""
    some = cells[:, kept]
    return np.column_stack([some, sums - some.sum(axis=1)])
