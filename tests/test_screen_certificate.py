"""The screen's certificate holds as often as it says; the audit finds a screen that is wrong."""

from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm

from vitw_ray.extraction.screen.audit import AUDIT_SHARE, Audit, is_audited
from vitw_ray.extraction.screen.certify import (
    DELTA,
    GRID,
    certify,
    least_subjective,
    p_values,
    upper_limit,
)
from vitw_ray.keys import Keyed

ALPHA = 0.02
REPEATS = 2000


def below(k: int, n: int, p: float) -> float:
    """P(Bin(n, p) <= k), term by term."""
    return sum(comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1))


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 300), st.floats(0.001, 0.5), st.data())
def test_p_values_are_sums_of_binomial_terms(m, alpha, data):
    k = data.draw(st.integers(0, m))
    assert p_values(np.array([k]), m, alpha)[0] == pytest.approx(below(k, m, alpha), rel=1e-9)


def by_hand(scores, subjective, alpha):
    """Test one threshold after the other, and stop at the first that fails."""
    kept = [score for score, counts in zip(scores, subjective, strict=True) if counts]
    last = None
    for threshold in GRID:
        lost = sum(score < threshold for score in kept)
        if not kept or below(lost, len(kept), alpha) > DELTA:
            break
        last = float(threshold)
    return last


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(0, 260), st.floats(0.02, 0.3))
def test_the_threshold_is_the_last_before_the_first_test_that_fails(seed, n, alpha):
    rng = np.random.default_rng(seed)
    scores, subjective = rng.normal(0, 2, n), rng.random(n) < 0.7
    found = certify(scores, subjective, alpha)
    assert found.threshold == by_hand(scores, subjective, alpha)
    if found.threshold is not None:
        assert found.lost == int((scores[subjective] < found.threshold).sum())
        assert found.bound <= alpha + 1e-9


def test_a_wrong_certificate_is_as_rare_as_it_says():
    rng = np.random.default_rng(0)
    for m in (150, 400, 900):
        wrong = 0
        for _ in range(REPEATS):
            scores = rng.normal(1, 1, m)
            threshold = certify(scores, np.ones(m, bool), ALPHA).threshold
            wrong += threshold is not None and norm.cdf(threshold, 1, 1) > ALPHA
        assert wrong / REPEATS <= DELTA + 3 * np.sqrt(DELTA * (1 - DELTA) / REPEATS)


def test_it_holds_for_a_sample_of_a_finite_run_too():
    rng = np.random.default_rng(1)
    population = rng.normal(1, 1, 1200)
    wrong = 0
    for _ in range(REPEATS):
        sample = rng.choice(population, 400, replace=False)
        threshold = certify(sample, np.ones(400, bool), ALPHA).threshold
        assert threshold is not None
        lost = int((population < threshold).sum() - (sample < threshold).sum())
        wrong += lost / len(population) > ALPHA
    assert wrong / REPEATS <= DELTA


def test_too_few_subjective_rows_certify_nothing():
    least = least_subjective(ALPHA)
    assert below(0, least, ALPHA) <= DELTA < below(0, least - 1, ALPHA)
    for m in (0, least - 1):
        found = certify(np.full(m + 50, 5.0), np.arange(m + 50) < m, ALPHA)
        assert (found.threshold, found.subjective) == (None, m)
    assert certify(np.full(least, 5.0), np.ones(least, bool), ALPHA).threshold is not None


def test_a_head_that_cannot_order_conversations_screens_next_to_nothing():
    rng = np.random.default_rng(2)
    scores = rng.normal(0, 1, 2000)
    found = certify(scores, rng.random(2000) < 0.44, ALPHA)
    assert found.threshold is not None
    assert (scores < found.threshold).mean() < 0.03


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 1000), st.data())
def test_the_upper_limit_is_that_of_clopper_and_pearson(n, data):
    k = data.draw(st.integers(0, n))
    oracle = binomtest(k, n, alternative="less").proportion_ci(1 - DELTA, method="exact")
    assert upper_limit(k, n, DELTA) == pytest.approx(oracle.high, rel=1e-9)


def audit_of(rng: np.random.Generator, screened: int, loss: float, kept: int) -> Audit:
    """An audit of a screen with a known loss."""
    share = loss / (1 - loss) * kept / screened
    audited = rng.binomial(screened, AUDIT_SHARE)
    return Audit(
        screened=screened,
        audited=audited,
        subjective=rng.binomial(audited, share),
        kept=kept,
        alpha=ALPHA,
    )


def test_the_audit_seldom_withdraws_a_screen_that_keeps_its_bound():
    rng = np.random.default_rng(3)
    rejected = sum(audit_of(rng, 50_000, ALPHA, 44_000).rejects for _ in range(REPEATS))
    assert rejected / REPEATS <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / REPEATS)


def test_the_audit_finds_a_screen_that_loses_a_tenth():
    rng = np.random.default_rng(4)
    audits = [audit_of(rng, 50_000, 0.1, 44_000) for _ in range(100)]
    assert all(audit.rejects for audit in audits)
    covered = [audit.interval for audit in audits]
    assert sum(i is not None and i[0] <= 0.1 <= i[1] for i in covered) >= 90


def test_an_audit_of_nothing_says_nothing():
    audit = Audit(screened=30, audited=0, subjective=0, kept=200, alpha=ALPHA)
    assert (audit.loss, audit.interval, audit.rejects) == (None, None, False)


def test_two_in_a_hundred_are_audited_and_always_the_same():
    keyed = Keyed(b"a secret of this test")
    chosen = [is_audited(keyed, str(n).encode()) for n in range(20_000)]
    assert sum(chosen) / len(chosen) == pytest.approx(AUDIT_SHARE, abs=0.004)
    assert chosen == [is_audited(keyed, str(n).encode()) for n in range(20_000)]
    other = Keyed(b"another secret of this test")
    assert chosen != [is_audited(other, str(n).encode()) for n in range(20_000)]
