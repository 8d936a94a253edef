"""The values shown in a task by response type: counts, odds, and what does not follow from them."""

import math
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from seeds import seeds

from vitw_ray.facets import RESPONSE_TYPES
from vitw_ray.records import TASK_VALUES
from vitw_ray.release.attacks.solver import System
from vitw_ray.report.resistance import shown_in_tasks
from vitw_ray.statistics import task_values as module
from vitw_ray.statistics.contingency import Axis, CodedFacet, Counts, deduplicate
from vitw_ray.statistics.level_suppression import hide_levels
from vitw_ray.statistics.suppression import hide_parts
from vitw_ray.statistics.task_values import Sums, in_tasks, level_of, task_values

pytestmark = pytest.mark.filterwarnings("error")

TYPES, LEAST = len(RESPONSE_TYPES), 5


def single(codes, size):
    rows = np.flatnonzero(codes >= 0)
    return CodedFacet(rows, codes[rows].astype(np.int32), size)


def drawn(made, n, values=3, tasks=4):
    """Values, tasks and response types of n conversations; some have no task or type."""
    skew = made.dirichlet(np.full(TYPES, 0.5), tasks + 1)
    task = made.choice(tasks + 1, n, p=made.dirichlet(np.ones(tasks + 1))) - 1
    kind = np.array([made.choice(TYPES, p=skew[t]) for t in task])
    kind[made.random(n) < made.choice([0.0, 0.1])] = -1
    holds = made.random((n, values)) < made.uniform(0.02, 0.9, values)
    value = CodedFacet(*deduplicate(*np.nonzero(holds)), values)
    return value, single(task, tasks), single(kind, TYPES)


def cell_of(row):
    """Codes of the task, the response type and the value of a row."""
    task, value = (int(row[name][1:]) for name in ("task_cluster", "value"))
    return task, RESPONSE_TYPES.index(row["response_type"]), value


def sums_of(value, task, kind, n, least):
    by_task, by_type, types = (
        Counts.of(a, b, n) for a, b in ((value, task), (value, kind), (kind, task))
    )
    hidden = [hide_levels([counts.both], [], least)[0] for counts in (by_task, by_type)]
    no_cell = hide_parts(types.rows, types.both, least)
    return Sums((by_task, hidden[0]), (by_type, hidden[1]), (types, no_cell))


def table_of(value, task, kind, n, main, least=1):
    counts = Counts.of(value, in_tasks(task, kind, main, n), n)
    names = Axis("ai_values", [f"v{code}" for code in range(value.size)], 1)
    tasks = Axis("tasks", [f"t{code}" for code in range(task.size)])
    sums = sums_of(value, task, kind, n, least)
    return task_values(counts, sums, names, tasks, main, least), sums


def test_counts_shares_and_odds_are_those_of_the_conversations_of_one_task():
    n, main = 3000, [1, 3]
    value, task, kind = drawn(np.random.default_rng(1), n)
    table, _ = table_of(value, task, kind, n, main)
    assert table.schema == TASK_VALUES
    in_task = dict(zip(task.rows.tolist(), task.codes.tolist(), strict=True))
    of_type = dict(zip(kind.rows.tolist(), kind.codes.tolist(), strict=True))
    pairs = list(zip(value.rows.tolist(), value.codes.tolist(), strict=True))
    both = Counter((in_task.get(r), of_type.get(r), v) for r, v in pairs)
    shown = Counter((in_task.get(r), v) for r, v in pairs)
    answered = Counter((in_task.get(r), of_type.get(r)) for r in range(n))
    asked = Counter(in_task.get(r) for r in range(n))
    found = {cell_of(row): row for row in table.to_pylist()}
    expected = {cell for cell in both if cell[0] in main and cell[1] is not None}
    assert expected
    assert found.keys() == expected
    for (t, k, v), row in found.items():
        a, row_sum, column = both[t, k, v], shown[t, v], answered[t, k]
        assert row["conversations"] == a
        assert row["share"] == pytest.approx(a / column)
        if row["shrunken"] is None:
            assert row["reason"] == "few_conversations"
            assert max(a, row_sum * column / asked[t]) < 5
            continue
        prior = 5 * (asked[t] - row_sum) / row_sum
        inside = (a + 5) / (column - a + prior)
        outside = (row_sum - a + 5) / (asked[t] - row_sum - column + a + prior)
        assert row["shrunken"] == pytest.approx(math.log(inside / outside))


def test_a_value_that_a_task_always_shows_has_a_reason_instead_of_odds():
    n = 60
    kind = single(np.arange(n) % TYPES, TYPES)
    everywhere = CodedFacet(np.arange(n), np.zeros(n, np.int32), 1)
    table, _ = table_of(everywhere, single(np.zeros(n, int), 1), kind, n, [0])
    assert set(table["reason"].to_pylist()) == {"row_always"}
    assert table["shrunken"].null_count == table.num_rows == TYPES


def test_the_level_is_the_lowest_that_can_be_read():
    assert level_of([3307, 266, 26, 5]) == 2
    assert level_of([40, 8]) == 0
    assert level_of([3307, 266]) == 1


def test_a_run_without_tasks_has_an_empty_table():
    n = 20
    nobody = CodedFacet(np.zeros(0, np.int64), np.zeros(0, np.int32), 0)
    value, _, kind = drawn(np.random.default_rng(2), n)
    table, _ = table_of(value, nobody, kind, n, [])
    assert table.schema == TASK_VALUES
    assert not table.num_rows


def test_cells_of_too_few_accounts_are_not_written():
    n, main = 3000, [0, 1, 2, 3]
    value, task, kind = drawn(np.random.default_rng(1), n)
    counts = Counts.of(value, in_tasks(task, kind, main, n), n)
    few = np.zeros(counts.both.shape, bool)
    few[1, 2 * TYPES + 3] = True
    names, tasks = Axis("ai_values", list("abc"), 1), Axis("tasks", list("0123"))
    table = task_values(
        counts, sums_of(value, task, kind, n, 1), names, tasks, main, 1, few
    ).to_pylist()
    cells = {(r["value"], r["task_cluster"], r["response_type"]) for r in table}
    assert counts.both[1, 2 * TYPES + 3] > 0
    assert ("b", "2", RESPONSE_TYPES[3]) not in cells
    beside = {cell for cell in cells if cell[:2] == ("b", "2")}
    assert len(beside) < np.count_nonzero(counts.both.reshape(3, 4, TYPES)[1, 2]) - 1


def exposed(value, task, kind, n, main):
    """Small counts that follow from the table and the public tables beside it."""
    table, sums = table_of(value, task, kind, n, main, LEAST)
    cells = {cell_of(row): row["conversations"] for row in table.to_pylist()}
    (by_task, no_task), (by_type, no_type), (types, no_cell) = (
        sums.by_task,
        sums.by_type,
        sums.types,
    )
    rest = task.size  # conversations without a task; TYPES stands for those without a type
    bounds = np.zeros((rest + 1, TYPES + 1), np.int64)
    bounds[:rest, :TYPES] = types.both.T
    bounds[:rest, TYPES] = types.columns - types.both.sum(axis=0)
    bounds[rest, :TYPES] = types.rows - types.both.sum(axis=1)
    bounds[rest, TYPES] = n - bounds.sum()
    public = np.ones(bounds.shape, bool)
    public[:rest, :TYPES] = ~no_cell.T
    found = {}
    for v in range(value.size):
        system = System()
        system.known = {("cell", t, k): c for (t, k, u), c in cells.items() if u == v}
        rows = [[("cell", t, k) for k in range(TYPES + 1)] for t in range(rest + 1)]
        for t in range(rest):
            system.add_equal(rows[t], ("task", t))
            if not no_task[v, t] and by_task.both[v, t]:
                system.known["task", t] = int(by_task.both[v, t])
        for k in range(TYPES):
            system.add_equal([row[k] for row in rows], ("type", k))
            if not no_type[v, k] and by_type.both[v, k]:
                system.known["type", k] = int(by_type.both[v, k])
        total = int(by_task.rows[v])
        system.add([cell for row in rows for cell in row], total, total)
        for t, k in np.ndindex(*bounds.shape):
            if public[t, k]:
                system.add([("cell", t, k)], 0, int(bounds[t, k]))
        if total >= LEAST:
            found |= {(v, *cell): ends for cell, ends in system.exposed(LEAST).items()}
    return found, len(cells)


def already(value, task, kind, n, main):
    """The same without the table."""
    shown, module.hide_table = module.hide_table, lambda counts, *_: np.ones(counts.shape, bool)
    try:
        return exposed(value, task, kind, n, main)[0]
    finally:
        module.hide_table = shown


@pytest.mark.parametrize("seed", seeds(6, slow=40))
def test_no_small_count_follows_from_the_table_and_its_sums(seed):
    made = np.random.default_rng(seed)
    n = int(made.integers(40, 900))
    drawn_ = drawn(made, n, values=2, tasks=int(made.integers(1, 5)))
    main = sorted(made.choice(drawn_[1].size, int(made.integers(1, drawn_[1].size + 1)), False))
    found, _ = exposed(*drawn_, n, main)
    assert not found or not found.keys() - already(*drawn_, n, main).keys()


def test_most_cells_of_a_large_table_are_written_and_the_solver_finds_what_is_not_hidden(
    monkeypatch,
):
    made = np.random.default_rng(7)
    drawn_, main = drawn(made, 5000, values=2), [0, 1, 2, 3]
    assert exposed(*drawn_, 5000, main)[1] > 20
    monkeypatch.setattr(
        module, "hide_table", lambda counts, least, *_: (counts > 0) & (counts < least)
    )
    assert exposed(*drawn_, 5000, main)[0]


def test_the_page_names_the_values_of_resistance_of_each_task_once():
    kinds = ("mild_resistance", "strong_resistance", "strong_support")
    rows = [
        {"task_cluster": task, "response_type": kind, "level": 1, "value": value}
        | {"conversations": 9, "share": 0.5, "shrunken_low": low}
        for task, kind, value, low in (
            ("t1", kinds[0], "v1", 0.2),
            ("t1", kinds[1], "v1", 0.9),
            ("t1", kinds[1], "v2", 0.5),
            ("t2", kinds[1], "v1", 1.5),
            ("t2", kinds[1], "v2", -0.1),
            ("t3", kinds[2], "v1", 2.0),
        )
    ]
    names = {("tasks", "t1"): "Ask for harm", ("ai_values", "v1"): "Harm avoidance"}
    found = shown_in_tasks(pa.Table.from_pylist(rows, TASK_VALUES), names, 5)
    assert found == [("t2", ["Harm avoidance"]), ("Ask for harm", ["Harm avoidance", "v2"])]
    assert shown_in_tasks(TASK_VALUES.empty_table(), names, 5) == []
