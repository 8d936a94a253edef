"""Which files are read, what is passed over and why, and what `vitw inspect` says of them."""

import json
import uuid
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vitw_ray.cli.main import main
from vitw_ray.conversations.inspection import inspect_input
from vitw_ray.conversations.listing import list_input
from vitw_ray.conversations.looking import look_at, recognise
from vitw_ray.conversations.sources import find_files, iter_rows
from vitw_ray.conversations.survey import survey
from vitw_ray.errors import InputError
from vitw_ray.planning import passed_over_line

SECRET = "what-nobody-may-see"


def row(n, **more):
    turns = [{"role": "user", "content": f"{SECRET} {n}"}, {"role": "assistant", "content": "b"}]
    return {"conversation_id": f"c{n}", "messages": turns, **more}


def as_lines(rows):
    return "".join(json.dumps(one) + "\n" for one in rows)


def rows_of(file, shape=None):
    return [row for _, row in iter_rows(file, shape) if isinstance(row, dict)]


@pytest.fixture
def write(tmp_path):
    """Write a file below the test's folder."""

    def write_file(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    return write_file


# --- what is passed over


def test_the_side_files_of_an_export_are_passed_over_by_name(write, tmp_path):
    write("conversations.json", json.dumps([row(1), row(2)]))
    write("users.json", json.dumps([{"uuid": "u", "full_name": "n"}]))
    write("names.json", json.dumps(["a", "b"]))
    write("feedback.json", "[]")
    write("chat.html", "<html></html>")
    write(".hidden.jsonl", "{}")
    found = survey(list_input([str(tmp_path)]))
    assert found.shapes == {"conversations.json": "vitw"}
    assert [file.name for file in found.files] == ["conversations.json"]
    assert found.passed_over == {
        ".hidden.jsonl": "hidden",
        "chat.html": "HTML or XML",
        "feedback.json": "empty",
        "names.json": "no conversations",
        "users.json": "no conversations",
    }
    assert passed_over_line(found.passed_over) == (
        "passed over: 5 files (2 no conversations: names.json, users.json; 1 hidden:"
        " .hidden.jsonl; 1 HTML or XML: chat.html; 1 empty: feedback.json)"
    )


def test_a_side_file_that_is_named_itself_is_an_error_with_its_columns(write):
    good = write("1.jsonl", as_lines([row(1)]))
    side = write("users.json", json.dumps([{"uuid": "u", "full_name": "n"}]))
    with pytest.raises(InputError, match=r"users\.json has none of the known shapes.*full_name"):
        survey(list_input([good, side]))


def test_conversations_that_cannot_be_read_are_an_error_in_a_folder_too(write, tmp_path):
    write("1.jsonl", as_lines([row(1)]))
    write("2.jsonl", f"{SECRET}\n" * 3)
    with pytest.raises(InputError, match=r"2\.jsonl: none of its first 3 rows can be read"):
        survey(list_input([str(tmp_path)]))


def test_a_folder_without_conversations_is_an_error_that_says_what_it_holds(write, tmp_path):
    write("users.json", json.dumps([{"uuid": "u"}]))
    with pytest.raises(InputError, match="none of the known shapes"):
        survey(list_input([str(tmp_path)]))
    (tmp_path / "users.json").unlink()
    write("chat.html", "<html></html>")
    with pytest.raises(InputError, match=r"passed over: 1 HTML or XML"):
        list_input([str(tmp_path)])


def test_a_run_folder_in_the_input_is_passed_over_and_refused_as_the_input(write, tmp_path):
    write("logs/1.jsonl", as_lines([row(1)]))
    write("logs/run/1_conversations-0123abcd/_SUCCESS", "{}")
    write("logs/run/run.json", "{}")
    listed = list_input([str(tmp_path / "logs")])
    assert [file.name for file in listed.files] == ["1.jsonl"]
    assert listed.passed_over == {"run": "a run folder"}
    with pytest.raises(InputError, match="is the folder of a run"):
        list_input([str(tmp_path / "logs/run")])


# --- columns in the names of folders


def test_columns_in_the_names_of_folders_are_added_where_a_row_lacks_them(write, tmp_path):
    write("logs/model=gpt%2F4/day=3/1.jsonl", as_lines([row(1), row(2, model="own")]))
    write("logs/model=__HIVE_DEFAULT_PARTITION__/2.jsonl", as_lines([row(3)]))
    rows = [r for file in find_files([str(tmp_path / "logs")]) for r in rows_of(file, "vitw")]
    assert [r.get("model") for r in rows] == [None, "gpt/4", "own"]
    assert not any("day" in r for r in rows)


def test_a_partition_that_is_named_itself_keeps_its_column(write, tmp_path):
    write("logs/model=a/1.jsonl", as_lines([row(1)]))
    for given in ("logs/model=a", "logs/model=a/1.jsonl", "logs/model=*/*.jsonl"):
        (file,) = find_files([str(tmp_path / given)])
        assert [r["model"] for r in rows_of(file, "vitw")] == ["a"]


# --- other writers of Parquet


def parquet(path, **columns):
    pq.write_table(pa.table({"messages": [row(1)["messages"]] * 2, **columns}), path)
    (file,) = find_files([str(path)])
    return rows_of(file)


def test_ids_of_any_type_of_parquet_are_numbers_or_text(tmp_path):
    ids = [uuid.UUID(int=n) for n in (1, 2)]
    packed = pa.array([i.bytes for i in ids], pa.binary(16))
    for kind in (pa.uuid(), pa.binary(16)):
        column = pa.ExtensionArray.from_storage(kind, packed) if kind == pa.uuid() else packed
        read = parquet(tmp_path / "1.parquet", id=column, text=pa.array([b"a", b"\xff"]))
        assert [r["text"] for r in read] == ["a", b"\xff"]
        if kind == pa.uuid():
            assert [r["id"] for r in read] == [str(i) for i in ids]
    numbers = pa.array([Decimal(7), Decimal("7.5")], pa.decimal128(20, 2))
    assert [r["n"] for r in parquet(tmp_path / "2.parquet", n=numbers)] == [7, 7.5]
    late = pa.array(np.array(["2026-01-01T00:00:00.123456789", "NaT"], "datetime64[ns]"))
    times = [r["t"] for r in parquet(tmp_path / "3.parquet", t=late)]
    assert [t and t.isoformat() for t in times] == ["2026-01-01T00:00:00.123456", None]


# --- rows spread through a file


@pytest.mark.parametrize("kind", ["small.jsonl", "large.jsonl", "large.parquet"])
def test_the_shape_is_recognised_from_the_end_of_a_file_too(tmp_path, kind):
    total = 30 if kind.startswith("small") else 3000
    rows = [row(n, late=str(n) if n > 0.8 * total else None, pad="x" * 80) for n in range(total)]
    if kind.endswith("parquet"):
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / kind, row_group_size=500)
    else:
        (tmp_path / kind).write_text(as_lines(rows))
    (file,) = find_files([str(tmp_path / kind)])
    found, _ = look_at(file)
    assert found is not None
    assert recognise(file) == "vitw"
    assert found.columns["conversation_id"] <= 100
    assert "late" in found.columns


# --- vitw inspect


def test_an_inspection_counts_without_text(write, tmp_path, capsys):
    rows = [row(n, model="m\x1b[1m" if n % 2 else None, extra=1) for n in range(8)]
    write("logs/1.jsonl", as_lines([*rows, {"conversation_id": "x", "messages": 3}]))
    write("logs/notes.txt", "a note")
    assert main(["inspect", "--input", str(tmp_path / "logs")]) == 0
    told = capsys.readouterr().out
    assert "vitw: 1 file, 9 rows read" in told
    assert "not read      extra" in told
    assert "model (50% null)" in told
    assert "passed over: 1 file (1 text that is neither JSON nor CSV: notes.txt)" in told
    assert told.count("example       user 21, assistant 1") == 5
    assert SECRET not in told
    assert "\x1b" not in told


def test_an_inspection_for_programs_is_one_line_and_a_sample_is_stated(write, tmp_path, capsys):
    write("1.jsonl", as_lines(row(n, created_at=f"2025-01-0{n + 1}") for n in range(8)))
    words = ["inspect", "--input", str(tmp_path), "--json", "--rows", "4"]
    assert main(words) == 0
    (line,) = capsys.readouterr().out.splitlines()
    counted = json.loads(line)["shapes"]["vitw"]
    assert (counted["rows"], counted["files_read_in_part"], counted["turns"]) == (4, 1, [2] * 5)
    assert (counted["first"], counted["last"][:10]) == ("2025-01-01T00:00:00+00:00", "2025-01-04")
    assert counted["null_share"]["conversation_id"] == 0
    assert counted["null_share"]["account"] == 1


def test_an_inspection_needs_no_cluster_and_no_output(write, tmp_path, monkeypatch):
    path = write("1.jsonl", as_lines([row(1)]))
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert main(["inspect", "--input", path]) == 0
    assert sorted(tmp_path.iterdir()) == before


def test_an_inspection_joins_messages_and_follows_a_map(write, tmp_path, capsys):
    turn = {"conversation_id": "c", "turn": 0, "role": "user", "content": SECRET}
    reply = {**turn, "turn": 1, "role": "assistant", "content": "b"}
    path = write("rows.jsonl", as_lines([turn, reply]))
    assert main(["inspect", "--input", path, "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["shapes"].values()
    assert (found["rows"], found["conversations"]) == (2, 1)
    other = write("own.jsonl", as_lines([{"log": {"t": [{"who": "user", "x": SECRET}] * 2}}]))
    words = ["inspect", "--input", other, "--json"]
    assert main([*words, "--map", "messages=log.t,role=who,content=x"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["shapes"].values()
    assert found["rejects"] == {"no_assistant_turn": 1}


def test_a_page_of_messages_that_name_their_conversation_is_read_as_rows(write, tmp_path):
    said = [("t1", "user", "a"), ("t1", "assistant", "b"), ("t2", "user", "c")]
    rows = [{"id": f"{t}{r}", "thread_id": t, "role": r, "content": c} for t, r, c in said]
    write("page.json", json.dumps({"object": "list", "data": rows}))
    (file,) = find_files([str(tmp_path)])
    assert rows_of(file) == rows
    write("page.json", json.dumps({"data": [{"role": "user", "content": "a"}] * 2}))
    (file,) = find_files([str(tmp_path)])
    assert len(rows_of(file)) == 1


@pytest.mark.parametrize("maker", ["openai", "anthropic"])
@pytest.mark.parametrize("output_first", [False, True])
def test_a_batchs_input_and_output_in_two_files_are_joined(write, maker, output_first):
    asked = [{"role": "user", "content": "Is it fair?"}]
    said = {"role": "assistant", "content": "It is."}
    sent, came = {
        "openai": (
            {"body": {"model": "m", "messages": asked}},
            {"response": {"body": {"choices": [{"message": said}]}}},
        ),
        "anthropic": (
            {"params": {"model": "m", "messages": asked}},
            {"result": {"type": "succeeded", "message": {**said, "type": "message"}}},
        ),
    }[maker]
    rows = [[{"custom_id": f"c{n}", **side} for n in range(3)] for side in (sent, came)]
    names = ("2.jsonl", "1.jsonl") if output_first else ("1.jsonl", "2.jsonl")
    paths = [write(name, as_lines(side)) for name, side in zip(names, rows, strict=True)]
    counted = inspect_input(tuple(paths), "auto", 100).shapes["batch"]
    assert counted.as_json()["models"] == {"m": 3}
    assert (counted.files, counted.rows, len(counted.turns)) == (2, 6, 3)
    assert counted.rejects == {"joined": 3}
    assert set(counted.turns) == {2}


def test_columns_that_a_map_reads_are_not_told_as_unread(tmp_path):
    turns = [{"who": "Customer", "text": "Is it fair?"}, {"who": "Agent", "text": "Ask them."}]
    row = {"key": 7, "convo": turns, "extra": "x"}
    (tmp_path / "tickets.jsonl").write_text(json.dumps(row) + "\n")
    shape = "map:messages=convo,role=who,content=text,conversation_id=key"
    found = inspect_input((str(tmp_path / "tickets.jsonl"),), shape, 10)
    assert found.shapes[shape].not_read == {"extra"}
    assert found.survey.not_read() == ("extra",)
