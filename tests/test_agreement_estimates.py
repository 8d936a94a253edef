"""Coefficients equal reference libraries, and their intervals cover what they estimate."""

import math
import sys
from itertools import permutations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from statsmodels.stats import inter_rater

from vitw_ray.agreement import measures
from vitw_ray.agreement.estimates import (
    Estimate,
    agreement,
    estimate,
    kappa,
    krippendorff_alpha,
    label_f1,
    level_auc,
    macro_f1,
    mean,
    ratio_of_sums,
)
from vitw_ray.agreement.label_lists import near, same

codes = st.integers(0, 3)
pairs = st.lists(st.tuples(codes, codes), min_size=2, max_size=60)
MISSING = -1
# Krippendorff (2011), "Computing Krippendorff's alpha-reliability", the data of section C: four
# observers, twelve units, missing entries.
PUBLISHED = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]


def value_of(coefficient) -> float:
    return float(coefficient.value(coefficient.added.sum(axis=0)))


@given(pairs=pairs)
def test_kappa_equals_the_plain_measure_and_statsmodels(pairs):
    first, second = map(list, zip(*pairs, strict=True))
    table = np.zeros((4, 4))
    np.add.at(table, (first, second), 1)
    for ordinal in (False, True):
        found = value_of(kappa(first, second, 4, ordinal=ordinal))
        plain = (
            measures.quadratic_kappa(first, second, range(4))
            if ordinal
            else measures.kappa(first, second)
        )
        if len({*first, *second}) == 1:
            assert math.isnan(found)
            assert math.isnan(plain)
            continue
        oracle = inter_rater.cohens_kappa(
            table, wt="quadratic" if ordinal else None, return_results=False
        )
        assert found == pytest.approx(plain, abs=1e-12)
        assert found == pytest.approx(oracle, abs=1e-9)


def brute_alpha(rows, ordinal: bool) -> float:
    """Alpha from its definition: pairs of answers within units, and pairs of all answers."""
    units = [[a for a in unit if a != MISSING] for unit in zip(*rows, strict=True)]
    units = [unit for unit in units if len(unit) > 1]
    pooled = [a for unit in units for a in unit]
    counts = {c: pooled.count(c) for c in range(max(pooled) + 1)} if pooled else {}

    def distance(a, b):
        if not ordinal:
            return float(a != b)
        low, high = min(a, b), max(a, b)
        between = sum(counts[c] for c in range(low, high + 1))
        return (between - (counts[low] + counts[high]) / 2) ** 2

    observed = sum(
        sum(distance(a, b) for a, b in permutations(unit, 2)) / (len(unit) - 1) for unit in units
    )
    expected = sum(distance(a, b) for a, b in permutations(pooled, 2))
    n = len(pooled)
    return 1 - (observed / n) / (expected / (n * (n - 1))) if expected else float("nan")


ratings = st.integers(2, 4).flatmap(
    lambda readers: st.lists(
        st.lists(st.integers(-1, 3), min_size=readers, max_size=readers), min_size=1, max_size=25
    )
)


@given(ratings=ratings, ordinal=st.booleans())
def test_alpha_equals_its_definition_with_missing_answers(ratings, ordinal):
    rows = list(zip(*ratings, strict=True))
    found = value_of(krippendorff_alpha(rows, 4, ordinal=ordinal))
    expected = brute_alpha(rows, ordinal)
    assert found == pytest.approx(expected, abs=1e-9, nan_ok=True)


@given(ratings=ratings, level=st.sampled_from(["nominal", "ordinal"]))
def test_alpha_equals_the_package_krippendorff(ratings, level):
    package = pytest.importorskip("krippendorff")
    rows = list(zip(*ratings, strict=True))
    found = value_of(krippendorff_alpha(rows, 4, ordinal=level == "ordinal"))
    assume(not math.isnan(found))
    data = np.array([[np.nan if a == MISSING else a for a in row] for row in rows], float)
    expected = package.alpha(data, level_of_measurement=level, value_domain=np.arange(4.0))
    assert found == pytest.approx(expected, abs=1e-9)


def test_alpha_of_published_data():
    rows = [[MISSING if a is None else a - 1 for a in row] for row in PUBLISHED]
    assert value_of(krippendorff_alpha(rows, 5)) == pytest.approx(0.743, abs=5e-4)
    assert value_of(krippendorff_alpha(rows, 5, ordinal=True)) == pytest.approx(0.815, abs=5e-4)


@given(ratings=st.lists(st.lists(codes, min_size=3, max_size=3), min_size=2, max_size=40))
def test_alpha_without_missing_answers_is_fleiss_kappa_with_its_small_sample_term(ratings):
    rows = np.array(ratings).T
    found = value_of(krippendorff_alpha(rows, 4))
    assume(not math.isnan(found))
    table = np.stack([(rows == code).sum(axis=0) for code in range(4)], axis=1)
    fleiss = inter_rater.fleiss_kappa(table)
    n = rows.size
    assert found == pytest.approx(fleiss + (1 - fleiss) / n, abs=1e-9)


@given(pairs=pairs)
def test_ranking_is_the_share_of_pairs_in_order(pairs):
    positive, score = [a > 1 for a, _ in pairs], [b for _, b in pairs]
    compared = [
        (s > t) + (s == t) / 2
        for p, s in zip(positive, score, strict=True)
        if p
        for q, t in zip(positive, score, strict=True)
        if not q
    ]
    expected = float(np.mean(compared)) if compared else float("nan")
    assert measures.ranking(positive, score) == pytest.approx(expected, abs=1e-12, nan_ok=True)


@given(pairs=pairs)
def test_auc_and_macro_f1_of_sums_equal_scikit_learn(pairs):
    first, second = map(list, zip(*pairs, strict=True))
    positive = [a > 1 for a in first]
    expected = measures.ranking(positive, second)
    assert value_of(level_auc(positive, second, 4)) == pytest.approx(expected, nan_ok=True)
    expected = measures.macro_f1(first, second)
    assert value_of(macro_f1(first, second, 4)) == pytest.approx(expected, abs=1e-12)
    same_answers = sum(a == b for a, b in pairs) / len(pairs)
    assert agreement(first, second).value == pytest.approx(same_answers)


def test_the_interval_is_that_of_a_resampling_loop():
    rng = np.random.default_rng(0)
    first = rng.integers(0, 3, 150)
    second = np.where(rng.random(150) < 0.7, first, rng.integers(0, 3, 150))
    found = estimate(kappa(first, second, 3))
    drawn = [rng.integers(0, 150, 150) for _ in range(600)]
    looped = [measures.kappa(first[rows].tolist(), second[rows].tolist()) for rows in drawn]
    low, high = np.percentile(looped, [2.5, 97.5])
    assert found.value == pytest.approx(measures.kappa(first.tolist(), second.tolist()))
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.03)
    assert estimate(kappa(first, second, 3)) == found


def test_the_interval_covers_the_true_value_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(200):
        labels = rng.integers(1, 5, 120)
        kept = rng.binomial(labels, 0.7)
        found = estimate(ratio_of_sums(kept, labels), rounds=400)
        held += found.low <= 0.7 <= found.high
    assert 180 <= held <= 199


def test_what_cannot_be_estimated_is_none():
    assert estimate(mean([])) == Estimate(None, None, None, 0)
    assert estimate(kappa([0, 0], [0, 0], 2)) == Estimate(None, None, None, 2)
    assert agreement([0, MISSING], [MISSING, 1]) == Estimate(None, None, None, 0)
    assert estimate(mean([1.0, 1.0])) == Estimate(1.0, None, None, 2)
    assert agreement([0] * 5, [0] * 5).low < 0.7
    assert estimate(kappa([0, MISSING], [MISSING, 1], 2)).conversations == 0
    assert estimate(label_f1([0], [0], [0])).value is None
    alone = krippendorff_alpha([[0, MISSING], [MISSING, 1]], 2)
    assert estimate(alone).conversations == 0


def test_lists_are_compared_exactly_by_spelling_and_by_cluster():
    first, second = [["Honesty", "care"], [], ["order"]], [["honesty"], [], ["order", "care"]]
    exact = same(first, second)
    assert exact.matched.tolist() == [0, 0, 1]
    folded = same(first, second, str.casefold)
    assert folded.matched.tolist() == [1, 0, 1]
    assert value_of(folded.f1()) == pytest.approx(2 * 2 / (3 + 3))
    assert value_of(folded.jaccard()) == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert (value_of(folded.recall()), value_of(folded.precision())) == (2 / 3, 2 / 3)
    cluster = {"Honesty": "virtue", "honesty": "virtue", "care": "virtue"}
    grouped = same(first, second, cluster.get)
    assert (grouped.first.tolist(), grouped.matched.tolist()) == ([1, 0, 0], [1, 0, 0])


def test_labels_that_are_near_match_one_to_one():
    def letters(a, b):
        return np.array([[len(set(x) & set(y)) / len(set(x) | set(y)) for y in b] for x in a])

    found = near([["abc", "abd"], []], [["abc"], ["xyz"]], letters)
    assert found.matched.tolist() == [1, 0]
    assert found.second.tolist() == [1, 1]
    assert found.where(np.array([True, False])).first.tolist() == [2]


def test_importing_the_estimates_loads_no_library_of_metrics():
    import subprocess

    code = "import vitw_ray.agreement.label_lists, sys; print('sklearn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
