"""Adjusted differences equal those of statsmodels and exclude what the covariates explain."""

import numpy as np
import pyarrow as pa
import pytest
import statsmodels.api as sm
from scipy.sparse import csr_array
from scipy.special import expit

from vitw_ray.comparison.controls import adjusted_difference, numbered

pytestmark = pytest.mark.filterwarnings("error")


def world(rng, n: int, effect: float):
    """Two tasks with different shares per assistant; task and, with `effect`, assistant matter."""
    in_a = rng.random(n) < 0.5
    task = rng.random(n) < np.where(in_a, 0.8, 0.2)
    other = rng.random((n, 5)) < 0.3
    rate = expit(-2 + 2.5 * task + effect * in_a + other @ np.array([0.5, -0.5, 0, 0, 0.3]))
    shown = rng.random(n) < rate
    truth = expit(-2 + 2.5 * task + effect + other @ np.array([0.5, -0.5, 0, 0, 0.3])) - expit(
        -2 + 2.5 * task + other @ np.array([0.5, -0.5, 0, 0, 0.3])
    )
    return shown, in_a, csr_array(np.column_stack([task, ~task, other]).astype(float)), truth.mean()


def test_it_is_the_average_marginal_effect_of_a_logistic_regression():
    shown, in_a, design, _ = world(np.random.default_rng(0), 20_000, effect=0.4)
    found = adjusted_difference(shown, in_a, design, np.arange(shown.size))
    x = np.column_stack([in_a, design.toarray()[:, [0, 2, 3, 4, 5, 6]], np.ones(in_a.size)])
    fit = sm.Logit(shown.astype(float), x.astype(float)).fit(disp=0, cov_type="HC0")
    on, off = x.copy().astype(float), x.copy().astype(float)
    on[:, 0], off[:, 0] = 1, 0
    assert found.difference == pytest.approx(np.mean(fit.predict(on) - fit.predict(off)), abs=4e-4)
    effects = fit.get_margeff(at="overall", dummy=True)
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * effects.margeff_se[0], rel=0.05)


def test_a_difference_explained_by_tasks_vanishes_after_adjustment():
    shown, in_a, design, _ = world(np.random.default_rng(1), 4_000, effect=0.0)
    assert shown[in_a].mean() - shown[~in_a].mean() > 0.2
    found = adjusted_difference(shown, in_a, design, np.arange(shown.size))
    assert found.low < 0 < found.high
    assert abs(found.difference) < 0.04


def test_the_interval_covers_the_truth_with_repeated_accounts():
    rng = np.random.default_rng(2)
    held, naive = 0, 0
    for _ in range(80):
        shown, in_a, design, truth = world(rng, 300, effect=0.7)
        times = 5
        again = [np.repeat(x, times) for x in (shown, in_a)]
        design = csr_array(np.repeat(design.toarray(), times, axis=0))
        account = np.repeat(np.arange(300), times)
        found = adjusted_difference(*again, design, account)
        held += found.low <= truth <= found.high
        alone = adjusted_difference(*again, design, np.arange(account.size))
        naive += alone.low <= truth <= alone.high
    assert held >= 71
    assert naive < 62


@pytest.mark.parametrize(
    ("shown", "in_a", "reason"),
    [
        ([0, 1, 0], [1, 1, 1], "one_group"),
        ([0, 0, 0], [1, 0, 1], "row_never"),
        ([1, 1, 1], [1, 0, 1], "row_always"),
    ],
)
def test_an_undefined_difference_is_none_with_its_reason(shown, in_a, reason):
    design = csr_array(np.ones((3, 1)))
    found = adjusted_difference(np.array(shown, bool), np.array(in_a, bool), design, np.arange(3))
    assert (found.difference, found.low, found.high, found.reason) == (None, None, None, reason)


def test_conversations_without_an_account_count_as_separate_accounts():
    codes = numbered(pa.chunked_array([["anna", None, "ben", None, "anna"]]))
    assert codes[0] == codes[4]
    assert len(set(codes.tolist())) == 4
