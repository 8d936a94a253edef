"""Vectors are read back from storage bit for bit, and only with their own texts."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vitw_ray.errors import StageFailed
from vitw_ray.storage import Storage
from vitw_ray.taxonomy.vectors.vector_files import TextBlock, read_blocks, shares, write_vectors


def block_of(storage, number, texts, rows):
    block = TextBlock("tasks", number, len(texts), f"private/t{number}", f"private/v{number}")
    table = pa.table({"text": texts, "conversations": [1 + number] * len(texts)})
    pq.write_table(table, f"{storage.root}/{block.text_path}")
    write_vectors(storage, block.vector_path, rows)
    return block


@pytest.fixture
def storage(tmp_path) -> Storage:
    (tmp_path / "private").mkdir()
    return Storage(str(tmp_path))


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.data())
def test_blocks_are_read_back_in_order_bit_for_bit(tmp_path_factory, sizes, data):
    folder = tmp_path_factory.mktemp("vectors")
    (folder / "private").mkdir()
    storage = Storage(str(folder))
    rows = [data.draw(arrays(np.float32, (size, 3))) for size in sizes]
    blocks = [
        block_of(storage, n, [f"{n} {i}" for i in range(size)], rows[n])
        for n, size in enumerate(sizes)
    ]
    found = read_blocks(storage, blocks)
    assert found.vectors.tobytes() == np.concatenate(rows).tobytes()
    assert found.texts == [f"{n} {i}" for n, size in enumerate(sizes) for i in range(size)]
    assert found.conversations.tolist() == [
        1 + n for n, size in enumerate(sizes) for _ in range(size)
    ]


def test_a_vector_file_is_one_column_of_fixed_size_lists_and_no_text(storage):
    block = block_of(storage, 0, ["a", "b"], np.eye(2, 3, dtype=np.float32))
    schema = pq.read_schema(f"{storage.root}/{block.vector_path}")
    assert schema.names == ["vector"]
    assert schema.field("vector").type == pa.list_(pa.float32(), 3)


def test_existing_vectors_are_not_overwritten(storage):
    one, other = np.eye(2, 3, dtype=np.float32), np.ones((2, 3), np.float32)
    assert write_vectors(storage, "private/v", one)
    assert not write_vectors(storage, "private/v", other)
    block = block_of(storage, 0, ["a", "b"], one)
    assert (read_blocks(storage, [block]).vectors == one).all()


def test_a_file_with_the_wrong_number_of_vectors_is_named_in_the_error(storage):
    block = block_of(storage, 0, ["a", "b"], np.eye(3, dtype=np.float32))
    with pytest.raises(StageFailed, match=r"private/v0 has 3 vectors for 2 texts"):
        read_blocks(storage, [block])


@given(st.lists(st.integers(1, 4), min_size=1, max_size=6), st.integers(1, 9))
def test_shares_have_all_rows_in_order_and_enough_in_each(tmp_path_factory, sizes, rows):
    folder = tmp_path_factory.mktemp("shares")
    (folder / "private").mkdir()
    storage = Storage(str(folder))
    blocks = [
        block_of(storage, n, [f"{n} {i}" for i in range(size)], np.full((size, 2), n, np.float32))
        for n, size in enumerate(sizes)
    ]
    loaded = [share() for share in shares(storage, blocks, rows)]
    found = read_blocks(storage, blocks)
    assert (np.concatenate([vectors for vectors, _ in loaded]) == found.vectors).all()
    assert (np.concatenate([weights for _, weights in loaded]) == found.conversations).all()
    assert all(rows <= len(weights) < rows + 4 for _, weights in loaded[:-1])


def test_without_blocks_there_are_no_texts(storage):
    found = read_blocks(storage, [])
    assert (found.texts, len(found.vectors), len(found.conversations)) == ([], 0, 0)
