"""TreeBH against the procedure written out, family by family, on small trees."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from vitw_ray.statistics.tree_discovery import MOST, adjusted_by_column, q_tree

SIZES = (12, 5, 2)
EDGE = 1 + 1e-12  # q is computed by a division that the level is not


def rejected(p, level: float) -> list[int]:
    """Benjamini-Hochberg, by its definition."""
    known = [i for i, x in enumerate(p) if not np.isnan(x)]
    ordered = sorted(p[i] for i in known)
    fit = [x for k, x in enumerate(ordered, 1) if x <= level * k / len(known) * EDGE]
    return [i for i in known if fit and p[i] <= fit[-1]]


def simes(p) -> float:
    ordered = sorted(x for x in p if not np.isnan(x))
    return min((len(ordered) * x / k for k, x in enumerate(ordered, 1)), default=np.nan)


class ByDefinition:
    """The tests that TreeBH rejects at one level, as (level, node, column)."""

    def __init__(self, p, parents, level: float) -> None:
        self.p, self.parents, self.found = p, parents, set()
        columns = [simes(self.family(len(p), 0, c)) for c in range(p[0].shape[1])]
        taken = rejected(columns, level)
        known = sum(not np.isnan(x) for x in columns)
        for column in taken:
            self.descend(len(p), 0, column, level * len(taken) / known)

    def children(self, level: int, node: int) -> list[int]:
        nodes = range(len(self.p[level - 1]))
        is_top = level == len(self.p)
        return [n for n in nodes if is_top or self.parents[level - 1][n] == node]

    def family(self, level: int, node: int, column: int) -> list[float]:
        tests = [
            self.p[0][child, column] if level == 1 else simes(self.family(level - 1, child, column))
            for child in self.children(level, node)
        ]
        return tests if level == len(self.p) else [*tests, self.p[level][node, column]]

    def descend(self, level: int, node: int, column: int, bound: float) -> None:
        family, children = self.family(level, node, column), self.children(level, node)
        taken = rejected(family, bound)
        known = sum(not np.isnan(x) for x in family)
        for place in taken:
            if place == len(children):
                self.found.add((level, node, column))
            elif level == 1:
                self.found.add((0, children[place], column))
            else:
                self.descend(level - 1, children[place], column, bound * len(taken) / known)


def drawn(seed: int, levels: int, columns: int):
    rng = np.random.default_rng(seed)
    sizes = SIZES[:levels]
    p = [rng.random((n, columns)) ** rng.choice([1, 4, 8], (n, columns)) for n in sizes]
    for matrix in p:
        matrix[rng.random(matrix.shape) < 0.1] = np.nan
    parents = [np.arange(n) % above for n, above in pairwise(sizes)]
    return p, [rng.permutation(parent) for parent in parents]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(1, 5))
def test_what_is_found_at_any_level_is_what_the_procedure_rejects(seed, levels, columns):
    p, parents = drawn(seed, levels, columns)
    q = q_tree(p, parents)
    for level in (0.01, 0.05, 0.1, MOST):
        found = {
            (at, *map(int, cell))
            for at, matrix in enumerate(q)
            for cell in np.argwhere(matrix <= level * EDGE)
        }
        assert found == ByDefinition(p, parents, level).found


def test_a_tree_of_one_level_and_one_column_is_benjamini_hochberg():
    p = np.linspace(0.001, 0.9, 30)[:, None] ** 2
    wanted = false_discovery_control(p[:, 0])
    shown = wanted <= MOST
    assert 3 < shown.sum() < 30
    (q,) = q_tree([p], [])
    assert q[shown, 0] == pytest.approx(wanted[shown])
    assert np.isnan(q[~shown]).all()


def test_no_q_is_below_its_p_value():
    p, parents = drawn(3, 3, 4)
    for mine, theirs in zip(p, q_tree(p, parents), strict=True):
        known = ~np.isnan(theirs)
        assert (mine[known] <= theirs[known] * EDGE).all()


def test_a_value_is_found_with_a_larger_p_value_where_its_cluster_goes_with_the_column():
    p = np.full((100, 1), 0.9)
    p[:5] = 1e-9
    p[5] = 0.01
    lonely = np.full((100, 1), 0.9)
    lonely[5] = 0.01
    parents = [np.arange(100) // 10]
    whole = np.full((10, 1), 0.9)
    whole[0] = 1e-9
    assert q_tree([p, whole], parents)[0][5, 0] <= 0.2
    assert np.isnan(q_tree([lonely, np.full((10, 1), 0.9)], parents)[0][5, 0])


def test_nothing_is_found_where_nothing_is_tested():
    assert np.isnan(q_tree([np.full((3, 2), np.nan)], [])[0]).all()
    assert q_tree([np.zeros((0, 2))], [])[0].shape == (0, 2)
    assert q_tree([np.zeros((3, 0)), np.zeros((1, 0))], [np.zeros(3, int)])[1].shape == (1, 0)


def test_families_are_adjusted_one_by_one_and_untested_cells_are_in_none():
    p = np.array([[0.01, np.nan], [0.02, 0.5], [np.nan, 0.04]])
    q = adjusted_by_column(p)
    assert q[:2, 0] == pytest.approx(false_discovery_control(p[:2, 0]))
    assert q[1:, 1] == pytest.approx(false_discovery_control(p[1:, 1]))
    assert np.isnan(q[2, 0])
    assert np.isnan(q[0, 1])
