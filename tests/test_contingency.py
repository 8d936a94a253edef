"""Counts of conversations equal those of sets, for any blocks in any order."""

from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitw_ray.statistics import contingency
from vitw_ray.statistics.contingency import (
    CodedFacet,
    Counts,
    SparseCounts,
    code_of_row,
    cross,
    deduplicate,
    to_ancestors,
)

pytestmark = pytest.mark.filterwarnings("error")

A_SIZE, B_SIZE = 7, 5


def facet(held: list[set[int]], size: int) -> CodedFacet:
    pairs = [(row, code) for row, codes in enumerate(held) for code in sorted(codes)]
    rows, codes = zip(*pairs, strict=True) if pairs else ((), ())
    return CodedFacet(np.array(rows, np.int64), np.array(codes, np.int32), size)


def codes_of_conversations(size: int, most: int = 6) -> st.SearchStrategy[set[int]]:
    return st.sets(st.integers(0, size - 1), max_size=most)


conversations = st.lists(
    st.tuples(codes_of_conversations(A_SIZE), codes_of_conversations(B_SIZE)), max_size=30
)


def same(a: Counts, b: Counts) -> bool:
    return (
        a.conversations == b.conversations
        and np.array_equal(a.rows, b.rows)
        and np.array_equal(a.columns, b.columns)
        and np.array_equal(a.both, b.both)
        and a.both.dtype == b.both.dtype == np.int64
    )


def count(rows: list[tuple[set[int], set[int]]]) -> Counts:
    return Counts.of(
        facet([a for a, _ in rows], A_SIZE), facet([b for _, b in rows], B_SIZE), len(rows)
    )


@settings(deadline=None)
@given(conversations, st.sampled_from([1, 3, 1 << 20]))
def test_cross_and_presence_equal_counting_sets(rows, chunk):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contingency, "_CHUNK", chunk)
        counts = count(rows)
    expected = np.zeros((A_SIZE, B_SIZE), np.int64)
    for a, b in rows:
        for i in a:
            for j in b:
                expected[i, j] += 1
    assert np.array_equal(counts.both, expected)
    assert counts.rows.tolist() == [sum(i in a for a, _ in rows) for i in range(A_SIZE)]
    assert counts.columns.tolist() == [sum(j in b for _, b in rows) for j in range(B_SIZE)]


@pytest.mark.parametrize(("most_a", "most_b"), [(1, 6), (6, 1), (1, 1)])
def test_a_facet_with_one_code_per_conversation_counts_the_same_on_either_side(most_a, most_b):
    random = Random(0)
    a = [set(random.sample(range(A_SIZE), random.randint(0, most_a))) for _ in range(200)]
    b = [set(random.sample(range(B_SIZE), random.randint(0, min(most_b, 5)))) for _ in range(200)]
    matrix = cross(facet(a, A_SIZE), facet(b, B_SIZE), 200)
    expected = [
        [sum(i in x and j in y for x, y in zip(a, b, strict=True)) for j in range(B_SIZE)]
        for i in range(A_SIZE)
    ]
    assert matrix.tolist() == expected
    assert matrix.flags.c_contiguous


@settings(deadline=None)
@given(conversations, st.lists(st.integers(0, 30), max_size=5), st.randoms())
def test_any_split_of_the_rows_in_any_order_gives_the_same_counts(rows, cuts, random):
    bounds = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    blocks = [count(rows[low:high]) for low, high in pairwise(bounds)]
    random.shuffle(blocks)
    total = Counts.zero(A_SIZE, B_SIZE)
    for block in blocks:
        total = total.add(block)
    assert same(total, count(rows))


@pytest.mark.parametrize("most_b", [1, B_SIZE])
def test_chunks_of_keys_do_not_grow_with_the_number_of_rows(most_b, monkeypatch):
    monkeypatch.setattr(contingency, "_CHUNK", 100)
    rows = 2_000
    a, b = facet([{0, 3, 6}] * rows, A_SIZE), facet([set(range(most_b))] * rows, B_SIZE)
    keys_of = contingency._keys_by_lookup if b.is_single else contingency._keys_by_expansion
    sizes = [keys.size for keys in keys_of(a, b, rows)]
    assert sum(sizes) == rows * 3 * most_b
    assert max(sizes) <= 100 + B_SIZE


def test_tables_of_different_vocabularies_are_not_added():
    with pytest.raises(ValueError, match="cannot add"):
        Counts.zero(1, 3).add(Counts.zero(2, 3))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2**40), st.integers(0, 2**20)), max_size=40))
def test_deduplicate_sorts_and_keeps_each_pair_once(pairs):
    rows, codes = deduplicate([row for row, _ in pairs], [code for _, code in pairs])
    assert list(zip(rows.tolist(), codes.tolist(), strict=True)) == sorted(set(pairs))
    assert (rows.dtype, codes.dtype) == (np.int64, np.int32)


@settings(deadline=None)
@given(st.lists(codes_of_conversations(A_SIZE), max_size=20))
def test_an_ancestor_counts_once_per_conversation_and_labels_without_one_are_dropped(held):
    ancestor = [0, 0, 1, -1, 1, 2, 0]
    up = to_ancestors(facet(held, A_SIZE), ancestor, 3)
    sets = [{ancestor[code] for code in codes} - {-1} for codes in held]
    assert up.presence.tolist() == [sum(i in codes for codes in sets) for i in range(3)]


@pytest.mark.parametrize(
    ("rows", "codes", "message"),
    [
        ([0, 1], [0], "differ in shape"),
        ([1, 0], [0, 0], "not sorted"),
        ([0, 0], [1, 1], "not distinct"),
        ([0], [4], "outside"),
        ([0], [-1], "outside"),
        ([-1], [0], "negative"),
    ],
)
def test_a_facet_with_invalid_pairs_or_codes_is_refused(rows, codes, message):
    with pytest.raises(ValueError, match=message):
        CodedFacet(np.array(rows, np.int64), np.array(codes, np.int32), 4)


def test_rows_beyond_the_block_are_refused():
    late = facet([set(), set(), {1}], 2)
    with pytest.raises(ValueError, match="row 2 in a block of 2"):
        cross(late, facet([{0}], 1), 2)


def test_code_of_row_is_minus_one_without_a_code_and_refuses_several_codes():
    assert code_of_row(facet([{3}, set(), {0}], 4), 4).tolist() == [3, -1, 0, -1]
    with pytest.raises(ValueError, match="more than one"):
        code_of_row(facet([{1, 2}], 4), 1)


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), max_size=30), st.integers(0, 30))
def test_sparse_counts_add_up_to_the_counts_of_all_keys(keys, cut):
    array = np.array(keys, np.int64)
    parts = SparseCounts.of(array[cut:]).add(SparseCounts.of(array[:cut]))
    expected = {key: keys.count(key) for key in sorted(set(keys))}
    assert dict(zip(parts.keys.tolist(), parts.counts.tolist(), strict=True)) == expected
    assert parts.keys.tolist() == list(expected)
    assert (parts.keys.dtype, parts.counts.dtype) == (np.int64, np.int64)
