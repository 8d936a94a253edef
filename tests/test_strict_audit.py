"""An audit by paired runs finds what is planted, and nothing in the release as it is."""

from dataclasses import replace

import pytest
from planted_leaks import BOUNDS, DELTA, EPSILON, LEAKS, drawing, name_of_one_account_is_released
from planted_leaks import threshold_too_low as too_low

from vitw_ray.evaluation.privacy_audit import CONFIDENCE, at_least, audit

pytest.importorskip("opendp")
RUNS, SLOW_RUNS = 150, 3000
WIDER = replace(BOUNDS, conversations=3)


def test_the_release_stays_within_its_epsilon():
    found = audit(drawing(), RUNS, DELTA)
    assert found.epsilon <= EPSILON
    assert found.only <= DELTA


def test_the_release_in_which_accounts_weigh_more_stays_within_its_epsilon():
    found = audit(drawing(bounds=WIDER), RUNS, DELTA)
    assert found.epsilon <= EPSILON
    assert found.only <= DELTA


@pytest.mark.parametrize("leak", LEAKS)
def test_a_planted_leak_is_found(leak):
    assert audit(drawing(**LEAKS[leak]), RUNS, DELTA).epsilon > EPSILON


def test_a_threshold_that_is_one_account_too_low_is_found():
    runs, alpha = 400, 1 - CONFIDENCE
    assert at_least(name_of_one_account_is_released(runs), runs, alpha) <= DELTA
    with too_low():
        assert at_least(name_of_one_account_is_released(runs), runs, alpha) > DELTA


@pytest.mark.slow
def test_more_runs_still_show_no_loss_above_epsilon():
    for bounds in (BOUNDS, WIDER):
        assert audit(drawing(bounds=bounds), SLOW_RUNS // 2, DELTA).epsilon <= EPSILON
