"""What a Parquet file would cost is known before any of it is decompressed."""

import contextlib
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vitw_ray.conversations import parquet_pages, rows
from vitw_ray.conversations.parquet import read_parquet
from vitw_ray.conversations.parquet_pages import _Header, _pages
from vitw_ray.conversations.rows import LARGE_AT_ONCE, Reject, read_json

MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string())])


def file_of(texts, **options):
    messages = [[{"role": "user", "content": text}] for text in texts]
    table = pa.table({"conversation_id": [*map(str, range(len(texts)))], "messages": messages})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)
    buffer.seek(0)
    return buffer


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("compression", ["none", "snappy", "zstd", "gzip"])
@pytest.mark.parametrize("dictionary", [True, False])
def test_pages_add_up_to_what_the_footer_says(version, compression, dictionary):
    texts = [f"text {n} " * (n % 50) for n in range(3000)]
    buffer = file_of(
        texts,
        data_page_version=version,
        compression=compression,
        use_dictionary=dictionary,
        data_page_size=4096,
        write_batch_size=64,
        row_group_size=1000,
    )
    metadata = pq.ParquetFile(buffer).metadata
    for group in range(metadata.num_row_groups):
        for number in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(number)
            pages = [*_pages(buffer, chunk)]
            assert pages
            held = sum(values for _, values in pages)
            assert held >= chunk.num_values  # and the entries of the dictionary
            assert sum(size for size, _ in pages) <= chunk.total_uncompressed_size


@pytest.mark.parametrize("dictionary", [True, False])
def test_a_page_that_is_too_large_is_refused_and_other_groups_are_read(dictionary, monkeypatch):
    monkeypatch.setattr(parquet_pages, "MOST_PAGE_BYTES", 1 << 20)
    texts = ["short", "a" * (2 << 20), "short"]
    buffer = file_of(texts, row_group_size=1, compression="zstd", use_dictionary=dictionary)
    assert len(buffer.getvalue()) < 10_000
    found = [row for _, row in read_parquet(buffer, None)]
    assert [isinstance(row, Reject) for row in found] == [False, True, False]
    assert found[1] == Reject("row_group_unreadable")


def test_a_page_with_too_many_values_is_refused(monkeypatch):
    monkeypatch.setattr(parquet_pages, "MOST_PAGE_VALUES", 10)
    assert [r for _, r in read_parquet(file_of(["a"] * 11), None)] == [
        Reject("row_group_unreadable")
    ]
    assert len([*read_parquet(file_of(["a"] * 9), None)]) == 9


def test_no_bytes_are_a_header_that_takes_long():
    for data in (b"\xff" * 5000, bytes(range(256)) * 20, b"\x1c" * 5000, b"\x15\x00" * 3000):
        with contextlib.suppress(parquet_pages.Malformed):
            assert _Header.read(io.BytesIO(data), 0)


def test_large_rows_of_all_threads_take_turns(monkeypatch):
    monkeypatch.setattr(rows, "_SMALL_BYTES", 1000)
    line = json.dumps({"messages": ["x" * 1000]}).encode() + b"\n"
    readers = [read_json(io.BytesIO(line * 2), "lines") for _ in range(LARGE_AT_ONCE)]
    for reader in readers:
        assert isinstance(next(reader), dict)
    assert not rows._large_rows.acquire(blocking=False)
    small = read_json(io.BytesIO(b'{"a": 1}\n'), "lines")
    assert next(small) == {"a": 1}  # needs no turn
    readers.pop()
    reader = readers[0]  # nothing holds the other one any more: it is closed
    assert rows._large_rows.acquire(blocking=False)
    rows._large_rows.release()
    for reader in readers:
        assert len([*reader]) == 1
