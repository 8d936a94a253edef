"""Agglomerative clustering: average linkage without damping, and effects of damping and weights."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from sklearn.metrics import adjusted_rand_score

from vitw_ray.taxonomy.agglomerate import agglomerate


def similarities(n, seed):
    half = np.triu(np.random.default_rng(seed).random((n, n)), 1)
    return half + half.T + np.eye(n)


def ones(n):
    return np.ones(n, np.int64)


@given(st.integers(2, 40), st.integers(0, 10**6), st.data())
def test_without_damping_it_equals_scipys_average_linkage(n, seed, data):
    size = data.draw(st.integers(1, n))
    similarity = similarities(n, seed)
    tree = linkage(squareform(1 - similarity, checks=False), "average")
    expected = fcluster(tree, size, "maxclust")
    assert adjusted_rand_score(expected, agglomerate(similarity, ones(n), size, damping=0)) == 1.0


@settings(max_examples=20)
@given(st.integers(1, 16), st.integers(0, 10**6), st.floats(0, 1), st.data())
def test_every_merge_is_the_cheapest(n, seed, damping, data):
    """The definition, in three nested loops."""
    size = data.draw(st.integers(1, n))
    weights = np.random.default_rng(seed).integers(1, 50, n)
    similarity = similarities(n, seed)
    groups = [[node] for node in range(n)]

    def cost(one, other):
        heavy = weights[one].sum(), weights[other].sum()
        pairs = np.outer(weights[one], weights[other])
        distance = np.average(1 - similarity[np.ix_(one, other)], weights=pairs)
        return distance * (heavy[0] * heavy[1] / sum(heavy)) ** damping

    while len(groups) > size:
        pairs = [(a, b) for a in range(len(groups)) for b in range(a + 1, len(groups))]
        a, b = min(pairs, key=lambda pair: cost(groups[pair[0]], groups[pair[1]]))
        groups[a] += groups.pop(b)
    found = agglomerate(similarity, weights, size, damping)
    assert sorted(map(sorted, groups)) == [np.flatnonzero(found == c).tolist() for c in range(size)]


@given(st.integers(1, 30), st.integers(0, 3), st.data())
def test_the_number_of_clusters_is_exact_even_if_all_nodes_are_equal(n, kinds, data):
    size = data.draw(st.integers(1, n))
    kind = np.random.default_rng(n).integers(0, kinds + 1, n)
    found = agglomerate((kind[:, None] == kind).astype(float), ones(n), size)
    assert set(found.tolist()) == set(range(size))


def test_damping_delays_merges_of_large_clusters():
    # Two tight groups of five, near each other, and two outliers that are far from all.
    similarity = np.full((12, 12), 0.3)
    similarity[:5, :5] = similarity[5:10, 5:10] = 1.0
    similarity[:5, 5:10] = similarity[5:10, :5] = 0.4
    np.fill_diagonal(similarity, 1.0)
    plain = agglomerate(similarity, ones(12), 3, damping=0)
    damped = agglomerate(similarity, ones(12), 3, damping=0.5)
    assert np.bincount(plain).tolist() == [10, 1, 1]
    assert np.bincount(damped).tolist() == [5, 5, 2]


@pytest.mark.parametrize("scale", [1, 1000])
def test_only_the_ratios_of_weights_matter(scale):
    similarity, weights = similarities(30, 4), np.arange(1, 31)
    found = agglomerate(similarity, weights * scale, 6)
    assert np.array_equal(found, agglomerate(similarity, weights, 6))


def test_the_similarities_are_not_modified():
    similarity = similarities(9, 1)
    before = similarity.copy()
    agglomerate(similarity, ones(9), 3)
    assert np.array_equal(similarity, before)
