"""Variation of a value over categories, with and without the sampling variance."""

import numpy as np
import pytest

from vitw_ray.records import VARIATION
from vitw_ray.statistics.contingency import Axis, Counts
from vitw_ray.statistics.variation import LEAST, coefficient_of_variation, corrected, variation

pytestmark = pytest.mark.filterwarnings("error")


def counts(both, columns, rows=None) -> Counts:
    both, columns = np.array(both), np.array(columns)
    margin = both.sum(axis=1) if rows is None else np.array(rows)
    return Counts(int(columns.sum()), margin, columns, both)


def test_it_is_population_sd_over_mean_of_the_shares_with_equal_weights_of_categories():
    result = coefficient_of_variation(counts([[10, 30, 5]], [100, 100, 10]))
    shares = np.array([0.1, 0.3, 0.5])
    assert result == pytest.approx([shares.std() / shares.mean()])


def test_categories_without_conversations_are_left_out():
    with_empty = counts([[10, 0, 30]], [100, 0, 100])
    without = counts([[10, 30]], [100, 100])
    assert coefficient_of_variation(with_empty) == pytest.approx(coefficient_of_variation(without))
    assert corrected(with_empty).value == pytest.approx(corrected(without).value)


def test_fewer_than_two_categories_or_a_value_that_never_occurs_have_no_variation():
    assert np.isnan(coefficient_of_variation(counts([[3, 0]], [10, 0]))).all()
    assert np.isnan(corrected(counts([[3, 1]], [10, 1]))).all()
    never = counts([[0, 0], [1, 2]], [LEAST, LEAST])
    assert np.isnan(coefficient_of_variation(never)).tolist() == [True, False]
    assert np.isnan(corrected(never).value).tolist() == [True, False]


def test_the_correction_removes_the_variation_due_to_sampling():
    columns = np.full(300, 40)
    both = np.random.default_rng(1).binomial(columns, 0.1, (200, 300))
    same_everywhere = counts(both, columns)
    assert coefficient_of_variation(same_everywhere).mean() > 0.45
    assert corrected(same_everywhere).value.mean() < 0.1
    assert (corrected(same_everywhere).value == 0).mean() == pytest.approx(0.5, abs=0.15)


def test_the_correction_finds_the_variation_that_was_planted():
    generator = np.random.default_rng(2)
    shares = generator.uniform(0.02, 0.3, 300)
    columns = generator.integers(LEAST, 90, 300)
    result = corrected(counts(generator.binomial(columns, shares, (400, 300)), columns)).value
    planted = shares.std() / shares.mean()
    assert result.mean() == pytest.approx(planted, rel=0.02)
    naive = coefficient_of_variation(counts(generator.binomial(columns, shares, (9, 300)), columns))
    assert naive.mean() > 1.1 * planted


def test_the_correction_is_the_unbiased_between_variance():
    both, columns = np.array([[12, 30, 3]]), np.array([40, 50, 60])
    p = both[0] / columns
    between = p.var() - (2 / 3) * np.mean(p * (1 - p) / (columns - 1))
    assert between > 0
    found = corrected(counts(both, columns)).value
    assert found == pytest.approx([np.sqrt(between) / p.mean()])


CONTEXTS = np.maximum(308_210 * (w := np.random.default_rng(3).pareto(1.2, 60)) / w.sum(), 2)


@pytest.mark.parametrize("share", [0.0005, 0.005, 0.05])
def test_a_value_that_does_not_vary_hardly_ever_has_a_lower_bound_above_0(share):
    columns = CONTEXTS.astype(int)
    both = np.random.default_rng(4).binomial(columns, share, (2000, columns.size))
    assert (corrected(counts(both, columns)).low > 0).mean() <= 0.025


@pytest.mark.parametrize("spread", [0.5, 1.5])
@pytest.mark.parametrize("share", [0.003, 0.02, 0.1])
def test_the_interval_holds_the_planted_variation(share, spread):
    generator, columns = np.random.default_rng(5), CONTEXTS.astype(int)
    gamma = generator.gamma(spread**-2, spread**2, (1000, columns.size))
    shares = np.minimum(share * gamma, 0.95)
    found = corrected(counts(generator.binomial(columns, shares), columns))
    shares = shares[:, columns >= LEAST]
    planted = shares.std(axis=1) / shares.mean(axis=1)
    assert ((found.low <= planted) & (planted <= found.high)).mean() >= 0.9
    assert (found.low > planted).mean() <= 0.03


def test_context_bound_values_come_first_among_thousands_of_rare_ones():
    generator, columns = np.random.default_rng(6), CONTEXTS.astype(int)
    shares = np.repeat(10 ** generator.uniform(-4.5, -1.5, (3300, 1)), columns.size, axis=1)
    large = np.argsort(columns)[-20:]
    for label in range(5):  # three of twenty large contexts hold nearly all of it
        shares[label] = 1e-4
        shares[label, large[3 * label : 3 * label + 3]] = 0.1
    found = corrected(counts(generator.binomial(columns, shares), columns))
    assert set(np.argsort(-found.low)[:5]) == set(range(5))
    assert set(np.argsort(-found.value)[:5]) != set(range(5))


def test_the_table_has_the_schema_of_records_and_nulls_where_nothing_varies():
    table = variation(
        counts([[4, 2], [0, 0]], [10, 10], rows=[7, 1]),
        Axis("ai_values", ["clarity", "candour"]),
        Axis("tasks", ["a", "b"]),
    )
    assert table.schema == VARIATION
    assert table["share"].to_pylist() == [7 / 20, 1 / 20]
    assert table["coefficient_of_variation"].to_pylist() == [pytest.approx(1 / 3), None]
    assert table["corrected"][1].as_py() is None
    assert variation(Counts.zero(1, 2), Axis("v", ["x"]), Axis("t", ["a", "b"])).num_rows == 1


def test_a_coefficient_does_not_tell_cells_that_are_not_shown():
    columns, shown = [100, 150, 300, 80, 40], [20, 60, 15]
    axes = Axis("v", ["x"]), Axis("t", list("abcde"))
    made = [counts([[*shown, few, 12 - few]], columns) for few in range(1, 12)]
    tables = [variation(counted, *axes, 15) for counted in made]
    assert all(table == tables[0] for table in tables)
    assert variation(made[0], *axes) != variation(made[4], *axes)  # which shows all cells


def test_what_is_frequent_varies_as_before():
    counted = counts([[40, 90, 30], [15, 20, 300]], [100, 150, 300])
    axes = Axis("v", ["x", "y"]), Axis("t", list("abc"))
    assert variation(counted, *axes, 15) == variation(counted, *axes)
