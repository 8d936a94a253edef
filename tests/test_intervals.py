"""Intervals against scipy and statsmodels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from statsmodels.stats.contingency_tables import Table2x2

from vitw_ray.intervals import odds_ratio, share, wilson

pytestmark = pytest.mark.filterwarnings("error")


@settings(deadline=None)
@given(st.integers(1, 10**9), st.floats(0, 1), st.sampled_from([0.9, 0.95, 0.999]))
def test_wilson_equals_scipy(n, fraction, confidence):
    k = round(fraction * n)
    low, high = wilson(k, n, confidence)
    expected = binomtest(k, n).proportion_ci(confidence, method="wilson")
    assert low == pytest.approx(expected.low, rel=1e-9, abs=1e-15)
    assert high == pytest.approx(expected.high, rel=1e-9, abs=1e-15)


def test_wilson_contains_the_share_stays_within_0_and_1_and_is_exact_at_the_ends():
    k = np.arange(51)
    low, high = wilson(k, 50)
    assert np.all((low >= 0) & (low <= k / 50) & (k / 50 <= high) & (high <= 1))
    assert (low[0], high[-1]) == (0.0, 1.0)
    assert high[0] > 0.05
    assert low[-1] < 0.95


def test_shares_and_intervals_of_nothing_are_nan_without_a_warning():
    assert np.isnan(share([0, 3], [0, 0])).all()
    assert share([1, 0], 4).tolist() == [0.25, 0.0]
    low, high = wilson([0, 1], [0, 2])
    assert np.isnan([low[0], high[0]]).all()
    assert not np.isnan([low[1], high[1]]).any()


@settings(deadline=None)
@given(st.tuples(*[st.integers(0, 10**6)] * 4))
def test_the_odds_ratio_is_that_of_the_table_plus_half_a_conversation_per_cell(cells):
    ratio, low, high = odds_ratio(*cells)
    oracle = Table2x2(np.array(cells, float).reshape(2, 2) + 0.5, shift_zeros=False)
    assert ratio == pytest.approx(oracle.oddsratio, rel=1e-10)
    assert (low, high) == pytest.approx(oracle.oddsratio_confint(), rel=1e-9)


DRAWS = 10_000


@pytest.mark.parametrize(("n", "truth"), [(400, 0.13), (2_000, 0.02), (60, 0.4)])
def test_wilson_covers_the_truth_in_95_of_100_draws(n, truth):
    low, high = wilson(np.random.default_rng(1).binomial(n, truth, DRAWS), n)
    assert np.mean((low <= truth) & (truth <= high)) == pytest.approx(0.95, abs=0.01)


def test_the_interval_of_the_odds_ratio_covers_the_truth_in_95_of_100_draws():
    shares = np.array([0.06, 0.14, 0.2, 0.6])
    cells = np.random.default_rng(2).multinomial(800, shares, DRAWS).T
    _, low, high = odds_ratio(*cells)
    truth = shares[0] * shares[3] / (shares[1] * shares[2])
    assert np.mean((low <= truth) & (truth <= high)) == pytest.approx(0.95, abs=0.01)
