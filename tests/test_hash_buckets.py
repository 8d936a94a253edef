"""Many sorted runs become buckets: every row once, and the same reads per row at any size."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitw_ray import cluster, hash_buckets
from vitw_ray.hash_buckets import bucket_count, write_buckets
from vitw_ray.hash_runs import write_sorted_run
from vitw_ray.keys import RING_BITS, range_bounds
from vitw_ray.storage import Storage

NUMBERS = pa.schema([("hash", pa.int64()), ("name", pa.string()), ("text", pa.string())])


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


@pytest.mark.s3
@pytest.mark.slow
def test_buckets_in_a_bucket_of_a_store_hold_every_row_once(s3_server):
    storage = Storage(s3_server.new_bucket() + "/run")
    runs = [run_of(storage, range(first, first + (1 << 62), 1 << 58)) for first in range(20)]
    buckets = write_buckets(storage, "pieces", runs, len(runs), 4, ["hash"])
    assert len(buckets.index)
    read = [row for n in range(4) for row in buckets.read(n, NUMBERS)["hash"].to_pylist()]
    alone = pa.schema([NUMBERS.field("hash")])
    assert sorted(read) == sorted(
        h for n in range(4) for h in buckets.read(n, alone)["hash"].to_pylist()
    )
    assert len(set(read)) == len(read) == 20 * 16
