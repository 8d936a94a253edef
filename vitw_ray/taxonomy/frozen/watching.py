"""The accounts that the drift alarm bets on: of the frozen run, and of every run after it.

An account counts once, by its conversations of the first month in which it is seen. Accounts stand
in the order of that month, then of their hash, so that later months only add to the series. Of a
large frozen run a share of all accounts is watched, by their hashes; later runs watch the same.

In the frozen run a label counts as known to an account only if it would have been kept without it,
and a task that was seen once only if it is near the others of its cluster: else the tree would look
better on the accounts that it was made from than on any others.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vitw_ray import cluster
from vitw_ray.facets import LABEL_TREES
from vitw_ray.keys import id_hash
from vitw_ray.run_folder import read_part
from vitw_ray.stages import StageContext

MOST_ROWS = 65_536  # ours: of the frozen run; the driver holds about 1 KB for each
MOST_UNITS = 256  # ours: the driver adds up so many counts
EVER = 2**62  # conversations that can be left out without making a label unknown
NEVER = -1
COLUMNS = ("conversation_id", "account_id", "created_at", "is_subjective")
Hashes = Callable[[Sequence[str]], np.ndarray]
"""Hashes of tasks, as `Cells.task_keys` has them"""
Series = dict[int, tuple[int, Counter[tuple[str, int]]]]
"""Hash of an account -> first month, and mentions of (facet, code) in it"""


@dataclass(frozen=True)
class LabelCodes:
    """One value facet.

    Attributes:
        codes: spelling -> code of its label.
        cells: (labels,) cluster of the top level.
        spare: (labels,) conversations that an account may have for the label to be known to it.
    """

    codes: Mapping[str, int]
    cells: NDArray[np.int64]
    spare: NDArray[np.int64]


@dataclass(frozen=True)
class Cells:
    """Where mentions fall: `ids` of the top clusters of each facet, labels, and tasks by hash."""

    ids: Mapping[str, Sequence[str]]
    labels: Mapping[str, LabelCodes]
    task_keys: np.ndarray
    task_cells: np.ndarray


def watched_accounts(context: StageContext, cells: Cells, halvings: int, hashes: Hashes) -> Series:
    """Collect the series of a run.

    Args:
        context: the stage.
        cells: where mentions fall.
        halvings: one account in 2 ** halvings is watched.
        hashes: of tasks.
    """
    storage, parts = context.storage, context.tables["extractions"].files
    shared = [cluster.put_shared(cells)]
    min_salience = context.config.labels.min_salience
    size = max(1, -(-len(parts) // MOST_UNITS))

    def collect(unit: cluster.Unit) -> Series:
        found, series = cluster.get_shared(shared[0]), Series()
        for part in parts[unit["first"] : unit["first"] + size]:
            table = _sampled(read_part(storage, part, [*COLUMNS, "task", *LABEL_TREES]), halvings)
            for account, month, mentions in _mentions(table, found, min_salience, hashes):
                _add(series, account, month, mentions)
        return series

    series = Series()
    units = [{"first": first} for first in range(0, len(parts), size)]
    for found in cluster.stream(units, collect):
        for account, (month, mentions) in found.items():
            _add(series, account, month, mentions)
    return series


def _add(series: Series, account: int, month: int, mentions: Counter[tuple[str, int]]) -> None:
    first, counts = series.get(account, (month, Counter[tuple[str, int]]()))
    if month < first:
        series[account] = (month, Counter(mentions))
    elif month == first:
        counts.update(mentions)
        series[account] = (first, counts)


def _sampled(table: pa.Table, halvings: int) -> pa.Table:
    """The subjective rows of watched accounts; one without an account is one of its own."""
    table = table.filter(pc.field("is_subjective"))
    names = pc.call_function("coalesce", [table["account_id"], table["conversation_id"]])
    hashes = np.array([id_hash(name) for name in names.to_pylist()], np.int64)
    chosen = (hashes & ((1 << halvings) - 1)) == 0
    return table.append_column("hash", pa.array(hashes)).filter(pa.array(chosen))


def _mentions(
    table: pa.Table, cells: Cells, min_salience: int, hashes: Hashes
) -> Iterator[tuple[int, int, Counter[tuple[str, int]]]]:
    """Account, month and mentions of each conversation; no date is the month before all others."""
    times = table["created_at"].cast(pa.timestamp("us")).cast(pa.int64())
    known, times = times.is_valid().to_pylist(), times.fill_null(0).to_numpy()
    months = times.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64).tolist()
    tasks = table["task"].to_pylist()
    task_cells = _cells_of_tasks(tasks, cells, hashes)
    values = {facet: table[facet].to_pylist() for facet in cells.labels}
    for row, account in enumerate(table["hash"].to_pylist()):
        mentions = Counter[tuple[str, int]]()
        for facet, found in cells.labels.items():
            labels = {
                found.codes.get(value["label"], value["label"])
                for value in values[facet][row]
                if value["salience"] is None or value["salience"] >= min_salience
            }
            for label in labels:
                mentions[facet, label if isinstance(label, int) else NEVER] += 1
        if tasks[row] is not None and "tasks" in cells.ids:
            mentions["tasks", task_cells[row]] += 1
        yield account, months[row] if known[row] else NEVER - 10**6, mentions


def _cells_of_tasks(tasks: Sequence[str | None], cells: Cells, hashes: Hashes) -> list[int]:
    found = [NEVER] * len(tasks)
    texts = {row: task for row, task in enumerate(tasks) if task is not None}
    if texts and len(cells.task_keys):
        wanted = hashes([*texts.values()])
        places = np.searchsorted(cells.task_keys, wanted).clip(max=len(cells.task_keys) - 1)
        there = cells.task_keys[places] == wanted
        for row, cell, one in zip(texts, cells.task_cells[places].tolist(), there, strict=True):
            found[row] = cell if one else NEVER
    return found


def shares_of(series: Series, cells: Cells, facet: str) -> tuple[np.ndarray, list[int]]:
    """(n, cells + 1) shares of each account's mentions, the last of what is unknown; its months."""
    width, rows, months = len(cells.ids[facet]) + 1, list[NDArray[np.float64]](), list[int]()
    labels = cells.labels.get(facet)
    for _, (month, mentions) in sorted(series.items(), key=lambda one: (one[1][0], one[0])):
        row = np.zeros(width)
        for (of, code), count in mentions.items():
            if of != facet:
                continue
            cell = code
            if labels is not None and code != NEVER:
                cell = int(labels.cells[code]) if count <= labels.spare[code] else NEVER
            row[cell] += count  # NEVER is the last one
        if row.any():
            rows.append(row / row.sum())
            months.append(month)
    return np.array(rows).reshape(len(rows), width), months
