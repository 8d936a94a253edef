"""Blocks of texts depend only on the texts, not on who counted them or in which order."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from vitw_ray.storage import Storage
from vitw_ray.taxonomy.vectors.texts import Texts, read_block, write_counts

counts = st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=8), st.integers(1, 9))


def written(storage, parts):
    runs = [path for part in parts for path in write_counts(storage, "private/runs", part)]
    return Texts("tasks", tuple(runs), sum(map(len, parts)))


def blocks_of(storage, texts, blocks):
    tables = [read_block(storage, texts, block, blocks) for block in range(blocks)]
    return [
        list(zip(t["text"].to_pylist(), t["conversations"].to_pylist(), strict=True))
        for t in tables
    ]


@given(st.lists(counts, max_size=4), st.sampled_from([1, 2, 4, 8]))
def test_a_text_is_in_one_block_once_and_its_counts_are_added(tmp_path_factory, parts, blocks):
    storage = Storage(str(tmp_path_factory.mktemp("texts")))
    found = blocks_of(storage, written(storage, parts), blocks)
    total = Counter()
    for part in parts:
        total.update(part)
    pairs = [pair for block in found for pair in block]
    assert len(pairs) == len(total)
    assert dict(pairs) == dict(total)
    assert all(block == sorted(block) for block in found)


@given(counts, st.randoms())
def test_a_new_text_changes_only_one_block(tmp_path_factory, part, random):
    storage = Storage(str(tmp_path_factory.mktemp("texts")))
    before = blocks_of(storage, written(storage, [part]), 8)
    new = random.choice("abc") + "".join(part)  # longer than all existing texts
    after = blocks_of(storage, written(storage, [part, {new: 1}]), 8)
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 1


@given(st.integers(1, 10**8), st.sampled_from([8, 4096, 65_536]))
def test_blocks_have_bounded_sizes_and_their_number_is_a_power_of_two(rows, size):
    blocks = Texts("tasks", (), rows).blocks(size)
    assert rows / blocks <= size
    assert blocks == 1 or rows / blocks > size / 2
    assert blocks & (blocks - 1) == 0
