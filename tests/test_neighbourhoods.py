"""Neighbourhoods partition the rows of a level, and list the nearest rows outside."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vitw_ray.taxonomy.neighbourhoods import (
    OUTSIDE,
    KMeansSettings,
    divide,
    neighbourhoods,
    spread,
)

SETTINGS = KMeansSettings(seed=0, iterations=10)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def blobs(sizes, seed=0):
    """Tight groups of points around orthogonal directions."""
    rng = np.random.default_rng(seed)
    around = np.repeat(np.eye(len(sizes), 8), sizes, axis=0)
    return unit(around + rng.standard_normal(around.shape) * 0.02)


@given(
    st.integers(1, 120),
    st.integers(1, 9),
    st.integers(1, 20),
    st.integers(1, 30),
    st.integers(0, 99),
)
def test_every_row_is_in_one_neighbourhood_of_bounded_size(n, distinct, parts, most, seed):
    rng = np.random.default_rng(seed)
    vectors = unit(rng.standard_normal((distinct, 5)))[rng.integers(0, distinct, n)]
    found = neighbourhoods(vectors, parts, most, SETTINGS)
    assert sorted(row for place in found for row in place.members) == list(range(n))
    for place in found:
        assert 1 <= len(place.members) <= most
        assert not set(place.members) & set(place.outside)
        assert len(set(place.outside)) == min(OUTSIDE, n - len(place.members))


def test_close_rows_stay_in_one_part():
    found = divide(blobs([30, 20, 10]), 3, 40, SETTINGS)
    assert sorted(sorted(rows.tolist()) for rows in found) == [
        list(range(30)),
        list(range(30, 50)),
        list(range(50, 60)),
    ]


def test_outside_rows_are_sorted_by_distance():
    angles = np.radians([0, 1, 2, 10, 90, 91, 92])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    first = next(p for p in neighbourhoods(vectors, 2, 9, SETTINGS) if 0 in p.members)
    assert set(first.members) == {0, 1, 2, 3}
    assert first.outside == (4, 5, 6)


def test_a_large_neighbourhood_is_divided_again():
    found = divide(blobs([90, 5]), 2, 40, SETTINGS)
    assert all(len(rows) <= 40 for rows in found)
    assert len(found) >= 4


def test_equal_rows_are_divided_evenly():
    found = divide(np.tile(blobs([1]), (100, 1)), 1, 40, SETTINGS)
    assert [len(rows) for rows in found] == [34, 33, 33]


@given(st.integers(1, 60), st.integers(0, 70), st.integers(0, 99))
def test_representative_rows_are_distinct_and_as_many_as_requested(n, k, seed):
    vectors = unit(np.random.default_rng(seed).standard_normal((n, 5)))
    chosen = spread(vectors, k, SETTINGS)
    assert len(set(chosen)) == len(chosen) == max(1, min(k, n))
    assert set(chosen) <= set(range(n))


def test_each_blob_has_one_representative_row():
    blob_of = np.repeat(range(4), [9, 3, 7, 1])
    chosen = spread(blobs([9, 3, 7, 1]), 4, SETTINGS)
    assert [blob_of[row] for row in chosen] == [0, 1, 2, 3]


def test_the_most_central_row_of_a_blob_represents_it():
    angles = np.radians([0, 3, 1.4, 90, 88, 93])
    assert spread(np.stack([np.cos(angles), np.sin(angles)], axis=1), 2, SETTINGS) == [2, 3]
