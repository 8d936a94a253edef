"""Error rates without truth: planted ones are found, and no other rates explain answers better."""

import itertools
import math

import numpy as np
import pytest
from scipy.optimize import minimize

from vitw_ray.agreement import dawid_skene
from vitw_ray.agreement.dawid_skene import PRIOR, fit
from vitw_ray.agreement.estimates import MISSING

pytestmark = pytest.mark.filterwarnings("error")


def answered(made, truth, tables, missing=0.0):
    """Answers of readers with the given tables, [truth, answer] each."""
    codes = []
    for table in tables:
        sums = np.cumsum(table, axis=1)[truth]
        mine = (made.random(truth.size)[:, None] > sums).sum(axis=1)
        codes.append(np.where(made.random(truth.size) < missing, MISSING, mine))
    return codes


def confused(accuracy, size=2):
    return np.where(np.eye(size, dtype=bool), accuracy, (1 - accuracy) / (size - 1))


def test_planted_error_rates_are_found_without_truth():
    made = np.random.default_rng(0)
    truth = (made.random(20_000) < 0.3).astype(int)
    tables = [
        np.array([[0.97, 0.03], [0.25, 0.75]]),
        np.array([[0.85, 0.15], [0.05, 0.95]]),
        np.array([[0.9, 0.1], [0.35, 0.65]]),
        np.array([[0.99, 0.01], [0.5, 0.5]]),
    ]
    found = fit(answered(made, truth, tables, missing=0.1), 2)
    assert found is not None
    assert found.converged
    assert found.shares == pytest.approx([0.7, 0.3], abs=0.02)
    assert found.tables == pytest.approx(np.stack(tables), abs=0.03)
    right = [table[0, 0] * 0.7 + table[1, 1] * 0.3 for table in tables]
    assert found.accuracy == pytest.approx(right, abs=0.02)


def test_planted_error_rates_of_seven_answers_are_found():
    made = np.random.default_rng(1)
    truth = made.integers(0, 7, 20_000)
    found = fit(answered(made, truth, [confused(a, 7) for a in (0.9, 0.6, 0.75)]), 7)
    assert found is not None
    assert found.accuracy == pytest.approx([0.9, 0.6, 0.75], abs=0.02)


def likelihood(parameters, patterns, times, size):
    """Log-likelihood of patterns of answers, by sums over every possible truth."""
    readers = len(patterns[0])

    def simplex(block):
        top = np.exp(block - block.max())
        return top / top.sum()

    shares = simplex(parameters[:size])
    rows = [simplex(block) for block in parameters[size:].reshape(-1, size)]
    total = PRIOR * sum(math.log(p) for block in (shares, *rows) for p in block)
    for pattern, n in zip(patterns, times, strict=True):
        whole = 0.0
        for true in range(size):
            joint = shares[true]
            for reader in range(readers):
                if pattern[reader] != MISSING:
                    joint *= rows[reader * size + true][pattern[reader]]
            whole += joint
        total += n * math.log(whole)
    return total


@pytest.mark.parametrize("seed", range(3))
def test_no_other_rates_explain_few_answers_better(seed):
    made = np.random.default_rng(seed)
    truth = (made.random(60) < 0.4).astype(int)
    codes = answered(made, truth, [confused(a) for a in (0.95, 0.8, 0.85)], missing=0.1)
    found = fit(codes, 2)
    assert found is not None
    columns = [c for c in zip(*map(list, codes), strict=True) if sum(a != MISSING for a in c) > 1]
    patterns = sorted(set(columns))
    times = [columns.count(pattern) for pattern in patterns]
    own = np.log(np.concatenate([found.shares, found.tables.ravel()]))
    at_own = likelihood(own, patterns, times, 2)
    assert found.log_likelihood == pytest.approx(at_own, abs=1e-6)
    assert found.conversations == len(columns)
    best = max(
        -minimize(lambda p: -likelihood(p, patterns, times, 2), start, method="L-BFGS-B").fun
        for start in (own, made.normal(size=own.size), made.normal(size=own.size))
    )
    assert best <= at_own + 1e-4


def test_exchanged_readers_and_conversations_change_nothing():
    made = np.random.default_rng(3)
    truth = made.integers(0, 2, 300)
    codes = answered(made, truth, [confused(a) for a in (0.9, 0.7, 0.8)])
    found, order = fit(codes, 2), made.permutation(300)
    assert found is not None
    for permuted in itertools.permutations(range(3)):
        other = fit([codes[n][order] for n in permuted], 2)
        assert other is not None
        assert other.tables == pytest.approx(found.tables[list(permuted)], abs=1e-6)


def test_readers_that_err_together_look_better_than_they_are():
    made = np.random.default_rng(4)
    truth = made.integers(0, 2, 5000)
    (same,) = answered(made, truth, [confused(0.7)])
    (other,) = answered(made, truth, [confused(0.9)])
    found = fit([same, same, other], 2)
    assert found is not None
    assert found.accuracy[0] > 0.95 > 0.75 > np.mean(same == truth)
    assert found.accuracy[2] < 0.75 < np.mean(other == truth)


def test_two_readers_tell_nothing():
    assert fit([np.zeros(9, int), np.ones(9, int)], 2) is None
    assert fit([], 2) is None
    nothing = np.full(4, MISSING)
    assert fit([nothing, nothing, np.zeros(4, int)], 2) is None


def test_rates_stay_off_zero_and_one_where_all_agree():
    found = fit([np.array([0, 1] * 20)] * 3, 2)
    assert found is not None
    assert (found.tables > 0).all()
    assert found.accuracy == pytest.approx(np.ones(3), abs=0.02)
    assert dawid_skene.LEAST_READERS == 3
