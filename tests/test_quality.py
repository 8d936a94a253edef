"""Quality of a tree: the measures follow their definitions."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics.cluster import pair_confusion_matrix

from vitw_ray.taxonomy.quality import (
    KEPT_SHARE,
    describe_levels,
    pairwise_f1,
    resampled_agreement,
    silhouette,
)

clusterings = st.integers(2, 30).flatmap(
    lambda n: st.tuples(*(st.lists(st.integers(-2, 5), min_size=n, max_size=n) for _ in range(2)))
)


@given(clusterings)
def test_pairwise_f1_equals_scikit_learns_pair_counts(two):
    _, false_positive, false_negative, both = pair_confusion_matrix(*two).ravel()
    found = 2 * both + false_positive + false_negative
    expected = 2 * both / found if found else 1.0
    assert np.isclose(pairwise_f1(*two), expected)


def test_levels_are_described_from_the_leaves_up():
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 1, 1, 2, 3]]
    levels = [np.array([0, 0, 1, 1, 2, 3], np.int32), np.array([0, 1, 1, 1], np.int32)]
    first, second = describe_levels(vectors, levels)
    assert first == {
        "level": 1,
        "clusters": 4,
        "leaves": [1, 1.5, 2],
        "singletons": 2,
        "largest_share": 0.3333,
        "silhouette": 0.6667,  # 1 for the four leaves in pairs, 0 for the two singletons
    }
    assert (second["clusters"], second["leaves"], second["singletons"]) == (2, [2, 3.0, 4], 0)


def test_silhouette_is_undefined_for_one_cluster_or_only_singletons():
    vectors = np.eye(3, dtype=np.float32)
    assert silhouette(vectors, np.zeros(3, np.int32)) is None
    assert silhouette(vectors, np.arange(3, dtype=np.int32)) is None
    assert silhouette(vectors[:1], np.zeros(1, np.int32)) is None


def test_silhouette_of_many_leaves_is_computed_on_a_sample():
    vectors = np.tile(np.eye(2, dtype=np.float32), (5000, 1))
    assert silhouette(vectors, np.tile(np.array([0, 1], np.int32), 5000)) == 1.0


LEVELS = [np.repeat(np.arange(10, dtype=np.int32), 10), np.repeat(np.arange(2, dtype=np.int32), 5)]


def test_a_stable_tree_agrees_with_the_tree_of_nine_tenths_of_its_leaves():
    kept_share = []

    def grow(kept):
        kept_share.append(kept.mean())
        return [LEVELS[0][kept], LEVELS[1]]

    assert resampled_agreement(LEVELS, grow) == [1.0, 1.0]
    assert kept_share == [0.9] == [KEPT_SHARE]


def test_an_unstable_tree_agrees_only_at_chance_level():
    def grow(kept):
        drawn = np.random.default_rng(0).integers(0, 10, kept.sum())
        return [drawn, LEVELS[1]]

    found = resampled_agreement(LEVELS, grow)
    assert all(abs(level) < 0.1 for level in found)


def test_a_tree_of_many_leaves_is_not_rebuilt(monkeypatch):
    monkeypatch.setattr("vitw_ray.taxonomy.quality.MANY_LEAVES", 99)
    assert resampled_agreement(LEVELS, None) == [None, None]
