"""Rows are the same in any packing, layout and name of a file; hostile files stay bounded."""

import bz2
import gzip
import io
import json
import lzma
import os
import socket
import tracemalloc
import zipfile
from itertools import pairwise

import pytest
from container_writers import LAYOUTS, PACKINGS, as_lines, parquet, zipped
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vitw_ray.conversations import rows as rows_module
from vitw_ray.conversations.listing import list_input
from vitw_ray.conversations.sources import Reject, find_files, iter_rows
from vitw_ray.errors import InputError

ROWS = [
    {"conversation_id": f"c{n}", "messages": [{"role": "user", "content": f'"{n}" \\ [é], {{}}'}]}
    for n in range(30)
]


@pytest.fixture
def source(tmp_path):
    """Write a file and name it as an input."""

    def write(name, data):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return find_files([str(path)])[0]

    return write


def codes(file):
    return [row.reason if isinstance(row, Reject) else "good" for _, row in iter_rows(file)]


@pytest.mark.parametrize("name", ["chats", "chats.jsonl", "CHATS.JSONL.GZ", "chats.1", "chats.txt"])
@pytest.mark.parametrize("packing", PACKINGS)
def test_the_content_of_a_file_decides_and_not_its_name(source, packing, name):
    file = source(name, PACKINGS[packing](as_lines(ROWS)))
    assert list(iter_rows(file)) == list(enumerate(ROWS))


@pytest.mark.parametrize("packing", ["plain", "gzip", "zip"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_of_json_gives_the_same_rows(source, layout, packing):
    file = source("chats", PACKINGS[packing](LAYOUTS[layout](ROWS)))
    assert list(iter_rows(file)) == list(enumerate(ROWS))


@pytest.mark.parametrize("packing", ["plain", "gzip", "zip"])
def test_parquet_is_read_from_any_packing(source, packing):
    file = source("chats.bin", PACKINGS[packing](parquet(ROWS)))
    assert list(iter_rows(file)) == list(enumerate(ROWS))


@pytest.mark.parametrize(
    "document", [[ROWS[0]["messages"]] * 3, ROWS[0]["messages"]], ids=["list of chats", "one chat"]
)
def test_a_list_of_messages_is_one_conversation(source, document):
    file = source("chats.json", json.dumps(document).encode())
    expected = [{"messages": ROWS[0]["messages"]}] * (3 if len(document) == 3 else 1)
    assert [row for _, row in iter_rows(file)] == expected


@pytest.mark.parametrize(
    "row",
    [
        {"conversations": [{"from": "human", "value": "a"}]},
        {"id": 1, "conversations": [{"human": "a", "assistant": "b"}]},
        {"items": [{"from": "human", "value": "x" * 100_000}]},
    ],
)
def test_a_conversation_in_a_list_is_not_taken_for_a_list_of_rows(source, row):
    assert list(iter_rows(source("1.json", json.dumps(row).encode()))) == [(0, row)]


PACKED = st.sampled_from(sorted(PACKINGS))
LAID_OUT = st.sampled_from(sorted(LAYOUTS))


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30
)
@given(
    st.lists(st.integers(0, len(ROWS)), max_size=4),
    st.lists(PACKED, min_size=5, max_size=5),
    st.lists(LAID_OUT, min_size=5, max_size=5),
)
def test_any_split_into_files_of_any_kind_gives_the_same_rows(
    tmp_path_factory, cuts, packings, layouts
):
    folder = tmp_path_factory.mktemp("split")
    bounds = [0, *sorted(cuts), len(ROWS)]
    for n, (start, end) in enumerate(pairwise(bounds)):
        if start < end:
            data = LAYOUTS[layouts[n]](ROWS[start:end])
            (folder / str(n)).write_bytes(PACKINGS[packings[n]](data))
    read = [row for file in find_files([str(folder)]) for _, row in iter_rows(file)]
    assert read == ROWS


# --- tables of text


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_a_table_of_text_gives_rows_of_text(source, delimiter):
    lines = [["id", "prompt", "response"], ["1", '"a, b\n;\tc"', ""], ["2", "é", "d"]]
    data = "\r\n".join(delimiter.join(line) for line in lines).encode("utf-8-sig")
    assert [row for _, row in iter_rows(source("table.csv", data))] == [
        {"id": "1", "prompt": "a, b\n;\tc", "response": None},
        {"id": "2", "prompt": "é", "response": "d"},
    ]


def test_odd_lines_of_a_table_are_single_rejects(source):
    data = b"id,prompt\n1,a\n2,b,c\n3,\xff\n4\n5,e\n"
    file = source("table.csv", data)
    assert codes(file) == ["good", "too_many_cells", "invalid_utf8", "good", "good"]


def test_a_quotation_mark_that_is_never_closed_costs_bounded_memory(source, monkeypatch):
    monkeypatch.setattr("vitw_ray.conversations.tabular.MAX_ROW_BYTES", 10_000)
    data = b'id,prompt\n1,a\n2,"b\n' + b"3,c\n" * 100_000
    read = codes(source("table.csv", data))
    assert read[:2] == ["good", "row_too_long"]


# --- archives


def test_the_members_of_an_archive_are_files_and_others_are_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        archive.writestr("a/1.jsonl", as_lines(ROWS[:10]))
        archive.writestr("2.json.bz2", bz2.compress(json.dumps(ROWS[10:]).encode()))
        archive.writestr("chat.html", "<html></html>")
        archive.writestr("__MACOSX/._1.jsonl", "x")
        archive.writestr(".DS_Store", "x")
        archive.writestr("inner.zip", zipped(b"{}"))
    listed = list_input([str(tmp_path)])
    assert [file.name for file in listed.files] == ["export.zip!2.json.bz2", "export.zip!a/1.jsonl"]
    assert [r for f in listed.files[::-1] for _, r in iter_rows(f)] == ROWS
    assert listed.passed_over == {
        "export.zip!.DS_Store": "hidden",
        "export.zip!__MACOSX/._1.jsonl": "hidden",
        "export.zip!chat.html": "HTML or XML",
        "export.zip!inner.zip": "an archive inside an archive (unpack it)",
    }


def test_a_damaged_archive_is_an_error_and_a_damaged_member_a_reject(tmp_path, source):
    whole = zipped(as_lines([{"n": os.urandom(40).hex()} for _ in range(3000)]))
    with pytest.raises(InputError, match="damaged zip archive"):
        source("cut.zip", whole[: len(whole) // 2])
    hurt = bytearray(whole)
    hurt[len(hurt) // 2 : len(hurt) // 2 + 50] = bytes(50)
    read = codes(source("hurt.zip", bytes(hurt)))
    assert read.count("good") > 500
    assert read[-1] in ("file_unreadable", "not_json", "invalid_utf8")


# --- damage


def test_bytes_behind_a_compressed_file_are_one_reject(source):
    for pack in (gzip.compress, bz2.compress, lzma.compress):
        assert codes(source("1", pack(as_lines(ROWS)) + b"garbage")) == [
            *["good"] * len(ROWS),
            "trailing_bytes",
        ]


@pytest.mark.parametrize("packing", ["gzip", "bzip2", "xz", "zstd"])
def test_a_truncated_file_gives_its_first_rows_and_one_reject(source, packing):
    values = [{"n": n, "noise": os.urandom(60).hex()} for n in range(20_000)]
    packed = PACKINGS[packing](as_lines(values))
    *good, last = [row for _, row in iter_rows(source("1", packed[: len(packed) * 3 // 4]))]
    assert good == values[: len(good)]
    assert last == Reject("file_truncated")
    assert len(good) > 5000


def test_a_file_packed_into_itself_again_and_again_is_no_endless_work(source):
    data = as_lines(ROWS)
    for _ in range(5):
        data = gzip.compress(data)
    with pytest.raises(InputError, match="packed more than 3 times"):
        source("1", data)


# --- hostile files


def peak(file):
    tracemalloc.start()
    read = codes(file)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return read, most


@pytest.mark.parametrize("packing", ["gzip", "bzip2", "xz", "zstd", "zip"])
def test_a_bomb_of_one_long_row_is_one_reject_and_the_next_row_is_read(source, packing):
    bomb = b'{"n": "' + b"x" * (80 << 20) + b'"}\n{"n": 1}\n'
    packed = PACKINGS[packing](bomb)
    assert len(packed) < 1_000_000
    read, most = peak(source("1", packed))
    assert read == ["row_too_long", "good"]
    assert most < 4 * rows_module.MAX_ROW_BYTES


def test_a_row_of_millions_of_values_is_one_reject_and_is_never_decoded(source):
    many = b'{"messages": [' + b"{}," * 5_000_000 + b"{}]}\n"
    read, most = peak(source("1.gz", gzip.compress(many + as_lines(ROWS))))
    assert read == ["too_many_values", *["good"] * len(ROWS)]
    assert most < 4 * rows_module.MAX_ROW_BYTES


def test_millions_of_values_on_one_line_are_not_in_memory_together(source):
    file = source("1.gz", gzip.compress(b"[" + b"{}," * 100_000 + b"{}]"))
    tracemalloc.start()
    assert sum(1 for _ in iter_rows(file)) == 100_001
    assert tracemalloc.get_traced_memory()[1] < 20 << 20
    tracemalloc.stop()


def test_deep_nesting_is_one_reject(source):
    deep = b'{"a": ' * 100_000 + b"1" + b"}" * 100_000
    for data in (
        deep + b"\n" + as_lines(ROWS),
        b"[" + deep + b", " + json.dumps(ROWS).encode()[1:],
    ):
        assert codes(source("1.json", data)) == ["too_deep", *["good"] * len(ROWS)]


def test_a_broken_row_of_any_layout_leaves_the_others_as_they_are(source):
    for layout in ("lines", "array", "commas", "JSON text sequence", "under a key"):
        data = LAYOUTS[layout](ROWS).replace(b'"c7"', b"oops")
        assert codes(source("1", data)) == [*["good"] * 7, "not_json", *["good"] * 22]


# --- what is no file


@pytest.mark.parametrize("given_itself", [False, True])
def test_pipes_and_sockets_never_hang(tmp_path, given_itself):
    os.mkfifo(tmp_path / "pipe.jsonl")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "socket.jsonl"))
    (tmp_path / "1.jsonl").write_bytes(as_lines(ROWS))
    if given_itself:
        with pytest.raises(InputError, match=r"pipe\.jsonl is a pipe, socket or device"):
            list_input([str(tmp_path / "pipe.jsonl")])
    else:
        listed = list_input([str(tmp_path)])
        assert [file.name for file in listed.files] == ["1.jsonl"]
        assert set(listed.passed_over.values()) == {"a pipe, socket or device"}
        assert len(listed.passed_over) == 2
    listener.close()


# --- names


def test_names_that_storage_libraries_or_terminals_would_take_for_more_are_only_names(tmp_path):
    odd = ["a::b.jsonl", "c\x1b[31m.jsonl", "d\ne.jsonl", os.fsdecode(b"f\xe4.jsonl")]
    for name in odd:
        (tmp_path / name).write_bytes(as_lines(ROWS))
    files = find_files([str(tmp_path)])
    assert [file.name for file in files] == [
        "a::b.jsonl",
        "c\\x1b[31m.jsonl",
        "d\\ne.jsonl",
        "f\\xe4.jsonl",
    ]
    assert all([row for _, row in iter_rows(file)] == ROWS for file in files)
    for name in odd:
        assert len(find_files([str(tmp_path / name)])) == 1
    (tmp_path / "g\x1b[31m").write_bytes(b"a note")
    with pytest.raises(InputError) as error:
        find_files([str(tmp_path / "g\x1b[31m")])
    assert "\x1b" not in str(error.value)


def test_large_rows_of_all_threads_take_turns(monkeypatch):
    monkeypatch.setattr(rows_module, "_SMALL_BYTES", 1000)
    line = json.dumps({"messages": ["x" * 1000]}).encode() + b"\n"
    most = rows_module.LARGE_AT_ONCE
    readers = [rows_module.read_json(io.BytesIO(line * 2), "lines") for _ in range(most)]
    for reader in readers:
        assert isinstance(next(reader), dict)
    assert not rows_module._large_rows.acquire(blocking=False)
    small = rows_module.read_json(io.BytesIO(b'{"a": 1}\n'), "lines")
    assert next(small) == {"a": 1}  # needs no turn
    readers.pop()
    reader = readers[0]  # nothing holds the other one any more: it is closed
    assert rows_module._large_rows.acquire(blocking=False)
    rows_module._large_rows.release()
    for reader in readers:
        assert len([*reader]) == 1
