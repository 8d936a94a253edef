import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from vitw_ray.conversations.runs import RUN, Cutoffs, RunWriter, divide
from vitw_ray.hash_runs import read_range, write_sorted_run
from vitw_ray.keys import RING_BITS, range_bounds
from vitw_ray.storage import Storage

NUMBERS = pa.schema([("hash", pa.int64()), ("name", pa.string())])
hashes = st.lists(st.lists(st.integers(0, (1 << RING_BITS) - 1), max_size=40), max_size=5)


@settings(max_examples=30, deadline=None)
@given(hashes, st.integers(1, 6))
def test_every_row_of_every_run_is_read_in_exactly_one_range(tmp_path_factory, pieces, ranges):
    storage = Storage(str(tmp_path_factory.mktemp("runs")))
    paths, written = [], []
    for piece in pieces:
        rows = [{"hash": h, "name": str(n)} for n, h in enumerate(piece)]
        written += [(row["hash"], row["name"]) for row in rows]
        paths.append(write_sorted_run(storage, "runs", pa.Table.from_pylist(rows, NUMBERS)))
    read = [
        (row["hash"], row["name"])
        for n in range(ranges)
        for row in read_range(storage, paths, range_bounds(n, ranges), NUMBERS).to_pylist()
    ]
    assert sorted(read) == sorted(written)


def row(identity, content, file="a", number=0, **more):
    return {
        "hash": 0,
        "conversation_id": identity,
        "source": "test",
        "messages": [{"role": "user", "content": "hello"}],
        "file": file,
        "row": number,
        "content": ord(content),
        "invented": more.pop("invented", False),
        "draw": more.pop("draw", 0),
        **more,
    }


def settled(rows, cutoffs=None):
    return divide(pa.Table.from_pylist(rows, RUN), cutoffs or Cutoffs())


def test_exact_copies_are_identical_and_the_first_in_the_file_stays():
    rows = [row("x", "c", number=1), row("x", "c", number=2), row("y", "b", number=3)]
    for order in ([0, 1, 2], [2, 1, 0], [1, 0, 2]):
        kept, rejects = settled([rows[n] for n in order])
        assert sorted(kept["conversation_id"].to_pylist()) == ["x", "y"]
        assert rejects.to_pylist() == [
            {"file": "a", "row": 2, "conversation_id": "x", "reason": "identical"}
        ]


def test_a_rejected_row_keeps_its_reason():
    bad = {"hash": 5, "file": "b", "row": 9, "reason": "not_json"}
    kept, rejects = settled([row("x", "a"), bad])
    assert kept.num_rows == 1
    assert rejects.to_pylist()[0]["reason"] == "not_json"


def test_rows_over_the_cap_and_rows_not_sampled_have_their_reasons():
    rows = [
        row("x", "a", number=1, account_id="p", draw=10),
        row("y", "b", number=2, account_id="p", draw=20),
        row("z", "c", number=3, account_id="q", draw=30),
    ]
    kept, rejects = settled(rows, Cutoffs(by_account={"p": 10}, by_group={"": 15}))
    assert kept["conversation_id"].to_pylist() == ["x"]
    reasons = {r["conversation_id"]: r["reason"] for r in rejects.to_pylist()}
    assert reasons == {"y": "over_account_cap", "z": "not_sampled"}


def test_a_writer_splits_rows_into_runs_and_loses_none(tmp_path, monkeypatch):
    monkeypatch.setattr("vitw_ray.conversations.runs.RUN_ROWS", 3)
    storage = Storage(str(tmp_path))
    writer = RunWriter(storage, "runs")
    for n in range(10):
        columns = row(f"id-{n}", "a", number=n, chars=5)
        del columns["hash"]
        writer.add(columns)
    writer.flush()
    assert len(writer.paths) == 4
    whole = read_range(storage, writer.paths, (0, 1 << RING_BITS), RUN)
    assert sorted(whole["row"].to_pylist()) == list(range(10))
