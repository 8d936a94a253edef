"""Associations against statsmodels, scipy and exact arithmetic, cell by cell."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, false_discovery_control, norm
from scipy.stats.contingency import association
from statsmodels.stats.contingency_tables import Table

from vitw_ray.records import ASSOCIATIONS
from vitw_ray.statistics import residuals
from vitw_ray.statistics.contingency import Axis, CodedFacet, Counts, deduplicate
from vitw_ray.statistics.residuals import (
    adjusted_residual,
    associations,
    hypergeometric_tail,
    p_value,
    p_values,
    whole_table,
)

pytestmark = pytest.mark.filterwarnings("error")


def integers(*numbers: int) -> list[np.ndarray]:
    return [np.array([number]) for number in numbers]


@pytest.fixture(scope="module")
def counts() -> Counts:
    """40 values by 30 values over 5,000 conversations, some of them associated."""
    generator = np.random.default_rng(7)
    n, rows, columns = 5_000, 40, 30
    topic = generator.integers(0, 8, n)
    row_share = generator.beta(0.3, 3, (8, rows))
    column_share = generator.beta(0.3, 6, (8, columns))
    pairs = []
    for shares in (row_share, column_share):
        held = np.nonzero(generator.random((n, shares.shape[1])) < shares[topic])
        pairs.append(CodedFacet(*deduplicate(*held), shares.shape[1]))
    return Counts.of(pairs[0], pairs[1], n)


def collapsed(counts: Counts, r: int, c: int) -> np.ndarray:
    o, row, column = counts.both[r, c], counts.rows[r], counts.columns[c]
    return np.array([[o, row - o], [column - o, counts.conversations - row - column + o]])


def table(counts: Counts, **settings):
    rows, columns = counts.both.shape
    return associations(
        counts,
        Axis("ai_values", [f"value {i}" for i in range(rows)], level=1),
        Axis("tasks", [f"task {i}" for i in range(columns)]),
        **({"comparisons": rows, "alpha": 0.05} | settings),
    )


def test_each_residual_is_the_signed_root_of_the_chi_square_of_its_2_x_2_table(counts):
    z = adjusted_residual(counts.both, counts.rows[:, None], counts.columns, counts.conversations)
    for r, c in np.ndindex(z.shape):
        cells = collapsed(counts, r, c)
        assert z[r, c] == pytest.approx(
            Table(cells, shift_zeros=False).standardized_resids[0, 0], rel=1e-10, abs=1e-12
        )
        assert z[r, c] ** 2 == pytest.approx(
            chi2_contingency(cells, correction=False).statistic, rel=1e-10, abs=1e-12
        )


def test_p_values_are_normal_if_five_are_expected_and_exact_below(counts):
    p = p_values(counts)
    expected = np.outer(counts.rows, counts.columns) / counts.conversations
    z = adjusted_residual(counts.both, counts.rows[:, None], counts.columns, counts.conversations)
    common = expected >= 5
    assert 0.1 < common.mean() < 0.9
    assert p[common] == pytest.approx(2 * norm.sf(np.abs(z[common])), rel=1e-12)
    for r, c in np.argwhere(~common):
        tail = exact_tail(
            counts.both[r, c], counts.rows[r], counts.columns[c], counts.conversations
        )
        assert p[r, c] == pytest.approx(min(1.0, 2 * tail), rel=1e-12)


def exact_tail(observed: int, row: int, column: int, n: int) -> float:
    o, r, c = int(observed), int(row), int(column)
    above = o * n > r * c
    xs = range(o, min(r, c) + 1) if above else range(max(0, r + c - n), o + 1)
    ways = sum(math.comb(r, x) * math.comb(n - r, c - x) for x in xs)
    return float(Fraction(ways, math.comb(n, c)))


@settings(deadline=None)
@given(st.data())
def test_the_hypergeometric_tail_equals_exact_fractions(data):
    n = data.draw(st.integers(2, 600))
    row, column = (data.draw(st.integers(1, n - 1)) for _ in range(2))
    observed = data.draw(st.integers(max(0, row + column - n), min(row, column)))
    tail = hypergeometric_tail(*integers(observed, row, column), n)
    assert tail[0] == pytest.approx(exact_tail(observed, row, column, n), rel=1e-12)


def test_the_hypergeometric_tail_is_precise_for_a_hundred_million_conversations():
    n, row, column = 10**8, 40, 7_000
    for observed in (0, 1, 3, 20):
        tail = hypergeometric_tail(*integers(observed, row, column), n)
        assert tail[0] == pytest.approx(exact_tail(observed, row, column, n), rel=1e-12)


def test_the_significance_threshold_for_3307_comparisons_is_the_papers():
    n = row = 10**6
    row = column = n // 2
    observed = np.arange(n // 4, n // 4 + 1_500)
    margins = np.full(observed.size, row), np.full(observed.size, column)
    z = adjusted_residual(observed, *margins, n)
    first = z[p_value(observed, *margins, n) * 3_307 < 0.05].min()
    assert first == pytest.approx(4.327, abs=0.002)


def test_a_p_value_is_zero_only_below_the_smallest_float():
    n = 10**6
    strong, beyond = integers(210, 5_000, 5_000), integers(400, 5_000, 5_000)
    z = adjusted_residual(*strong, n)
    assert 36 < z[0] < 37.3
    assert math.log(p_value(*strong, n)[0]) == pytest.approx(math.log(2) + norm.logsf(z[0]))
    assert adjusted_residual(*beyond, n)[0] > 60
    assert p_value(*beyond, n)[0] == 0


def test_bonferroni_and_benjamini_hochberg_are_over_all_tested_cells(counts):
    p = p_values(counts)
    rows = table(counts, comparisons=1_200, alpha=0.01).to_pydict()
    assert rows["p_value"] == pytest.approx(p.ravel())
    assert rows["p_adjusted"] == pytest.approx(np.minimum(1, 1_200 * p.ravel()))
    assert rows["q_value"] == pytest.approx(false_discovery_control(p.ravel()))
    assert rows["significant"] == [value < 0.01 for value in rows["p_adjusted"]]
    assert 10 < sum(rows["significant"]) < 600


def test_rows_have_their_names_counts_and_effect_sizes(counts):
    rows = table(counts).to_pylist()
    assert len(rows) == 1_200
    cell = rows[7 * 30 + 3]
    assert (cell["row_facet"], cell["row"], cell["level"]) == ("ai_values", "value 7", 1)
    assert (cell["column_facet"], cell["column"]) == ("tasks", "task 3")
    assert cell["observed"] == counts.both[7, 3]
    assert cell["expected"] == pytest.approx(counts.rows[7] * counts.columns[3] / 5_000)
    (a, b), (c, d) = collapsed(counts, 7, 3) + 0.5
    assert cell["odds_ratio"] == pytest.approx(a * d / (b * c))
    assert cell["low"] < cell["odds_ratio"] < cell["high"]
    assert cell["reason"] is None


def test_the_effect_size_of_a_cell_is_cramers_v_of_its_2_x_2(counts):
    row = table(counts).to_pylist()[7 * 30 + 3]
    cells = collapsed(counts, 7, 3)
    assert row["cramers_v"] == pytest.approx(association(cells, method="cramer"))


def test_the_chi_square_of_a_whole_exclusive_table_equals_scipys():
    both = np.array([[30, 5, 0], [10, 40, 0], [3, 7, 0]])
    counts = Counts(120, both.sum(axis=1) + 2, both.sum(axis=0) + 3, both)
    found = whole_table(counts, exclusive=True)
    expected = chi2_contingency(both[:, :2], correction=False)
    assert found["chi_square"] == pytest.approx(expected.statistic)
    assert (found["degrees_of_freedom"], found["p_value"]) == (2, pytest.approx(expected.pvalue))
    assert found["cramers_v"] == pytest.approx(association(both[:, :2], method="cramer"))
    assert found["least_expected"] == pytest.approx(12 * 3 / 120)
    assert found["share_expected_below_5"] == pytest.approx(4 / 9)
    assert "chi_square" not in whole_table(counts, exclusive=False)


def test_a_whole_table_tells_no_cell_and_no_margin_that_is_too_small_to_be_shown():
    both = np.array([[300, 500], [100, 40], [3, 7]])
    counts = Counts(2000, both.sum(axis=1), both.sum(axis=0), both)
    found = whole_table(counts, exclusive=True, least=15)
    assert found["least_expected"] == pytest.approx(140 * 403 / 2000)
    assert "chi_square" not in found
    few = np.array([[False, False], [False, True], [False, False]])
    large = replace(counts, both=np.maximum(both, 20))
    assert "chi_square" in whole_table(large, exclusive=True, least=15)
    assert "chi_square" not in whole_table(large, exclusive=True, least=15, few=few)


def test_cells_left_out_of_the_table_are_still_in_the_family(counts):
    all_rows = table(counts).to_pylist()
    shown = table(counts, least_observed=20).to_pylist()
    found = ("significant", "discovered")
    assert shown == [r for r in all_rows if r["observed"] >= 20 or any(r[name] for name in found)]
    assert 0 < len(shown) < len(all_rows)
    assert any(row["observed"] < 20 for row in shown)


def test_undefined_cells_are_null_with_their_reason_and_never_significant():
    n, rows, columns = 10, np.array([0, 10, 4]), np.array([0, 10, 5])
    both = np.array([[0, 0, 0], [0, 10, 5], [0, 4, 2]])
    result = table(Counts(n, rows, columns, both), comparisons=3)
    last = ["column_never", "column_always", "few_conversations"]
    assert result["reason"].to_pylist() == ["row_never"] * 3 + ["row_always"] * 3 + last
    for name in ("expected", "residual", "p_value", "p_adjusted", "q_value", "odds_ratio", "low"):
        assert result[name].is_null().to_pylist() == [True] * 8 + [False]
    assert result["significant"].to_pylist() == result["discovered"].to_pylist() == [False] * 9


def test_no_conversations_is_a_reason():
    result = table(Counts.zero(2, 2))
    assert result["reason"].to_pylist() == ["no_conversations"] * 4
    assert result["p_value"].null_count == 4


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (2, 2)])
def test_the_table_has_the_schema_of_records_even_when_empty(shape):
    assert table(Counts.zero(*shape)).schema == ASSOCIATIONS
    table(Counts.zero(*shape)).validate(full=True)


def test_names_that_do_not_match_the_counts_are_refused():
    with pytest.raises(ValueError, match="counts for 1 x 2"):
        associations(
            Counts.zero(2, 2), Axis("a", ["x"]), Axis("b", ["y", "z"]), comparisons=1, alpha=0.05
        )


def test_the_block_size_changes_no_bit(counts, monkeypatch):
    whole = p_values(counts)
    monkeypatch.setattr(residuals, "_BLOCK_CELLS", 64)
    assert np.array_equal(p_values(counts), whole)
