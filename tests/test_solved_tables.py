"""An exact solver that knows all public numbers finds no count below the threshold."""

import itertools

import numpy as np
import pytest
from seeds import seeds

from vitw_ray.release.attacks.solver import System
from vitw_ray.statistics import level_suppression, suppression
from vitw_ray.statistics.level_suppression import hide_levels
from vitw_ray.statistics.suppression import hide_lines, hide_parts, hide_table

LEAST = 5


def system_of(table, hidden, *, rows=True, columns=True):
    """A table with its open cells, and the sums of its lines."""
    system = System()
    system.known = {(r, c): int(table[r, c]) for r, c in np.argwhere(~hidden).tolist()}
    cells = [[(r, c) for c in range(table.shape[1])] for r in range(table.shape[0])]
    for line in [*(cells if rows else ()), *(zip(*cells, strict=True) if columns else ())]:
        total = int(sum(table[cell] for cell in line))
        system.add(list(line), total, total)
    return system


def exposed(system, table, least=LEAST):
    """What is found, but for lines whose public sum says it itself."""
    large_rows, large_columns = table.sum(axis=1) >= least, table.sum(axis=0) >= least
    found = system.exposed(least)
    return {c: b for c, b in found.items() if large_rows[c[0]] and large_columns[c[1]]}


def random_table(made, most=9):
    shape = tuple(made.integers(2, most - 2, 2))
    scale = made.choice([2, 6, 20], shape)
    return (made.poisson(scale) * (made.random(shape) < made.uniform(0.4, 1))).astype(np.int64)


@pytest.mark.parametrize("seed", seeds(100, slow=350))
def test_no_small_cell_of_a_cross_table_follows_from_its_margins(seed):
    table = random_table(np.random.default_rng(seed))
    hidden = hide_table(table, LEAST)
    assert not (~hidden & (table > 0) & (table < LEAST)).any()
    assert not exposed(system_of(table, hidden), table)


@pytest.mark.parametrize("seed", range(50))
def test_no_small_cell_follows_from_all_and_the_groups(seed):
    made = np.random.default_rng(seed)
    parts = random_table(made)
    whole = parts.sum(axis=1)
    table = np.column_stack([whole, parts])
    hidden = np.column_stack(
        [hide_lines(whole[None, :], LEAST)[0], hide_parts(whole, parts, LEAST)]
    )
    system = system_of(table, hidden, rows=False)
    for row in range(table.shape[0]):
        system.add_equal([(row, c) for c in range(1, table.shape[1])], (row, 0))
    assert not exposed(system, table)


@pytest.mark.parametrize("seed", range(12))
def test_no_small_cell_follows_where_some_conversations_are_in_no_group(seed):
    made = np.random.default_rng(seed)
    parts = random_table(made)
    rest = made.integers(0, made.choice([2, 4, 30]), parts.shape[0])
    whole = parts.sum(axis=1) + rest
    table = np.column_stack([whole, parts, rest])
    hidden = np.column_stack(
        [
            hide_lines(whole[None, :], LEAST)[0],
            hide_parts(whole, parts, LEAST),
            np.ones(rest.size, bool),
        ]
    )
    system = system_of(table, hidden, rows=False)
    for row in range(table.shape[0]):
        system.add_equal([(row, c) for c in range(1, table.shape[1])], (row, 0))
    assert not exposed(system, table)


def test_a_group_is_not_shown_beside_one_conversation_of_no_group():
    parts = np.array([[61, 32, 20], [73, 35, 15], [80, 37, 18], [66, 43, 17], [54, 30, 19]])
    rest = np.array([0, 0, 0, 1, 0])
    hidden = hide_parts(parts.sum(axis=1) + rest, parts, LEAST)
    assert hidden[:, 2].all()
    assert not hidden[:, :2].any()


def random_levels(made):
    """Conversations with labels and one column each, counted at three levels of a tree."""
    labels, columns, n = made.integers(4, 9), made.integers(2, 6), int(made.integers(40, 300))
    parents = [made.integers(0, 4, labels), made.integers(0, 2, 4)]
    holds = made.random((n, labels)) < made.uniform(0.02, 0.4, labels)
    column = made.integers(0, columns, n)
    levels = []
    for parent, size in [(None, labels), (parents[0], 4), (parents[1], 2)]:
        if parent is not None:
            above = np.zeros((n, size), bool)
            for child, node in enumerate(parent.tolist()):
                above[:, node] |= holds[:, child]
            holds = above
        counts = np.zeros((holds.shape[1], columns), np.int64)
        np.add.at(counts, (np.nonzero(holds)[1], column[np.nonzero(holds)[0]]), 1)
        levels.append(counts)
    return levels, parents


def levels_system(levels, parents, masks):
    """Tables of a tree's levels with their open cells and sums."""
    system = System()
    for at, (table, hidden) in enumerate(zip(levels, masks, strict=True)):
        for r in range(table.shape[0]):
            cells = [(at, r, c) for c in range(table.shape[1])]
            # a cell that is not there may be hidden or 0
            system.known |= {
                cell: int(table[r, cell[2]])
                for cell in cells
                if not hidden[r, cell[2]] and table[r, cell[2]]
            }
            system.add(cells, int(table[r].sum()), int(table[r].sum()))
    for below, parent in enumerate(parents):
        for node in range(levels[below + 1].shape[0]):
            children = np.flatnonzero(parent == node).tolist()
            for c in range(levels[0].shape[1]):
                whole, parts = (below + 1, node, c), [(below, child, c) for child in children]
                system.add({**dict.fromkeys(parts, 1), whole: -1}, 0, np.inf)
                for part in parts:
                    system.add({whole: 1, part: -1}, 0, np.inf)
    return system


def solved_levels(levels, parents, masks):
    system = levels_system(levels, parents, masks)
    large = {(at, r) for at, t in enumerate(levels) for r in range(len(t)) if t[r].sum() >= LEAST}
    return {cell: b for cell, b in system.exposed(LEAST).items() if cell[:2] in large}


@pytest.mark.parametrize("seed", seeds(20, slow=150))
def test_no_small_cell_follows_from_the_levels_of_a_tree(seed):
    levels, parents = random_levels(np.random.default_rng(seed))
    assert not solved_levels(levels, parents, hide_levels(levels, parents, LEAST))


def narrow_levels(made):
    """As `random_levels`, with fewer conversations, rarer columns and parents of one child."""
    labels, columns, n = (int(made.integers(*ends)) for ends in [(3, 9), (2, 6), (10, 120)])
    sizes = [labels, int(made.integers(1, 5)), int(made.integers(1, 3))]
    parents = [made.integers(0, above, below) for below, above in itertools.pairwise(sizes)]
    holds = made.random((n, labels)) < made.uniform(0.01, 0.4, labels)
    if made.random() < 0.4:  # one label each: parents are exactly the sums of their children
        holds = np.eye(labels, dtype=bool)[made.integers(0, labels, n)]
    one_column = np.eye(columns, dtype=np.int64)[
        made.choice(columns, n, p=made.dirichlet(np.ones(columns)))
    ]
    levels = [holds.T @ one_column]
    for parent, above in zip(parents, sizes[1:], strict=True):
        holds = (holds @ np.eye(above, dtype=np.int64)[parent]) > 0
        levels.append(holds.T @ one_column)
    return levels, parents


@pytest.mark.parametrize("seed", seeds(30, slow=130))
def test_no_small_cell_follows_from_several_lines_of_a_tree(seed):
    levels, parents = narrow_levels(np.random.default_rng(seed))
    assert not solved_levels(levels, parents, hide_levels(levels, parents, LEAST))


@pytest.mark.parametrize("seed", range(8))
def test_no_small_cell_follows_where_columns_are_looked_at_in_groups(seed, monkeypatch):
    for name, number in {"_WIDE": 2, "_FREQUENT": 1, "_OTHERS": 2}.items():
        monkeypatch.setattr(level_suppression, name, number)
    levels, parents = narrow_levels(np.random.default_rng(seed))
    assert not solved_levels(levels, parents, hide_levels(levels, parents, LEAST))


def test_a_cell_that_several_lines_keep_narrow_does_not_follow(monkeypatch):
    levels, parents = random_levels(np.random.default_rng(129))
    assert not solved_levels(levels, parents, hide_levels(levels, parents, LEAST))
    monkeypatch.setattr(level_suppression, "_widen", lambda *_: False)
    found = solved_levels(levels, parents, hide_levels(levels, parents, LEAST))
    assert found == {(0, 4, 0): (1, 4)}  # beside other hidden cells in each of its lines


def test_the_solver_finds_what_is_hidden_level_by_level_only():
    found = 0
    for seed in (5, 11, 17):
        levels, parents = random_levels(np.random.default_rng(seed))
        found += len(solved_levels(levels, parents, [hide_lines(t, LEAST) for t in levels]))
    assert found


def test_a_cell_between_two_blocks_of_hidden_cells_does_not_follow(monkeypatch):
    table = np.array([[3, 3, 2, 20], [3, 3, 20, 20], [20, 20, 3, 3], [20, 20, 3, 3]])
    assert not exposed(system_of(table, hide_table(table, LEAST)), table)
    monkeypatch.setattr(suppression, "_hide_beside_narrow", lambda *_: False)
    found = exposed(system_of(table, hide_table(table, LEAST)), table)
    assert found == {(0, 2): (2, 2)}  # line by line it is not alone


def test_the_solver_finds_a_cell_that_is_hidden_alone():
    table = np.array([[20, 3], [9, 11]])
    alone = table == 3
    assert system_of(table, alone).exposed(LEAST) == {(0, 1): (3, 3)}


def test_the_solver_finds_the_exact_bounds_of_a_cell():
    """A search of all tables agrees with it. HiGHS with its presolve does not."""
    levels = [
        np.array([[5, 3, 1, 2, 2], [6, 3, 4, 11, 7]]),
        np.array([[9, 5, 5, 13, 8]]),
        np.array([[9, 5, 5, 13, 8]]),
    ]
    parents = [np.array([0, 0]), np.array([0])]
    masks = [np.zeros(n.shape, bool) for n in levels]
    masks[0][0, 1:], masks[0][1, 1:3] = True, True
    for above in masks[1:]:
        above[0, 3:] = True
    found = set()
    for first in itertools.product(range(9), repeat=4):
        for more in range(8):
            if sum(first) != 8:
                continue
            lines = np.array([[5, *first], [6, more, 7 - more, 11, 7]])
            most, total = lines.max(axis=0), lines.sum(axis=0)
            fits = (most[:3] <= [9, 5, 5]).all() and (total[:3] >= [9, 5, 5]).all()
            if fits and most[3:].sum() <= 21 <= total[3:].sum():
                found.add(more)
    (component,) = levels_system(levels, parents, masks).components()
    bounds = [component.bound((0, 1, 1), most=most) for most in (False, True)]
    assert bounds == [min(found), max(found)] == [2, 5]
