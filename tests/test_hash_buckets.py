"""Many sorted runs become buckets: every row once, and the same reads per row at any size."""

import pyarrow as pa
import pytest
from counted_reads import CountedReads
from hypothesis import given, settings
from hypothesis import strategies as st

from vitw_ray import cluster, hash_buckets
from vitw_ray.hash_buckets import bucket_count, power_of_two, write_buckets
from vitw_ray.hash_runs import write_sorted_run
from vitw_ray.keys import RING_BITS, id_hash, range_bounds
from vitw_ray.storage import Storage

NUMBERS = pa.schema([("hash", pa.int64()), ("name", pa.string()), ("text", pa.string())])
RUN_ROWS = 64


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    monkeypatch.setattr(cluster, "stream", lambda units, function: map(function, units))


def run_of(storage, hashes):
    rows = [{"hash": h, "name": str(h), "text": f"text {h}"} for h in hashes]
    return write_sorted_run(storage, "runs", pa.Table.from_pylist(rows, NUMBERS))


hashes = st.lists(st.integers(0, (1 << RING_BITS) - 1) | st.integers(0, 3), max_size=30)


@settings(max_examples=30, deadline=None)
@given(st.lists(hashes, max_size=8), st.sampled_from([1, 2, 8, 64]), st.integers(0, 4))
def test_every_row_is_in_the_bucket_of_its_hash_once(tmp_path_factory, pieces, count, direct):
    storage = Storage(str(tmp_path_factory.mktemp("buckets")))
    runs = [run_of(storage, piece) for piece in pieces]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hash_buckets, "DIRECT_RUNS", direct)
        patch.setattr(hash_buckets, "OBJECT_BYTES", 2_000)
        buckets = write_buckets(storage, "pieces", runs, len(runs) / 4, count, ["hash", "name"])
    read = []
    for number in range(count):
        low, high = range_bounds(number, count)
        rows = buckets.read(number, NUMBERS).to_pylist()
        assert all(low <= row["hash"] < high for row in rows)
        assert all(row["text"] == f"text {row['name']}" for row in rows)
        alone = buckets.read(number, pa.schema([NUMBERS.field("hash")]))["hash"].to_pylist()
        assert sorted(alone) == sorted(row["hash"] for row in rows)
        read += [row["hash"] for row in rows]
    assert sorted(read) == sorted(h for piece in pieces for h in piece)


def per_row(monkeypatch, folder, rows):
    """Opens and rows read, for each of `rows`, to write buckets and to read them all."""
    storage = Storage(str(folder))
    hashes = [id_hash(str(number)) for number in range(rows)]
    runs = [run_of(storage, hashes[at : at + RUN_ROWS]) for at in range(0, rows, RUN_ROWS)]
    with CountedReads(monkeypatch) as counted:
        count = bucket_count(len(runs), len(runs), power_of_two(rows / 32))
        buckets = write_buckets(storage, "pieces", runs, len(runs), count)
        found = sum(buckets.read(number, NUMBERS).num_rows for number in range(count))
    assert found == rows
    return counted.opens / rows, counted.rows / rows


def test_opens_and_rows_read_per_row_are_the_same_at_any_size(monkeypatch, tmp_path):
    opens, read = zip(
        *(per_row(monkeypatch, tmp_path / str(n), n) for n in (2_560, 5_120, 10_240)), strict=True
    )
    assert max(opens) <= 1.1 * min(opens)
    assert max(read) <= 2.0


def test_few_runs_are_not_merged_and_nothing_is_written(tmp_path):
    storage = Storage(str(tmp_path))
    runs = [run_of(storage, range(5)) for _ in range(hash_buckets.DIRECT_RUNS)]
    buckets = write_buckets(storage, "pieces", runs, len(runs), 4)
    assert set(buckets.runs) == set(runs)
    assert not storage.list("pieces")


@given(st.integers(17, 50_000), st.integers(0, 20))
def test_a_few_more_rows_leave_the_number_of_buckets_of_their_size_class(runs, more):
    one, other = (bucket_count(n, n, 1 << 30) for n in (runs, runs + more))
    assert one & (one - 1) == 0
    assert other in (one, 2 * one, one // 2)
