"""Measures of agreement equal their definitions and account for chance."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitw_ray.agreement.measures import (
    LabelScores,
    by_chance,
    kappa,
    label_scores,
    macro_f1,
    matches,
    mean_similarity,
    most_frequent,
    similarity_of,
)

pairs = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=60)


def letters(first, second):
    """Similarity of two words: Jaccard index of their letters."""
    return np.array([[len(set(a) & set(b)) / len(set(a) | set(b)) for b in second] for a in first])


@given(pairs=pairs)
def test_macro_f1_is_the_mean_over_all_categories_that_occur(pairs):
    gold, predicted = zip(*pairs, strict=True)
    scores = []
    for category in {*gold, *predicted}:
        both = sum(a == b == category for a, b in pairs)
        scores.append(2 * both / (gold.count(category) + predicted.count(category)))
    assert macro_f1(gold, predicted) == pytest.approx(sum(scores) / len(scores), abs=1e-12)


def test_answers_may_be_of_any_type_and_missing():
    first, second = ["a", None, "a", True], ["a", None, "b", True]
    assert 0 < kappa(first, second) < 1
    assert kappa(first, first) == 1.0
    assert math.isnan(kappa([None], [None]))
    assert math.isnan(kappa([], []))


def test_kappa_of_a_published_table():
    """Cohen's two raters of 50 proposals: 20 both yes, 5 and 10 different, 15 both no: 0.4."""
    first = ["yes"] * 25 + ["no"] * 25
    second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    assert kappa(first, second) == pytest.approx(0.4)


@given(st.integers(0, 6), st.integers(0, 6), st.randoms(use_true_random=False))
def test_matching_is_one_to_one_and_independent_of_order(rows, columns, random):
    table = np.random.default_rng(random.randrange(10**6)).random((rows, columns))
    count = matches(table, 0.5)
    assert count <= min(rows, columns)
    assert matches(table.T, 0.5) == count
    assert matches(table[::-1], 0.5) == count
    assert matches(table, 0.9) <= count


def test_one_predicted_label_cannot_match_two():
    scores = label_scores([["honesty", "honesty"]], [["honesty"]], letters)
    assert scores == LabelScores(matched=1, gold=2, predicted=1)
    assert (scores.precision, scores.recall) == (1.0, 0.5)
    assert scores.f1 == pytest.approx(2 / 3)


def test_the_most_similar_pair_is_matched_first():
    """0.9 takes the column that 0.7 needs, although two weaker pairs could both have matched."""
    assert matches(np.array([[0.7, 0.1], [0.9, 0.65]]), 0.6) == 1


def test_scores_are_summed_over_conversations_including_empty_lists():
    gold = [["care", "trust"], [], ["order"]]
    predicted = [["care"], ["trust"], []]
    assert label_scores(gold, predicted, letters) == LabelScores(1, 3, 2)
    assert label_scores([[]], [[]], letters).f1 == 0.0


def test_chance_level_is_the_score_of_shuffled_pairs():
    gold = ["a", "b"] * 200
    same = by_chance(kappa, gold, gold)
    assert same == pytest.approx(0.0, abs=0.05)
    assert by_chance(kappa, gold, gold) == same
    assert by_chance(kappa, gold, gold, seed=1) != same


def test_labels_count_once_per_conversation_and_ties_are_sorted_by_name():
    answers = [["b", "b", "b"], ["a"], ["c", "a"], ["c"]]
    assert most_frequent(answers, 3) == ["a", "c", "b"]


def test_similarity_is_the_cosine_of_the_given_rows():
    similarity = similarity_of(["x", "y"], np.array([[1.0, 0.0], [0.6, 0.8]]))
    assert similarity(["x"], ["y", "x"]).tolist() == [[0.6, 1.0]]
    assert mean_similarity(["x", "x"], ["x", "y"], similarity) == pytest.approx(0.8)
    with pytest.raises(KeyError):
        similarity(["z"], ["x"])


def test_answers_of_different_length_are_rejected():
    with pytest.raises(ValueError, match="longer"):
        kappa([1], [1, 2])
