"""Which rows stay: versions of a conversation, growing histories, copies, and rows without an id.

What stays depends on the rows alone, never on their order or on the files that they lie in.
"""

import gzip
import itertools
import json
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reading_stage import read_stage

WORDS = ("one", "two", "three")


def said(*texts):
    return [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(texts)]


def row(identity, *texts, **more):
    return {"conversation_id": identity, "messages": said(*texts), **more}


@pytest.fixture
def read(monkeypatch, tmp_path):
    """Run the stage over rows, which lie in one file, or over several files."""
    count = itertools.count()

    def run(rows, **options):
        files = rows if isinstance(rows, dict) else {"a.jsonl": rows}
        return read_stage(monkeypatch, tmp_path / str(next(count)), files, **options)

    return run


def in_every_order(read, rows, **options):
    """The texts and the reasons that every order of the rows gives."""
    results = set()
    for order in itertools.permutations(range(len(rows))):
        stage = read([rows[n] for n in order], **options)
        reasons = {order[place]: reason for (_, place), reason in stage.rejects.items()}
        results.add((tuple(stage.texts), tuple(sorted(reasons.items()))))
    assert len(results) == 1
    ((texts, reasons),) = results
    return list(texts), dict(reasons)


def test_of_versions_of_a_conversation_the_latest_stays_whatever_the_order(read):
    rows = [
        row("x", "q", "first answer", created_at="2025-03-01T10:00:00Z"),
        row("x", "q", "newest", created_at="2025-03-03T10:00:00Z"),
        row("x", "q", "a much longer answer", "and more", created_at="2025-03-02T10:00:00Z"),
    ]
    texts, reasons = in_every_order(read, rows)
    assert texts == ["q|newest"]
    assert reasons == {0: "superseded", 2: "superseded"}


def test_without_times_the_version_with_most_turns_stays_then_the_longest(read):
    rows = [row("x", "q", "a long first answer"), row("x", "q", "b", "c"), row("x", "q", "b", "d!")]
    texts, reasons = in_every_order(read, rows)
    assert texts == ["q|b|d!"]
    assert reasons == {0: "superseded", 1: "superseded"}


def test_a_later_version_stays_although_it_is_the_beginning_of_an_earlier_one(read):
    rows = [
        row("x", "q", "a", "regretted", "b", created_at="2025-03-01T10:00:00Z"),
        row("x", "q", "a", created_at="2025-03-02T10:00:00Z"),
    ]
    assert in_every_order(read, rows) == (["q|a"], {0: "superseded"})


def test_a_conversation_that_grows_from_row_to_row_is_one_conversation(read):
    turns = [f"turn {n}" for n in range(10)]
    rows = [row(f"request {n}", *turns[:n], model="m") for n in (2, 4, 6, 10)]
    texts, reasons = in_every_order(read, rows)
    assert texts == ["|".join(turns)]
    assert reasons == dict.fromkeys((0, 1, 2), "superseded")


def test_a_beginning_in_another_file_is_found(read):
    stage = read({"a.jsonl": [row("x", "q", "a")], "b.jsonl": [row("y", "q", "a", "more", "b")]})
    assert stage.rejects == {("a.jsonl", 0): "superseded"}


@pytest.mark.parametrize(
    "difference",
    [
        ({"model": "m"}, {"model": "n"}),
        ({"account_id": "p"}, {"account_id": "q"}),
        ({"model": "m"}, {}),
    ],
)
def test_the_beginning_of_a_conversation_of_another_account_or_assistant_stays(read, difference):
    one, other = difference
    stage = read([row("x", "q", "a", **one), row("y", "q", "a", "more", "b", **other)])
    assert not stage.rejects


def test_equal_messages_are_no_beginning_of_each_other(read):
    stage = read([row("x", "q", "a"), row("y", "q", "a")])
    assert not stage.rejects
    assert stage.report.details["same_messages"] == 1


def test_a_text_that_only_starts_alike_is_no_beginning(read):
    stage = read([row("x", "q", "a"), row("y", "q", "a b", "more", "c")])
    assert not stage.rejects


def test_growing_histories_can_be_kept(read):
    rows = [row("x", "q", "a"), row("y", "q", "a", "more", "b")]
    assert not read(rows, growing_histories="all").rejects


def test_a_superseded_row_takes_no_place_in_the_sample_and_none_of_an_account(read):
    rows = [
        row(f"{chat} {n}", *[f"chat {chat} turn {t}" for t in range(n)], account_id="p")
        for chat in range(3)
        for n in (2, 4, 6)
    ]
    for options in ({"sample": 3}, {"max_per_account": 3}):
        stage = read(rows, **options)
        assert len(stage.texts) == 3
        assert all(text.count("|") == 5 for text in stage.texts)


def test_every_superseded_row_has_a_successor_although_histories_and_versions_cross(read):
    turns = [f"turn {n}" for n in range(8)]
    rows = [
        row("x", *turns[:6], created_at="2025-03-01T10:00:00Z"),
        row("x", *turns[:2], created_at="2025-03-05T10:00:00Z"),
        row("y", *turns[:4], created_at="2025-03-09T10:00:00Z"),
    ]
    texts, reasons = in_every_order(read, rows)
    assert texts == ["|".join(turns[:6])]
    assert set(reasons) == {1, 2}


def test_rows_without_an_id_differ_by_assistant_account_and_time(read):
    differences = [
        {"model": "m"},
        {"model": "n"},
        {"account_id": "p"},
        {"created_at": "2025-03-01T10:00:00Z"},
        {"language": "en"},
        {},
    ]
    stage = read([row(None, "q", "a", **difference) for difference in differences])
    assert len(stage.texts) == 6
    assert stage.report.details["same_messages"] == 5


def test_identical_rows_without_an_id_stay_and_are_counted(read):
    stage = read([row(None, "q", "a")] * 3 + [row(None, "q", "b")])
    assert stage.texts == ["q|a", "q|a", "q|a", "q|b"]
    assert stage.report.details["identical"] == 2
    assert len(set(stage.table("conversations")["conversation_id"].to_pylist())) == 4


def test_identical_rows_without_an_id_can_be_dropped(read):
    stage = read([row(None, "q", "a")] * 3, identical_rows="drop")
    assert stage.rejects == {("a.jsonl", 1): "identical", ("a.jsonl", 2): "identical"}


def test_one_more_identical_row_leaves_the_ids_of_the_others(read):
    two, three = (read([row(None, "q", "a")] * n).table("conversations") for n in (2, 3))
    ids = [set(table["conversation_id"].to_pylist()) for table in (two, three)]
    assert ids[0] < ids[1]


def test_identical_rows_can_exceed_the_sample(read):
    stage = read([row(None, "q", "a")] * 30, sample=10, rows_per_part=7)
    assert len(stage.texts) == 10
    assert Counter(stage.rejects.values()) == {"not_sampled": 20}


def test_an_id_stays_when_its_file_is_renamed(read):
    names = [
        read({name: [row(None, "q", "a")]}).table("conversations")["conversation_id"].to_pylist()
        for name in ("a.jsonl", "elsewhere/b.jsonl")
    ]
    assert names[0] == names[1]


def test_an_id_is_no_hash_that_others_can_compute(read):
    (identity,) = read([row(None, "q", "a")]).table("conversations")["conversation_id"].to_pylist()
    assert identity == "".join(c for c in identity if c in "0123456789abcdef")
    assert len(identity) == 24


rows_ = st.builds(
    lambda identity, texts, more: row(identity, *texts, **more),
    st.sampled_from([None, None, "x", "y"]),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=4),
    st.fixed_dictionaries(
        {},
        optional={
            "model": st.sampled_from(["m", "n"]),
            "account_id": st.sampled_from(["p", "q"]),
            "created_at": st.sampled_from(["2025-03-01T10:00:00Z", "2025-03-02T10:00:00Z"]),
        },
    ),
)


@settings(max_examples=40)
@given(st.lists(rows_, min_size=1, max_size=12), st.data())
def test_no_order_of_rows_and_no_split_into_files_changes_a_byte(rows, data):
    options = data.draw(
        st.fixed_dictionaries(
            {
                "identical_rows": st.sampled_from(["keep", "drop"]),
                "growing_histories": st.sampled_from(["longest", "all"]),
                "rows_per_part": st.sampled_from([1, 5, 4096]),
            },
            optional={"sample": st.integers(1, 9), "max_per_account": st.integers(1, 3)},
        )
    )
    rows = [row("kept", "q", "a"), *rows]  # a run needs one
    shuffled = data.draw(st.permutations(rows))
    marks = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=3)))
    bounds = list(itertools.pairwise([0, *marks, len(rows)]))
    files = {f"{n}.jsonl.gz": shuffled[a:b] for n, (a, b) in enumerate(bounds) if a < b}
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        one = read_stage(patch, Path(folder) / "one", {"all.jsonl": rows}, **options)
        patch.setattr("vitw_ray.conversations.runs.RUN_ROWS", 2)
        patch.setattr("vitw_ray.conversations.histories.OPENING_ROWS", 2)
        patch.setattr("vitw_ray.hash_buckets.DIRECT_RUNS", 1)
        many = read_stage(patch, Path(folder) / "many", files, **options)
        assert one.bytes == many.bytes
        assert one.report.rejected == many.report.rejected
        for stage in (one, many):
            kept = stage.table("conversations").num_rows
            assert kept + len(stage.rejects) == len(rows)
            assert not list(Path(folder).rglob("runs/*.parquet"))
        details = [stage.report.details for stage in (one, many)]
        assert details[0]["identical"] == details[1]["identical"]
        assert details[0]["same_messages"] == details[1]["same_messages"]


def test_answers_of_several_models_that_agree_are_counted_and_kept(read, real_data):
    with gzip.open(real_data / "models.jsonl.gz") as lines:
        rows = [json.loads(line) for line in lines]
    stage = read(rows)
    assert not stage.rejects
    assert stage.report.rows_out == 7339
    assert stage.report.details["same_messages"] == 18
