"""Prevalence corrected for sensitivity and specificity: estimate and interval."""

import numpy as np
import pytest

from vitw_ray.evaluation.prevalence import Reviewed, corrected_prevalence

pytestmark = pytest.mark.filterwarnings("error")


def test_the_share_is_the_rogan_gladen_estimate():
    found = corrected_prevalence(300, 1_000, Reviewed(100, 80, 100, 90))
    assert found.share == pytest.approx((0.3 + 0.9 - 1) / (0.8 + 0.9 - 1))
    assert found.low < found.share < found.high


def test_a_perfect_reader_changes_no_share_and_a_larger_review_narrows_the_interval():
    small = corrected_prevalence(300, 1_000, Reviewed(50, 50, 50, 50))
    large = corrected_prevalence(300, 1_000, Reviewed(5_000, 5_000, 5_000, 5_000))
    assert small.share == large.share == pytest.approx(0.3)
    assert large.high - large.low < small.high - small.low


def test_a_small_review_of_conversations_with_the_value_extends_the_interval_upwards():
    found = corrected_prevalence(50_000, 100_000, Reviewed(30, 24, 100_000, 100_000))
    assert found.high - found.share > 1.8 * (found.share - found.low)


def test_it_stays_within_0_and_1():
    fewer_than_errors = corrected_prevalence(10, 1_000, Reviewed(100, 80, 100, 90))
    assert (fewer_than_errors.share, fewer_than_errors.low) == (0.0, 0.0)
    assert fewer_than_errors.high < 0.05
    assert corrected_prevalence(990, 1_000, Reviewed(100, 80, 100, 90)).share == 1.0


@pytest.mark.parametrize(
    ("positives", "n", "reviewed", "reason"),
    [
        (0, 0, Reviewed(10, 9, 10, 9), "no_conversations"),
        (5, 10, Reviewed(0, 0, 10, 9), "nothing_reviewed"),
        (5, 10, Reviewed(10, 4, 10, 6), "no_better_than_chance"),
    ],
)
def test_an_undefined_correction_is_none_with_its_reason(positives, n, reviewed, reason):
    found = corrected_prevalence(positives, n, reviewed)
    assert (found.share, found.low, found.high, found.reason) == (None, None, None, reason)


def test_impossible_counts_are_rejected():
    with pytest.raises(ValueError, match="more agreed than were reviewed"):
        Reviewed(10, 11, 10, 9)


@pytest.mark.parametrize(
    ("truth", "sensitivity", "specificity"), [(0.2, 0.85, 0.95), (0.45, 0.7, 0.8)]
)
def test_the_interval_covers_the_truth_in_95_of_100_draws(truth, sensitivity, specificity):
    rng = np.random.default_rng(4)
    apparent = truth * sensitivity + (1 - truth) * (1 - specificity)
    hits = 0
    for _ in range(10_000):
        reviewed = Reviewed(
            120, int(rng.binomial(120, sensitivity)), 200, int(rng.binomial(200, specificity))
        )
        found = corrected_prevalence(int(rng.binomial(1_000, apparent)), 1_000, reviewed)
        hits += found.low <= truth <= found.high
    assert hits / 10_000 == pytest.approx(0.95, abs=0.01)
