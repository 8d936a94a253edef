"""What a Parquet file would cost is known before any of it is decompressed."""

import contextlib
import io
import random
import threading
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vitw_ray.conversations import parquet_pages, rows
from vitw_ray.conversations.compact_thrift import Malformed, read_struct
from vitw_ray.conversations.parquet import read_parquet
from vitw_ray.conversations.parquet_pages import Leaf, column_chunks, cost_of
from vitw_ray.conversations.rows import FileBroken, Reject, every_turn

READ = Leaf(wanted=True, repeats=False, width=0)


def file_of(texts, **options):
    messages = [[{"role": "user", "content": text}] for text in texts]
    table = pa.table({"conversation_id": [*map(str, range(len(texts)))], "messages": messages})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)
    buffer.seek(0)
    return buffer


def footer_of(buffer):
    data = buffer.getvalue()
    return data[-8 - int.from_bytes(data[-8:-4], "little") : -8]


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("compression", ["none", "zstd"])
@pytest.mark.parametrize("dictionary", [True, False])
def test_pages_add_up_to_what_a_true_footer_says(version, compression, dictionary):
    buffer = file_of(
        [f"text {n} " * (n % 50) for n in range(900)],
        data_page_version=version,
        compression=compression,
        use_dictionary=dictionary,
        data_page_size=4096,
        write_batch_size=64,
        row_group_size=400,
        write_page_index=True,
    )
    metadata = pq.ParquetFile(buffer).metadata
    groups = column_chunks(footer_of(buffer))
    assert len(groups) == metadata.num_row_groups == 3
    for group, chunks in enumerate(groups):
        true = [metadata.row_group(group).column(n) for n in range(metadata.num_columns)]
        cost = cost_of(buffer, chunks, [READ] * len(chunks))
        assert cost.values >= sum(chunk.num_values for chunk in true)  # and dictionaries
        total = sum(chunk.total_uncompressed_size for chunk in true)
        assert 0.5 * total < cost.group_bytes <= total  # without the headers
        assert 0 < cost.page_bytes <= cost.group_bytes
        assert cost.fits


@pytest.mark.parametrize("dictionary", [True, False])
def test_a_page_that_is_too_large_is_refused_and_other_groups_are_read(dictionary, monkeypatch):
    monkeypatch.setattr(parquet_pages, "MOST_PAGE_BYTES", 1 << 20)
    texts = ["short", "a" * (2 << 20), "short"]
    buffer = file_of(texts, row_group_size=1, compression="zstd", use_dictionary=dictionary)
    assert len(buffer.getvalue()) < 10_000
    found = [row for _, row in read_parquet(buffer, None)]
    assert [isinstance(row, Reject) for row in found] == [False, True, False]
    assert found[1] == Reject("row_group_too_large")


def test_the_pages_of_all_columns_count_together(monkeypatch):
    monkeypatch.setattr(parquet_pages, "MOST_PAGE_BYTES", 3000)
    table = pa.table({f"c{n}": ["a" * 1000] for n in range(4)})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, use_dictionary=False)
    buffer.seek(0)
    assert [row for _, row in read_parquet(buffer, None)] == [Reject("row_group_too_large")]
    assert [len(row) for _, row in read_parquet(buffer, ["c0", "c1"])] == [2]


def test_many_values_and_many_pages_from_few_bytes_are_refused(monkeypatch):
    buffer = file_of(["a" * 500] * 200, compression="zstd", use_dictionary=False)
    assert len([*read_parquet(buffer, None)]) == 200
    for name in ("MOST_VALUES", "MOST_GROUP_BYTES", "_MOST_PAGES"):
        with monkeypatch.context() as patched:
            patched.setattr(parquet_pages, name, 0)
            reasons = {row.reason for _, row in read_parquet(buffer, None)}
        assert reasons <= {"row_group_too_large", "row_group_unreadable"}
        assert len(reasons) == 1
    monkeypatch.setattr(parquet_pages, "MOST_GROUP_BYTES", 0)
    monkeypatch.setattr(parquet_pages, "MOST_PACKED", 1e6)  # large, and not packed that much
    assert len([*read_parquet(buffer, None)]) == 200


def test_no_bytes_stop_the_reader_of_structs():
    draw = random.Random(1)
    damaged = [b"\xff" * 500, b"\x1c" * 5000, b"\x19" * 500, b"\x1b\xff\xff\x7f\x88" * 50, b""]
    damaged += [draw.randbytes(draw.randrange(60)) for _ in range(2000)]
    read = 0
    for data in damaged:
        with contextlib.suppress(Malformed):
            fields, end = read_struct(data, 0, {1: int, 2: {1: int}, 4: [{1: [{3: {5: int}}]}]})
            assert fields.keys() <= {1, 2, 4}
            assert 0 < end <= len(data)
            read += 1
    assert 0 < read < len(damaged)


@pytest.mark.parametrize(
    "data",
    [
        b"\x15\x02\x05\x02\x02\x00",  # field 1 twice
        b"\x18\x01a\x00",  # text where a number is due
        b"\x15\xfe\xff\xff\xff\xff\x0f\x00",  # an i32 beyond its range
        b"\x15\x02",  # no end
    ],
)
def test_what_decoders_may_read_in_two_ways_is_malformed(data):
    with pytest.raises(Malformed):
        read_struct(data, 0, {1: int})


def test_a_damaged_footer_costs_a_reject_or_the_file():
    draw = random.Random(2)
    sound = file_of(["one", "two", "three"] * 5, row_group_size=4).getvalue()
    length = int.from_bytes(sound[-8:-4], "little")
    lost = 0
    for _ in range(300):
        data = bytearray(sound)
        data[len(data) - 8 - draw.randrange(length)] = draw.randrange(256)
        try:
            found = [row for _, row in read_parquet(io.BytesIO(bytes(data)), None)]
            lost += any(isinstance(row, Reject) for row in found)
        except FileBroken:
            lost += 1
    assert lost > 50


def test_what_takes_all_memory_waits_for_the_large_rows():
    held = []

    def alone():
        with every_turn():
            held.append("alone")

    with rows._large_rows:
        thread = threading.Thread(target=alone)
        thread.start()
        time.sleep(0.05)
        assert not held
    thread.join(5)
    assert held == ["alone"]
    with every_turn():
        assert not rows._large_rows.acquire(blocking=False)


def test_a_cell_of_a_gigabyte_is_refused_in_little_memory(tmp_path):
    sink = tmp_path / "x.parquet"
    cell = pa.array(["good", "a" * (300 << 20)])
    pq.write_table(pa.table({"text": cell}), sink, row_group_size=1, compression="zstd")
    assert sink.stat().st_size < 64 << 10
    with sink.open("rb") as stream:
        found = [row for _, row in read_parquet(stream, None)]
    assert found == [{"text": "good"}, Reject("row_group_too_large")]
