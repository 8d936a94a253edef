"""Differences of two shares against statsmodels and exact arithmetic, and their coverage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, fisher_exact
from statsmodels.stats.contingency_tables import StratifiedTable
from statsmodels.stats.proportion import confint_proportions_2indep

from vitw_ray.statistics.differences import (
    bonett_price,
    newcombe,
    paired,
    post_stratified,
    unmatched,
)

pytestmark = pytest.mark.filterwarnings("error")


@given(st.data())
def test_the_unmatched_interval_equals_newcombes_in_statsmodels(data):
    n_a, n_b = (data.draw(st.integers(1, 5_000)) for _ in range(2))
    a, b = data.draw(st.integers(0, n_a)), data.draw(st.integers(0, n_b))
    low, high = newcombe(a, n_a, b, n_b)
    expected = confint_proportions_2indep(a, n_a, b, n_b, method="newcomb", compare="diff")
    assert (low, high) == pytest.approx(expected, abs=1e-9)


@given(st.integers(1, 30), st.integers(1, 30), st.data())
def test_the_unmatched_p_value_is_exact_where_few_are_expected(n_a, n_b, data):
    a, b = data.draw(st.integers(0, n_a)), data.draw(st.integers(0, n_b))
    p = unmatched(np.array([a]), n_a, np.array([b]), n_b).p_value[0]
    least = min(min(a + b, n_a + n_b - a - b) * n / (n_a + n_b) for n in (n_a, n_b))
    cells = [[a, n_a - a], [b, n_b - b]]
    if not 0 < a + b < n_a + n_b:
        assert np.isnan(p)
    elif least < 5:
        tails = [fisher_exact(cells, side).pvalue for side in ("less", "greater")]
        above = a * (n_a + n_b) > (a + b) * n_a
        assert p == pytest.approx(min(1.0, 2 * tails[above]), rel=1e-9)


def test_strata_in_equal_proportions_give_the_unmatched_shares_and_the_mantel_haenszel_p_value():
    rng = np.random.default_rng(0)
    n_a, n_b = rng.integers(30, 200, 6), rng.integers(30, 200, 6)
    a, b = rng.binomial(n_a, 0.3), rng.binomial(n_b, 0.4)
    found = post_stratified(a[None], n_a, b[None], n_b)
    weights = (n_a + n_b) / (n_a + n_b).sum()
    assert found.share_a[0] == pytest.approx(np.sum(weights * a / n_a))
    assert found.share_b[0] == pytest.approx(np.sum(weights * b / n_b))
    tables = [np.array([[a[i], n_a[i] - a[i]], [b[i], n_b[i] - b[i]]]) for i in range(6)]
    expected = StratifiedTable(tables).test_null_odds(correction=False).pvalue
    assert found.p_value[0] == pytest.approx(expected, rel=1e-9)


def test_matching_on_strata_removes_a_difference_due_to_their_proportions():
    n_a, n_b = np.array([900, 100]), np.array([100, 900])
    rate = np.array([0.5, 0.1])  # the same in both groups
    a, b = (n_a * rate).astype(int), (n_b * rate).astype(int)
    plain = unmatched(np.array([a.sum()]), 1000, np.array([b.sum()]), 1000)
    matched = post_stratified(a[None], n_a, b[None], n_b)
    assert plain.low[0] > 0.25
    assert matched.share_a[0] == pytest.approx(matched.share_b[0])
    assert matched.low[0] < 0 < matched.high[0]
    assert matched.p_value[0] == pytest.approx(1)


def test_strata_of_only_one_group_are_left_out_and_too_few_conversations_give_no_p_value():
    found = post_stratified(
        np.array([[5, 3]]), np.array([10, 30]), np.array([[4, 0]]), np.array([10, 1])
    )
    assert (found.share_a[0], found.share_b[0]) == (0.5, 0.4)
    assert np.isnan(found.p_value[0])
    nothing = post_stratified(np.array([[5]]), np.array([9]), np.array([[0]]), np.array([0]))
    assert np.isnan([x[0] for x in nothing]).all()


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40), st.integers(0, 40))
def test_the_paired_p_value_is_mcnemars_exact_one_and_the_interval_contains_the_difference(
    both, only_a, only_b, neither
):
    n = both + only_a + only_b + neither
    found = paired(*(np.array([x]) for x in (both + only_a, both + only_b, both)), n)
    if only_a + only_b:
        expected = binomtest(only_a, only_a + only_b).pvalue
        assert found.p_value[0] == pytest.approx(expected, rel=1e-9)
    else:
        assert np.isnan(found.p_value[0])
    if n:
        difference = found.share_a[0] - found.share_b[0]
        assert -1 <= found.low[0] <= difference <= found.high[0] <= 1


def covered(low, high, truth) -> float:
    return float(np.mean((low <= truth) & (truth <= high)))


DRAWS = 10_000


def test_the_unmatched_interval_covers_the_truth_in_95_of_100_draws():
    rng = np.random.default_rng(1)
    a, b = rng.binomial(300, 0.2, DRAWS), rng.binomial(500, 0.13, DRAWS)
    assert covered(*newcombe(a, 300, b, 500), 0.07) == pytest.approx(0.95, abs=0.01)


def test_the_post_stratified_interval_covers_the_truth_in_95_of_100_draws():
    rng = np.random.default_rng(2)
    n_a, n_b = np.array([200, 90, 60, 40]), np.array([50, 80, 150, 120])
    p_a, p_b = np.array([0.5, 0.3, 0.2, 0.1]), np.array([0.4, 0.3, 0.1, 0.1])
    a, b = rng.binomial(n_a, p_a, (DRAWS, 4)), rng.binomial(n_b, p_b, (DRAWS, 4))
    weights = (n_a + n_b) / (n_a + n_b).sum()
    found = post_stratified(a, n_a, b, n_b)
    assert covered(found.low, found.high, weights @ (p_a - p_b)) == pytest.approx(0.95, abs=0.01)


def test_the_paired_interval_covers_the_truth_in_95_of_100_draws():
    rng = np.random.default_rng(3)
    cells = rng.multinomial(150, [0.1, 0.2, 0.12, 0.58], DRAWS)
    low, high = bonett_price(cells[:, 1], cells[:, 2], 150)
    assert covered(low, high, 0.08) == pytest.approx(0.95, abs=0.01)
