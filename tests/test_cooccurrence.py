"""Co-occurrence: pairs of labels within a conversation, against counting one by one."""

from collections import Counter
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitw_ray.records import COOCCURRENCE
from vitw_ray.statistics import cooccurrence
from vitw_ray.statistics.contingency import CodedFacet, deduplicate
from vitw_ray.statistics.cooccurrence import PairCounts

pytestmark = pytest.mark.filterwarnings("error")

NAMES = [f"label {i}" for i in range(7)]
conversations = st.lists(st.sets(st.integers(0, 6), max_size=6), max_size=40)


def facet(held) -> CodedFacet:
    pairs = [(row, code) for row, codes in enumerate(held) for code in codes]
    return CodedFacet(
        *deduplicate([row for row, _ in pairs], [code for _, code in pairs]), len(NAMES)
    )


def table(counts: PairCounts):
    return cooccurrence.cooccurrence(counts, "ai_values", NAMES)


@given(conversations, st.booleans(), st.sampled_from([2, 1 << 15]))
def test_each_pair_is_counted_once_per_conversation_dense_or_sparse(held, sparse, rows):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cooccurrence, "DENSE_LABELS", 0 if sparse else 4096)
        patch.setattr(cooccurrence, "_ROWS", rows)
        result = table(PairCounts.of(facet(held)))
    expected = Counter(pair for codes in held for pair in combinations(sorted(codes), 2))
    found = {(row["label_a"], row["label_b"]): row["conversations"] for row in result.to_pylist()}
    assert found == {(NAMES[a], NAMES[b]): n for (a, b), n in expected.items()}
    assert list(found) == sorted(found)
    assert result.schema == COOCCURRENCE


@given(conversations, st.lists(st.integers(0, 40), max_size=4), st.randoms(), st.booleans())
def test_any_split_of_the_rows_in_any_order_gives_the_same_table(held, cuts, random, sparse):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cooccurrence, "DENSE_LABELS", 0 if sparse else 4096)
        bounds = [0, *sorted(min(cut, len(held)) for cut in cuts), len(held)]
        blocks = [PairCounts.of(facet(held[low:high])) for low, high in pairwise(bounds)]
        random.shuffle(blocks)
        total = PairCounts.zero(len(NAMES))
        for block in blocks:
            total = total.add(block)
        assert table(total).equals(table(PairCounts.of(facet(held))))


@pytest.mark.parametrize("size", [0, 1, 2])
def test_a_facet_with_fewer_than_two_labels_has_no_pairs(size):
    empty = CodedFacet(np.zeros(0, np.int64), np.zeros(0, np.int32), size)
    assert cooccurrence.cooccurrence(PairCounts.of(empty), "ai_values", NAMES[:size]).num_rows == 0


def test_pairs_of_different_vocabularies_do_not_add():
    with pytest.raises(ValueError, match="cannot add"):
        PairCounts.zero(2).add(PairCounts.zero(3))
