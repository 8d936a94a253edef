"""Variation over periods: what comes and goes is found, and no small count is given away."""

import numpy as np
import pytest

from vitw_ray.report import sections
from vitw_ray.statistics.cell_accounts import CellAccounts, People
from vitw_ray.statistics.contingency import (
    Axis,
    CodedFacet,
    Counts,
    GroupCounts,
    cross,
    deduplicate,
)
from vitw_ray.statistics.over_time import variation_over_time
from vitw_ray.statistics.variation import coefficient_of_variation

STRATA, PERIODS, LEAST = 2, 40, 5
SHOWN = np.array([10, 11, 12, 13, 14, 15])


def table_of(facet, rates, shown=SHOWN, rows=6_000, accounts=None):
    """`rates`: share of each label in each shown period."""
    rng = np.random.default_rng(4)
    period = rng.integers(0, len(shown), rows)
    held = np.nonzero(rng.random((rows, len(rates))) < np.array(rates)[:, period].T)
    values = CodedFacet(*deduplicate(*held), len(rates))
    columns = shown[period] * STRATA + rng.integers(0, STRATA, rows)
    groups = CodedFacet(np.arange(rows), columns.astype(np.int32), PERIODS * STRATA)
    whole = Counts.of(values, groups, rows)
    people = None
    if accounts is not None:
        of_period = CodedFacet(np.arange(rows), shown[period].astype(np.int32), PERIODS)
        people = CellAccounts.of_pairs(LEAST, values, of_period, People.of(accounts(rows)))
    label = Axis(facet, [f"value {n}" for n in range(len(rates))])
    table = variation_over_time(
        whole, GroupCounts.of(values, groups, rows), STRATA, shown, label, LEAST, people
    )
    sizes = np.bincount(period, minlength=len(shown))
    plain = CodedFacet(np.arange(rows), period.astype(np.int32), len(shown))
    counted = Counts(rows, whole.rows, sizes, cross(values, plain, rows))
    return table, coefficient_of_variation(counted)


STEADY = [[0.3] * 6] * 8
COMING = [[0.02, 0.05, 0.1, 0.2, 0.3, 0.4], [0.5, 0.02, 0.5, 0.02, 0.5, 0.02]]


@pytest.mark.parametrize("facet", ["ai_values", "human_values"])
def test_values_that_come_and_go_lead_the_list_of_dependent_ones(facet):
    table, plain = table_of(facet, STEADY + COMING)
    assert table["coefficient_of_variation"].to_numpy() == pytest.approx(plain)
    (spread,) = sections.variation(table.to_pylist(), top=10)
    assert (spread.facet, spread.over_facet) == (facet, "periods")
    assert {row["label"] for row in spread.dependent} >= {"value 8", "value 9"}
    assert [row["low"] for row in spread.dependent] == sorted(
        (row["low"] for row in spread.dependent), reverse=True
    )
    listed = len(spread.dependent) + len(spread.steady)
    assert spread.unsure == len(STEADY + COMING) - listed


def test_steady_values_are_ranked_by_their_upper_end_and_rare_ones_are_not_told():
    usual = [[0.6, 0.4, 0.3, 0.6, 0.4, 0.3]] * 4
    rates = [[0.6] * 6, [0.2] * 6, *usual, [0.02] * 6]
    (spread,) = sections.variation(table_of("ai_values", rates)[0].to_pylist(), top=10)
    assert [row["label"] for row in spread.steady] == ["value 0", "value 1"]
    assert spread.unsure >= 1
    assert [row["high"] for row in spread.steady] == sorted(row["high"] for row in spread.steady)


def test_a_label_with_a_small_count_in_a_period_has_no_coefficient():
    table, _ = table_of("ai_values", [[0.3] * 6, [0.3, 0.3, 0.3, 0.3, 0.3, 0.003]])
    assert table["coefficient_of_variation"].is_valid().to_pylist() == [True, False]
    assert table["high"].is_valid().to_pylist() == [True, False]
    assert table["share"].null_count == 0


def test_a_label_of_few_accounts_in_a_period_has_no_coefficient():
    table, _ = table_of("ai_values", [[0.3] * 6], accounts=lambda n: np.arange(n) % 3)
    assert table["corrected"].null_count == 1
    table, _ = table_of("ai_values", [[0.3] * 6], accounts=lambda n: np.arange(n) % 300)
    assert table["corrected"].null_count == 0


def test_periods_that_may_not_be_shown_are_left_out():
    rates = np.array(STEADY + COMING)
    whole, _ = table_of("ai_values", rates)
    assert whole["corrected"][8].as_py() > 0.3
    rows = 6_000
    groups = CodedFacet(np.arange(rows), np.full(rows, 20, np.int32), PERIODS * STRATA)
    values = CodedFacet(np.arange(rows), np.zeros(rows, np.int32), 1)
    counts = Counts.of(values, groups, rows)
    table = variation_over_time(
        counts, GroupCounts.of(values, groups, rows), STRATA, SHOWN, Axis("ai_values", ["x"]), LEAST
    )
    assert table["coefficient_of_variation"].null_count == 1
