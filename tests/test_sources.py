"""Input files are found, their shape is detected, and rows are read from good and bad files."""

import gzip
import io
import json
import os
import tracemalloc
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.core import url_to_fs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vitw_ray.conversations import opening, parquet, rows
from vitw_ray.conversations.looking import recognise
from vitw_ray.conversations.parquet import read_parquet
from vitw_ray.conversations.rows import FileBroken, Reject, read_json
from vitw_ray.conversations.shapes import parse
from vitw_ray.conversations.sources import find_files, iter_rows
from vitw_ray.conversations.times import TimeUnreadable, read_time
from vitw_ray.errors import InputError

ROWS = [
    {"conversation_id": f"c{n}", "messages": [{"role": "user", "content": f'"{n}" \\ [é], {{}}'}]}
    for n in range(30)
]
SUFFIXES = (
    ".parquet",
    *(k + p for k in (".jsonl", ".ndjson", ".json") for p in ("", ".gz", ".zst")),
)
SECRET = "what-nobody-may-see"


def as_lines(values, indent=None):
    return b"".join(json.dumps(value, indent=indent).encode() + b"\n" for value in values)


def pack(data, suffix):
    codec = {".gz": "gzip", ".zst": "zstd"}.get(suffix)
    if codec is None:
        return data
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, codec) as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


def parquet_bytes(table, **options):
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)
    return buffer.getvalue()


def file_bytes(name, values=ROWS):
    if name.endswith(".parquet"):
        return parquet_bytes(pa.Table.from_pylist(list(values)))
    return pack(as_lines(values), Path(name).suffix)


@pytest.fixture
def write(tmp_path):
    """Write a file below the test's folder."""

    def write_file(name, data):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return str(path)

    return write_file


@pytest.fixture
def source(write):
    """Write a file and name it as an input."""
    return lambda name, data: find_files([write(name, data)])[0]


def names(*inputs):
    return [file.name for file in find_files([str(item) for item in inputs])]


def codes(read):
    return [row.reason if isinstance(row, Reject) else "good" for _, row in read]


# --- which files


def test_inputs_in_any_order_and_twice_name_each_file_once(write, tmp_path):
    for name in ("b/2.jsonl", "a/1.jsonl", "a/x/3.parquet"):
        write(name, file_bytes(name))
    one = find_files([str(tmp_path / "a"), str(tmp_path / "b/2.jsonl")])
    other = find_files([f"{tmp_path}/*/*.jsonl", str(tmp_path / "b"), str(tmp_path / "a")])
    assert one == other
    assert [file.name for file in one] == ["a/1.jsonl", "a/x/3.parquet", "b/2.jsonl"]


def test_names_do_not_depend_on_the_location_of_the_folder(write, tmp_path):
    for place in ("here", "there/deep"):
        write(f"{place}/a/1.jsonl", b"{}")
        write(f"{place}/2.json.gz", b"{}")
    assert names(tmp_path / "here") == names(tmp_path / "there/deep") == ["2.json.gz", "a/1.jsonl"]


def test_the_name_of_a_file_does_not_change_when_another_appears_beside_it(write, tmp_path):
    write("data/a/1.jsonl", b"{}")
    before = names(tmp_path / "data")
    write("data/b/2.jsonl", b"{}")
    assert set(before) < set(names(tmp_path / "data"))


def test_a_relative_path_is_resolved(write, tmp_path, monkeypatch):
    write("data/1.jsonl", b"{}")
    monkeypatch.chdir(tmp_path)
    assert find_files(["data"]) == find_files([str(tmp_path / "data")])


def test_size_and_version_change_with_the_content(write, tmp_path):
    path = write("1.jsonl", b"{}")
    before = find_files([path])[0]
    write("1.jsonl", b"{} ")
    os.utime(path, ns=(0, 1_700_000_000_123_456_789))
    after = find_files([path])[0]
    assert (before.size_bytes, after.size_bytes) == (2, 3)
    assert before.version != after.version == "1700000000123456789"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_known_suffix_is_found_in_a_folder(write, tmp_path, suffix):
    write("data/notes.txt", b"a note")
    write(f"data/1{suffix}", file_bytes(f"1{suffix}"))
    assert names(tmp_path / "data") == [f"1{suffix}"]


def test_hidden_files_and_folders_are_skipped(write, tmp_path):
    for name in ("1.jsonl", "_SUCCESS.json", ".2.jsonl", ".cache/3.jsonl", "_old/4.jsonl"):
        write(f"data/{name}", b"{}")
    assert names(tmp_path / "data") == ["1.jsonl"]


def test_links_to_files_are_followed_and_links_to_folders_are_not(write, tmp_path):
    target = write("elsewhere/blob", b"{}")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/1.jsonl").symlink_to(target)
    (tmp_path / "data/loop.parquet").symlink_to(tmp_path / "data")
    assert names(tmp_path / "data") == ["1.jsonl"]


def test_a_broken_link_is_an_error(tmp_path):
    (tmp_path / "1.jsonl").symlink_to(tmp_path / "gone.jsonl")
    with pytest.raises(InputError, match="FileNotFoundError"):
        find_files([str(tmp_path)])


@pytest.mark.parametrize("given", ["gone.jsonl", "gone/", "*.jsonl", "**/[ab]?.parquet", "."])
def test_an_input_without_files_is_named_in_the_error(tmp_path, given):
    pattern = f"{tmp_path}/{given}"
    with pytest.raises(InputError) as error:
        find_files([pattern])
    assert pattern in error.value.problem
    assert "--input" in error.value.fix


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"a note", "text that is neither JSON nor CSV"),
        (b"", "empty"),
        (b"\x89PNG\r\n\x1a\n", "an image"),
        (b"<!doctype html>", "HTML or XML"),
    ],
)
def test_a_named_file_that_holds_no_rows_is_an_error_that_says_what_it_is(write, data, what):
    with pytest.raises(InputError, match=f"notes is {what}"):
        find_files([write("notes", data)])


def test_an_existing_file_name_with_brackets_is_not_a_pattern(write, tmp_path):
    path = write("chats [1].jsonl", b"{}")
    assert names(path) == ["chats [1].jsonl"]


def test_a_file_without_read_permission_is_an_error(write, monkeypatch):
    path = write("1.jsonl", b"{}")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(InputError, match="PermissionError"):
        find_files([path])


def test_a_folder_without_list_permission_is_an_error(write, tmp_path, monkeypatch):
    write("1.jsonl", b"{}")
    write("closed/2.jsonl", b"{}")
    scandir = os.scandir

    def guarded(path):
        if str(path).rstrip("/").endswith("closed"):
            raise PermissionError
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    with pytest.raises(InputError, match="PermissionError"):
        find_files([str(tmp_path)])


def test_an_address_of_an_unknown_storage_is_an_error():
    with pytest.raises(InputError, match="cannot be read"):
        find_files(["nowhere://bucket/1.jsonl"])


@pytest.fixture(params=["memory", pytest.param("s3", marks=pytest.mark.s3)])
def bucket(request):
    """Address of an empty folder in a storage that is not local."""
    if request.param == "s3":
        yield request.getfixturevalue("s3_server").new_bucket() + "/chats"
        return
    yield "memory://chats"
    fsspec.filesystem("memory").store.clear()


def put(address, data):
    storage, path = url_to_fs(address, skip_instance_cache=True)  # as another process would
    storage.pipe(path, data)


def test_other_storages_are_listed_and_read_like_local_folders(bucket):
    for name in ("a/1.jsonl.gz", "a/b/2.parquet", "a/_SUCCESS.json", "c/3.jsonl", "c/4.json.zst"):
        put(f"{bucket}/{name}", file_bytes(name))
    files = find_files([f"{bucket}/a", f"{bucket}/*/[34].json*"])
    assert [file.name for file in files] == [
        "a/1.jsonl.gz",
        "a/b/2.parquet",
        "c/3.jsonl",
        "c/4.json.zst",
    ]
    assert all([row for _, row in iter_rows(file)] == ROWS for file in files)
    assert {recognise(file) for file in files} == {"vitw"}


def test_a_version_in_remote_storage_changes_with_the_content(bucket):
    put(f"{bucket}/1.jsonl", b"{}")
    before = find_files([bucket])[0]
    put(f"{bucket}/1.jsonl", b'{"a": 1}')
    after = find_files([bucket])[0]
    assert before.url == after.url
    assert before.version != after.version


@pytest.mark.parametrize("given", ["gone.jsonl", "gone", "*.jsonl"])
def test_a_missing_remote_input_is_an_error(bucket, given):
    put(f"{bucket}/1.parquet", b"")
    with pytest.raises(InputError) as error:
        find_files([f"{bucket}/{given}"])
    assert f"{bucket}/{given}" in error.value.problem


def test_local_and_remote_inputs_have_no_folder_in_common(bucket, write):
    put(f"{bucket}/1.jsonl", b"{}")
    assert len(set(names(f"{bucket}/1.jsonl", write("1.jsonl", b"{}")))) == 2


class FailingFile(io.BytesIO):
    """A file whose connection is lost after the first bytes."""

    def read(self, size=-1, /):
        if self.tell() > 0:
            raise ConnectionResetError
        return super().read(100)


@pytest.mark.parametrize("name", ["1.jsonl", "1.jsonl.gz", "1.jsonl.zst", "1.parquet"])
def test_a_storage_failure_is_an_error_and_never_a_reject(source, monkeypatch, name):
    data = file_bytes(name)
    file = source(name, data)
    storage = SimpleNamespace(open=lambda *_, **__: FailingFile(data))
    monkeypatch.setattr(opening, "located", lambda url: (storage, url))
    with pytest.raises(InputError, match="ConnectionResetError"):
        list(iter_rows(file))


# --- rows of good files


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_rows_are_read_from_every_kind_of_file(source, suffix):
    file = source(f"1{suffix}", file_bytes(f"1{suffix}"))
    assert list(iter_rows(file)) == list(enumerate(ROWS))


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("suffix", [".json", ".json.gz", ".json.zst"])
def test_the_rows_of_a_json_array_are_its_elements(source, suffix, indent):
    document = json.dumps(ROWS, indent=indent, ensure_ascii=False).encode()
    file = source(f"1{suffix}", pack(document, Path(suffix).suffix))
    assert list(iter_rows(file)) == list(enumerate(ROWS))


def test_an_indented_json_object_is_one_row(source):
    file = source("1.json", as_lines(ROWS[:1], indent=2))
    assert list(iter_rows(file)) == [(0, ROWS[0])]


@pytest.mark.parametrize("layout", [as_lines(ROWS[:2]), json.dumps(ROWS[:2]).encode()])
def test_a_byte_order_mark_is_ignored(source, layout):
    assert len(list(iter_rows(source("1.json", b"\xef\xbb\xbf" + layout)))) == 2
    assert codes(iter_rows(source("2.json", b"\xef\xbb\xbf" + layout))) == ["good", "good"]


def test_blank_lines_are_skipped(source):
    file = source("1.jsonl", b'\r\n{"a": 1}\r\n   \n\n{"a": 2}')
    assert list(iter_rows(file)) == [(0, {"a": 1}), (1, {"a": 2})]


def test_nan_is_null_and_the_last_of_duplicate_keys_wins(source):
    file = source("1.jsonl", b'{"a": NaN, "b": -Infinity, "c": 1, "c": 2}\n')
    assert list(iter_rows(file)) == [(0, {"a": None, "b": None, "c": 2})]


def test_concatenated_gzip_members_are_one_file(source):
    parts = pack(as_lines(ROWS[:10]), ".gz") + pack(as_lines(ROWS[10:]), ".gz")
    assert [row for _, row in iter_rows(source("1.jsonl.gz", parts))] == ROWS


def test_a_turn_of_five_megabytes_is_read_unchanged(source):
    row = {"conversation_id": "c", "messages": [{"role": "user", "content": "é\n" * 2_500_000}]}
    for name in ("1.jsonl.gz", "1.parquet"):
        file = source(name, file_bytes(name, [row, ROWS[0]]))
        assert [got for _, got in iter_rows(file)] == [row, ROWS[0]]


def test_duplicate_ids_are_not_removed_while_reading(source):
    file = source("1.jsonl", as_lines([ROWS[0], ROWS[0]]))
    assert [row for _, row in iter_rows(file)] == [ROWS[0], ROWS[0]]


def test_only_the_columns_of_the_shape_are_read_from_a_columnar_file(source):
    table = pa.Table.from_pylist([{**row, "embedding": [1.0]} for row in ROWS])
    file = source("1.parquet", parquet_bytes(table))
    assert [row for _, row in iter_rows(file, "vitw")] == ROWS
    assert next(iter_rows(file)) == (0, {**ROWS[0], "embedding": [1.0]})


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.sampled_from('"\\[]{},:\né x')),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)


class Pieces(io.BytesIO):
    """A stream that returns at most `size` bytes per read."""

    def __init__(self, data, size):
        super().__init__(data)
        self.size = size

    def read1(self, size=-1, /):
        return super().read1(self.size)


@settings(deadline=None)
@given(
    st.lists(st.dictionaries(st.text(max_size=3), JSON_VALUES, max_size=3), max_size=5),
    st.sampled_from([None, 1]),
    st.booleans(),
    st.integers(1, 9),
)
def test_an_array_read_in_chunks_of_any_size_gives_its_elements(values, indent, ascii_only, size):
    document = json.dumps(values, indent=indent, ensure_ascii=ascii_only).encode()
    assert list(read_json(Pieces(document, size), "array")) == values


# --- rows of bad files

BAD_LINES = {
    b'{"a": "\xff"}': "invalid_utf8",
    b'{"a": ': "not_json",
    b"hello": "not_json",
    b'{"a": "tab\there"}': "not_json",
    b'{"a": ' + b"1" * 5000 + b"}": "not_json",
    b"[1]": "not_an_object",
    b'"text"': "not_an_object",
    b"null": "not_an_object",
    b'{"a":' * 100_000: "too_deep",
    b"[" * 100_000: "too_deep",
    b"\x00" * 20: "not_json",
}


@pytest.mark.parametrize("line", BAD_LINES, ids=lambda line: f"{line[:12]!r}")
def test_a_bad_line_has_a_code_and_other_lines_are_read(source, line):
    file = source("1.jsonl", b'{"n": 0}\n' + line + b'\n{"n": 2}\n')
    assert list(iter_rows(file)) == [(0, {"n": 0}), (1, Reject(BAD_LINES[line])), (2, {"n": 2})]


@pytest.mark.parametrize("element", ["1", '"],["', "nul", '{"a": 1]', '{"a" 1}'])
def test_a_bad_element_has_a_code_and_other_elements_are_read(source, element):
    file = source("1.json", f'[{{"n": 0}}, {element}, {{"n": 2}}]'.encode())
    good, bad, also_good = (row for _, row in iter_rows(file))
    assert (good, also_good) == ({"n": 0}, {"n": 2})
    assert bad in (Reject("not_json"), Reject("not_an_object"))


def test_a_lone_surrogate_is_read_and_rejected_later_by_the_shape(source):
    content = b'{"messages": [{"role": "user", "content": "\\ud800"}]}\n'
    assert codes(iter_rows(source("1.jsonl", content))) == ["good"]


@pytest.mark.parametrize("suffix", [".jsonl", ".json"])
def test_a_row_over_the_limit_is_rejected_and_others_are_read(source, monkeypatch, suffix):
    monkeypatch.setattr(rows, "MAX_ROW_BYTES", 1000)
    values = [{"n": 0}, {"n": "x" * 300_000}, {"n": 2}, {"n": "y" * 989}, {"n": "z" * 995}]
    data = as_lines(values) if suffix == ".jsonl" else json.dumps(values).encode()
    read = codes(iter_rows(source(f"1{suffix}", data)))
    assert read == ["good", "row_too_long", "good", "good", "row_too_long"]


def test_a_document_over_the_limit_is_one_reject(source, monkeypatch):
    monkeypatch.setattr(rows, "MAX_ROW_BYTES", 1000)
    file = source("1.json", b'{\n"n": "' + b"x" * 3000 + b'"}')
    assert codes(iter_rows(file)) == ["row_too_long"]


@pytest.mark.parametrize("name", ["1.jsonl.gz", "1.json.gz"])
def test_a_line_of_200_megabytes_is_never_in_memory(write, name):
    start, end = (b"[", b"]") if name == "1.json.gz" else (b"", b"")
    path = write(name, b"")
    with gzip.GzipFile(path, "wb", compresslevel=1) as stream:
        stream.write(start + b'{"n": "')
        for _ in range(200):
            stream.write(b"x" * (1 << 20))
        stream.write(b'"}' + (b"," if start else b"\n") + b'{"n": 1}' + end)
    tracemalloc.start()
    read = codes(iter_rows(find_files([path])[0]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert read == ["row_too_long", "good"]
    assert peak < 4 * rows.MAX_ROW_BYTES


@pytest.mark.parametrize("name", ["1.jsonl.gz", "1.jsonl.zst", "1.json.gz"])
def test_a_truncated_file_gives_its_first_rows_and_one_reject(source, name):
    values = [{"n": n, "noise": os.urandom(60).hex()} for n in range(5000)]
    document = as_lines(values) if "jsonl" in name else json.dumps(values).encode()
    packed = pack(document, Path(name).suffix)
    *good, last = iter_rows(source(name, packed[: len(packed) * 3 // 4]))
    assert [row for _, row in good] == values[: len(good)]
    assert last == (len(good), Reject("file_truncated"))
    assert len(good) > 2000


def test_an_unclosed_array_is_reported_as_truncated(source):
    file = source("1.json", b'[{"n": 0}, {"n": 1')
    assert list(iter_rows(file)) == [(0, {"n": 0}), (1, Reject("file_truncated"))]


def test_text_after_an_array_is_a_reject(source):
    file = source("1.json", b'[{"n": 0}]\n{"n": 1')
    assert codes(iter_rows(file))[0] == "good"
    assert set(codes(iter_rows(file))[1:]) <= {"not_json", "file_truncated"} != set()


def test_damage_inside_a_compressed_file_is_one_reject(source):
    packed = bytearray(pack(as_lines([{"n": os.urandom(60).hex()} for _ in range(5000)]), ".gz"))
    middle = len(packed) // 2
    packed[middle : middle + 2000] = bytes(2000)
    read = codes(iter_rows(source("1.jsonl.gz", bytes(packed))))
    assert read[-1] in ("file_unreadable", "invalid_utf8", "not_json")
    assert read.count("good") > 1000


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=300) | st.text(st.sampled_from('"\\[]{},:\n\ufeff 1a')).map(str.encode))
@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".json.gz"])
def test_no_bytes_raise_an_exception(source, suffix, data):
    packed = pack(data, Path(suffix).suffix)
    try:
        read = list(iter_rows(source(f"1{suffix}", packed)))
    except InputError:  # nothing but what is blank, or bytes of another kind of file
        return
    assert [number for number, _ in read] == list(range(len(read)))


# --- Parquet


def read_table(table, columns=None, **options):
    return list(read_parquet(io.BytesIO(parquet_bytes(table, **options)), columns))


def test_rows_keep_their_numbers_over_row_groups_and_batches():
    table = pa.Table.from_pylist([{"n": n} for n in range(400)])
    assert read_table(table, row_group_size=150) == [(n, {"n": n}) for n in range(400)]


@pytest.mark.parametrize("options", [{}, {"data_page_size": 256, "dictionary_pagesize_limit": 512}])
def test_texts_are_the_same_with_plain_and_dictionary_pages(options):
    texts = ["a", "a", None, "é" * 50, *(str(n) * 20 for n in range(200))]
    values = [{"t": texts[n:][:3], "u": texts[n]} for n in range(200)]
    read = read_table(pa.Table.from_pylist(values), row_group_size=70, **options)
    assert [row for _, row in read] == values


def test_a_dictionary_bomb_is_rejected_within_bounded_memory():
    # 20 KB that expand to 50 GB: each row of the first group repeats 1 MB a thousand times.
    bomb = pa.DictionaryArray.from_arrays(np.zeros(50_000, np.int32), pa.array(["x" * 1_000_000]))
    roles = pa.DictionaryArray.from_arrays(np.zeros(50_000, np.int32), pa.array(["user"]))
    turns = pa.StructArray.from_arrays([roles, bomb], names=["role", "content"])
    offsets = pa.array(range(0, 50_001, 1000), pa.int32())
    table = pa.table({"messages": pa.ListArray.from_arrays(offsets, turns)})
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, table.schema, compression="zstd", store_schema=False) as writer:
        writer.write_table(table)
        writer.write_table(table.slice(0, 1).take(pa.array([], pa.int64())))
    before = pa.default_memory_pool().max_memory()
    read = list(read_parquet(io.BytesIO(buffer.getvalue()), None))
    assert [row for _, row in read] == [Reject("row_too_long")] * 50
    assert len(buffer.getvalue()) < 100_000
    assert pa.default_memory_pool().max_memory() - before < 200 << 20


def test_a_long_row_is_a_reject_and_others_are_read(monkeypatch):
    monkeypatch.setattr(parquet, "MAX_ROW_BYTES", 1000)
    values = [{"t": ["a"]}, {"t": ["b" * 600] * 2}, {"t": ["c" * 600]}, {"t": None}]
    read = [row for _, row in read_table(pa.Table.from_pylist(values))]
    assert read == [values[0], Reject("row_too_long"), values[2], values[3]]


NESTED = st.lists(
    st.fixed_dictionaries(
        {
            "s": st.none() | st.text(max_size=20),
            "l": st.none() | st.lists(st.none() | st.text(max_size=9), max_size=4),
            "m": st.lists(
                st.none() | st.fixed_dictionaries({"r": st.text(max_size=9)}), max_size=4
            ),
        }
    ),
    min_size=1,
    max_size=20,
)
NESTED_SCHEMA = pa.schema(
    {
        "s": pa.string(),
        "l": pa.list_(pa.string()),
        "m": pa.list_(pa.struct({"r": pa.string()})),
    }
)


@settings(deadline=None)
@given(NESTED, st.integers(0, 5))
def test_the_size_of_a_row_is_at_least_that_of_its_texts(values, start):
    table = pa.Table.from_pylist(values, NESTED_SCHEMA)
    buffer = io.BytesIO(parquet_bytes(table))
    file = pq.ParquetFile(buffer, read_dictionary=["s", "l.list.element", "m.list.element.r"])
    batch = next(file.iter_batches()).slice(start)
    sizes = sum((parquet._row_bytes(column) for column in batch.columns), np.zeros(batch.num_rows))
    for size, row in zip(sizes, values[start:], strict=True):
        texts = [row["s"], *(row["l"] or []), *(m["r"] for m in row["m"] if m)]
        total = sum(len(text.encode()) for text in texts if text)
        # Every value has the same overhead: three columns, and each element of the two lists.
        elements = len(row["l"] or []) + 2 * len(row["m"])
        assert total <= size <= total + parquet._VALUE_BYTES * (4 + elements)


def test_a_file_without_any_column_of_its_shape_is_one_reject():
    with pytest.raises(FileBroken, match="columns_missing"):
        read_table(pa.table({"price": [1, 2]}), columns=["messages"])


@pytest.mark.parametrize(
    "kind", [pa.timestamp("us"), pa.timestamp("s", "UTC"), pa.timestamp("ns", "Mars/Olympus")]
)
@pytest.mark.parametrize("nested", [False, True])
def test_a_time_that_python_cannot_represent_costs_no_row(kind, nested):
    units = {"us": 10**6, "s": 1, "ns": 10**9}[kind.unit]
    late = pa.array([86400 * units, 10**12 if kind.unit == "s" else 2**62, None], kind)
    if nested:
        late = pa.StructArray.from_arrays([late], names=["inner"])
    rows = [row for _, row in read_table(pa.table({"t": late, "id": [1, 2, 3]}))]
    assert [row["id"] for row in rows] == [1, 2, 3]
    times = [row["t"]["inner"] if nested else row["t"] for row in rows]
    assert times[0].isoformat().startswith("1970-01-02T00:00:00")
    assert times[2] is None
    if kind.unit == "ns":
        assert times[1].year == 2116
    else:
        assert isinstance(times[1], str)
        with pytest.raises(TimeUnreadable):
            read_time(times[1])


def test_the_keys_of_a_map_are_those_of_an_object():
    kind = pa.list_(pa.map_(pa.string(), pa.string()))
    said = [[[("role", "user"), ("content", "Hi")], [("role", "assistant"), ("content", "Yes")]]]
    rows = [row for _, row in read_table(pa.table({"messages": pa.array(said, kind)}))]
    assert rows[0]["messages"][1] == {"role": "assistant", "content": "Yes"}


def test_binary_ids_of_a_fixed_length_become_text():
    ids = [UUID(int=2**100 + 7).bytes, b"0123456789abcdef", None]
    short = [bytes(range(200, 212)), b"abcdefghijkl", None]
    table = pa.table({"u": pa.array(ids, pa.binary(16)), "o": pa.array(short, pa.binary(12))})
    rows = [(row["u"], row["o"]) for _, row in read_table(table)]
    assert rows == [
        (str(UUID(int=2**100 + 7)), short[0].hex()),
        ("0123456789abcdef", "abcdefghijkl"),
        (None, None),
    ]


def test_text_that_is_not_utf8_rejects_only_its_row():
    offsets = np.array([0, 1, 2, 3], np.int32)
    buffers = [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(b"a\xffc")]
    broken = pa.Array.from_buffers(pa.string(), 3, buffers)
    assert codes(read_table(pa.table({"t": broken}))) == ["good", "invalid_utf8", "good"]


def test_columns_of_every_other_type_are_read():
    table = pa.table(
        {
            "map": pa.array([[("k", "v")], None], pa.map_(pa.string(), pa.string())),
            "fixed": pa.array([["a", "b"], None], pa.list_(pa.string(), 2)),
            "large": pa.array([["a"], []], pa.large_list(pa.large_string())),
            "binary": [b"a", None],
            "null": pa.nulls(2),
            "dictionary": pa.array(["a", "b"]).dictionary_encode(),
            "struct": [{"a": 1}, None],
        }
    )
    expected = [{**row, "binary": "a" if row["binary"] else None} for row in table.to_pylist()]
    expected[0]["map"] = {"k": "v"}
    assert [row for _, row in read_table(table)] == expected


def test_a_broken_row_group_is_one_reject_and_others_are_read():
    table = pa.table({"n": range(300), "t": [os.urandom(50).hex() for _ in range(300)]})
    data = bytearray(parquet_bytes(table, row_group_size=100, compression="zstd"))
    chunk = pq.read_metadata(io.BytesIO(data)).row_group(1).column(1)
    start = chunk.dictionary_page_offset
    data[start : start + chunk.total_compressed_size // 2] = bytes(chunk.total_compressed_size // 2)
    read = list(read_parquet(io.BytesIO(data), None))
    good = [(number, row) for number, row in read if not isinstance(row, Reject)]
    assert good == [(n, row) for n, row in enumerate(table.to_pylist()) if not 100 <= n < 200]
    assert [r for r in read if isinstance(r[1], Reject)] == [(100, Reject("row_group_unreadable"))]


@pytest.mark.parametrize("index", [-1, 2, 2**31 - 1])
def test_an_index_outside_the_dictionary_is_damage(index):
    indices = pa.array([0, index], pa.int32())
    column = pa.DictionaryArray.from_arrays(indices, pa.array(["a", "b"]), safe=False)
    with pytest.raises(pa.ArrowInvalid):
        list(parquet._batch_rows(pa.RecordBatch.from_arrays([column], ["t"])))


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_no_damage_to_a_parquet_file_raises_another_exception(data):
    packed = bytearray(file_bytes("1.parquet"))
    for _ in range(data.draw(st.integers(1, 4))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    packed = packed[: data.draw(st.sampled_from([len(packed), len(packed) // 2]))]
    try:
        read = list(read_parquet(io.BytesIO(packed), None))
    except FileBroken:
        return
    assert all(isinstance(row, dict | Reject) for _, row in read)


class Tripwire(pa.ExtensionType):
    """A column type like those of Ray and pandas: its code runs when a schema is read."""

    triggered = False

    def __init__(self):
        super().__init__(pa.string(), "vitw_ray.tests.tripwire")

    def __arrow_ext_serialize__(self):
        return b"a pickle, say"

    @classmethod
    def __arrow_ext_deserialize__(cls, _storage, _serialized):
        cls.triggered = True
        return cls()


@pytest.mark.parametrize("nested", [False, True])
def test_no_code_runs_for_a_column_of_an_extension_type(source, nested):
    column = pa.ExtensionArray.from_storage(Tripwire(), pa.array([SECRET]))
    if nested:
        column = pa.StructArray.from_arrays([column], names=["inner"])
    data = parquet_bytes(pa.table({"messages": column}))
    pa.register_extension_type(Tripwire())
    try:
        Tripwire.triggered = False
        file = source("1.parquet", data)
        (row,) = [row for _, row in iter_rows(file)]
        assert row == {"messages": {"inner": SECRET} if nested else SECRET}
        with pytest.raises(InputError, match="looks like openai"):
            recognise(file)
        assert not Tripwire.triggered
        pq.read_schema(io.BytesIO(data))
        assert Tripwire.triggered  # the test type really runs code
    finally:
        pa.unregister_extension_type("vitw_ray.tests.tripwire")


# --- detecting the shape


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_shape_is_detected_in_every_kind_of_file(source, suffix):
    assert recognise(source(f"1{suffix}", file_bytes(f"1{suffix}"))) == "vitw"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("1.json", b"[]"),
        ("1.csv", b"id,messages\n"),
        ("1.parquet", parquet_bytes(pa.table({"messages": pa.array([], pa.string())}))),
    ],
)
def test_a_file_without_rows_has_no_shape_and_is_not_an_error(source, name, data):
    file = source(name, data)
    assert list(iter_rows(file)) == []
    assert recognise(file) is None
    assert recognise(file, "openai") is None


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("1.jsonl.gz", as_lines(ROWS)),
        ("1.jsonl.zst", as_lines(ROWS)),
        ("1.json.gz", as_lines(ROWS)),
        ("1.parquet", as_lines(ROWS)),
        ("1.jsonl", pack(as_lines(ROWS), ".gz")),
        ("1.jsonl", file_bytes("1.parquet")),
        ("1.jsonl", json.dumps(ROWS, indent=1).encode()),
        ("1.jsonl", as_lines(ROWS).decode().encode("utf-16")),
    ],
)
def test_a_file_that_does_not_match_its_suffix_is_read(source, name, data):
    file = source(name, data)
    assert list(iter_rows(file)) == list(enumerate(ROWS))
    assert recognise(file) == "vitw"


@pytest.mark.parametrize(
    ("name", "data"), [("1.jsonl", f"{SECRET}\n".encode() * 3), ("1.json", SECRET.encode())]
)
@pytest.mark.parametrize("source_format", ["auto", "vitw"])
def test_a_file_named_json_that_holds_none_is_an_error(source, name, data, source_format):
    file = source(name, data)
    with pytest.raises(InputError) as error:
        recognise(file, source_format)
    assert file.url in error.value.problem
    assert SECRET not in str(error.value)


def test_an_unknown_shape_is_an_error_that_names_columns_shapes_and_the_setting(source):
    file = source("1.jsonl", as_lines([{"remark": SECRET, "note": "b", SECRET + "!": "c"}]))
    with pytest.raises(InputError) as error:
        recognise(file)
    assert "note, remark, ..." in error.value.problem
    assert "sharegpt" in error.value.fix
    assert "--source-format" in error.value.fix
    assert SECRET not in str(error.value)


def test_rows_without_columns_have_no_known_shape(source):
    with pytest.raises(InputError, match="none of the known shapes"):
        recognise(source("1.jsonl", b"{}\n{}\n"))


def test_a_shape_whose_rows_cannot_be_read_is_an_error_with_their_codes(source):
    file = source("1.jsonl", as_lines([{"conversation_id": "c", "messages": SECRET}] * 30))
    with pytest.raises(InputError, match=r"looks like vitw.*messages_wrong_type 30"):
        recognise(file)


def test_a_shape_given_by_the_user_is_used(source):
    file = source("1.jsonl", as_lines([{"conversation_id": "c", "messages": SECRET}]))
    assert recognise(file, "wildchat") == "wildchat"


def test_bad_rows_at_the_start_do_not_hide_the_shape(source):
    assert recognise(source("1.jsonl", b"oops\n" * 500 + as_lines(ROWS))) == "vitw"


@pytest.mark.parametrize(
    ("name", "count"), [("conversations.jsonl.gz", 2814), ("models.jsonl.gz", 7339)]
)
def test_every_real_row_is_read(real_data, name, count):
    file = find_files([str(real_data / name)])[0]
    shape = recognise(file)
    assert shape == "vitw"
    parsed = [parse(shape, row) for _, row in iter_rows(file) if isinstance(row, dict)]
    assert len(parsed) == len({row["conversation_id"] for row in parsed}) == count
