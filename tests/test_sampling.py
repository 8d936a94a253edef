"""Cutoffs do not depend on order or blocks, keep the exact number of rows, and are fair."""

import random
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from vitw_ray.conversations.sampling import Sketch, balanced_cutoffs, even_quotas, sample_hash

ROWS = st.lists(st.tuples(st.integers(0, 60), st.sampled_from(["a", "b", "", "ü"])), max_size=60)


def sketch(rows, k):
    return Sketch.of([hash_ for hash_, _ in rows], [group for _, group in rows], k)


def contents(part):
    return part.k, part.groups.tolist(), part.hashes.tolist()


def distinct(rows):
    """Reference: the sorted distinct hashes of each group."""
    return {group: sorted({hash_ for hash_, other in rows if other == group}) for _, group in rows}


def drawn(rows, cutoffs):
    """The number of distinct rows kept by these cutoffs, by group."""
    kept = {(group, hash_) for hash_, group in rows if hash_ <= cutoffs.get(group, -1)}
    return Counter(group for group, _ in kept)


@settings(deadline=None)
@given(ROWS, st.integers(1, 8))
def test_a_sketch_has_the_smallest_distinct_hashes_of_each_group(rows, k):
    expected = [(g, h) for g, hashes in sorted(distinct(rows).items()) for h in hashes[:k]]
    made = sketch(rows, k)
    assert list(zip(made.groups.tolist(), made.hashes.tolist(), strict=True)) == expected


@settings(deadline=None)
@given(ROWS, st.integers(1, 8), st.data())
def test_blocks_and_the_order_of_merging_do_not_matter(rows, k, data):
    shuffled = data.draw(st.permutations(rows))
    marks = data.draw(st.lists(st.integers(0, len(rows)), max_size=5).map(sorted))
    bounds = [0, *marks, len(rows)]
    parts = [sketch(shuffled[a:b], k) for a, b in pairwise(bounds)]
    while len(parts) > 1:
        one = parts.pop(data.draw(st.integers(0, len(parts) - 1)))
        place = data.draw(st.integers(0, len(parts) - 1))
        parts[place] = one.merge(parts[place])
    assert contents(parts[0]) == contents(sketch(rows, k))


@settings(deadline=None)
@given(ROWS, st.integers(1, 8))
def test_merging_twice_changes_nothing(rows, k):
    once = sketch(rows, k)
    assert contents(once.merge(once, once)) == contents(once)


def test_merging_many_sketches_at_once_equals_merging_one_by_one():
    parts = [sketch([(n, "a"), (n + 1, "b")], 3) for n in range(9)]
    one_by_one = parts[0]
    for part in parts[1:]:
        one_by_one = one_by_one.merge(part)
    assert contents(parts[0].merge(*parts[1:])) == contents(one_by_one)


def test_sketches_of_different_k_do_not_merge():
    with pytest.raises(ValueError, match="different k"):
        sketch([], 2).merge(sketch([], 3))


@settings(deadline=None)
@given(ROWS, st.integers(1, 40))
def test_a_sample_has_exactly_the_size_that_was_asked_for(rows, size):
    cutoffs = balanced_cutoffs(sketch(rows, size), size)
    there = sum(map(len, distinct(rows).values()))
    assert drawn(rows, cutoffs).total() == min(size, there)


@settings(deadline=None)
@given(ROWS, st.integers(1, 40))
def test_groups_of_a_balanced_sample_differ_by_at_most_one_unless_exhausted(rows, size):
    kept = drawn(rows, balanced_cutoffs(sketch(rows, size), size))
    able = [kept[group] for group, hashes in distinct(rows).items() if len(hashes) > kept[group]]
    assert not able or max(kept.values(), default=0) - min(able) <= 1


@settings(deadline=None)
@given(ROWS, st.integers(1, 20), st.integers(0, 20))
def test_a_sketch_with_larger_k_draws_the_same_sample(rows, size, more):
    # One group, because groups can change their order in the division of the remainder.
    rows = [(hash_, "") for hash_, _ in rows]
    assert balanced_cutoffs(sketch(rows, size + more), size) == balanced_cutoffs(
        sketch(rows, size), size
    )


def test_a_larger_sample_contains_the_smaller_one():
    rows = [(sample_hash(f"id{n}", 0), "") for n in range(500)]
    small, large = (balanced_cutoffs(sketch(rows, n), n)[""] for n in (50, 60))
    assert small < large


@settings(deadline=None)
@given(ROWS, st.integers(1, 5))
def test_a_cap_limits_large_accounts_and_keeps_all_of_the_others(rows, cap):
    cutoffs = sketch(rows, cap).cutoffs()
    assert set(cutoffs) == {a for a, hashes in distinct(rows).items() if len(hashes) >= cap}
    for account, hashes in distinct(rows).items():
        kept = [hash_ for hash_ in hashes if hash_ <= cutoffs.get(account, hash_)]
        assert kept == hashes[:cap]


@settings(deadline=None)
@given(st.lists(st.integers(0, 30), max_size=8), st.integers(0, 100))
def test_quotas_are_the_most_even_division(counts, size):
    quotas = even_quotas(counts, size)
    assert sum(quotas) == min(size, sum(counts))
    assert all(quota <= count for quota, count in zip(quotas, counts, strict=True))
    able = [quota for quota, count in zip(quotas, counts, strict=True) if quota < count]
    assert not able or max(quotas) - min(able) <= 1


def test_the_remainder_of_small_groups_goes_to_the_others():
    assert even_quotas([2, 100, 50, 100], 100) == [2, 33, 32, 33]


def test_a_sample_larger_than_k_is_rejected():
    with pytest.raises(ValueError, match="cannot give a sample of 3"):
        balanced_cutoffs(sketch([], 2), 3)


def test_extreme_hashes_are_drawn_like_others():
    rows = [(2**64 - 1, "a"), (0, "a"), (2**63, "b")]
    cutoffs = balanced_cutoffs(sketch(rows, 3), 3)
    assert cutoffs == {"a": 2**64 - 1, "b": 2**63}
    assert all(type(cutoff) is int for cutoff in cutoffs.values())


def test_the_hash_function_is_stable():
    assert sample_hash("wildchat_1", 0) == 1277912331319649327
    assert sample_hash("é", -7) != sample_hash("é", 7)


def test_similar_ids_spread_evenly_over_the_hash_range():
    ids = [f"{source}_{n:05d}" for source in ("a", "b") for n in range(20_000)]
    buckets = Counter(sample_hash(id_, 3) >> 58 for id_ in ids)
    assert len(buckets) == 64
    assert chisquare([buckets[b] for b in range(64)]).pvalue > 0.001


def test_every_id_is_equally_likely_over_seeds():
    ids = [f"id{n}" for n in range(40)]
    times = Counter()
    for seed in range(1500):
        hashes = {id_: sample_hash(id_, seed) for id_ in ids}
        cutoff = balanced_cutoffs(Sketch.of(list(hashes.values()), [""] * 40, 10), 10)[""]
        times.update(id_ for id_, hash_ in hashes.items() if hash_ <= cutoff)
    # Draws without replacement vary less than independent ones, so the test is conservative.
    assert sum(times.values()) == 15_000
    assert chisquare([times[id_] for id_ in ids]).pvalue > 0.001


def test_samples_of_two_seeds_are_independent():
    ids = [f"id{n}" for n in range(4000)]
    draws = []
    for seed in (0, 1):
        hashes = np.array([sample_hash(id_, seed) for id_ in ids], dtype=np.uint64)
        cutoff = balanced_cutoffs(Sketch.of(hashes, [""] * 4000, 1000), 1000)[""]
        draws.append(set(np.flatnonzero(hashes <= cutoff)))
    # Hypergeometric: mean 250, standard deviation 11.9.
    assert 200 < len(draws[0] & draws[1]) < 300


def test_shuffled_files_give_the_same_sample():
    ids = [f"id{n}" for n in range(1000)]
    models = ["m" if n % 10 else "rare" for n in range(1000)]
    kept = []
    for shuffle in range(3):
        order = random.Random(shuffle).sample(range(1000), 1000)
        rows = [(sample_hash(ids[n], 0), models[n]) for n in order]
        cutoffs = balanced_cutoffs(sketch(rows, 300), 300)
        kept.append({ids[n] for n in order if sample_hash(ids[n], 0) <= cutoffs[models[n]]})
    assert kept[0] == kept[1] == kept[2]
    assert Counter(models[int(id_[2:])] for id_ in kept[0]) == {"rare": 100, "m": 200}
