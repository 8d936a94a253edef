"""Storage: the same tests for folders and buckets, which must behave the same."""

import errno
import os
import pickle
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vitw_ray import storage as storage_module
from vitw_ray.errors import OutputError
from vitw_ray.storage import Storage

BUCKET = pytest.param("bucket", marks=pytest.mark.s3)


@pytest.fixture(params=["folder", BUCKET])
def storage(request, tmp_path):
    if request.param == "folder":
        return Storage(str(tmp_path / "runs" / "a"))
    return Storage(request.getfixturevalue("s3_server").new_bucket() + "/runs/a")


@pytest.fixture
def folder(tmp_path):
    return Storage(str(tmp_path / "runs" / "a"))


@pytest.fixture
def bucket(s3_server):
    return Storage(s3_server.new_bucket() + "/runs/a")


def paths(storage, prefix=""):
    return [stat.path for stat in storage.list(prefix)]


def test_a_written_file_is_read_back_and_replaced_atomically(storage):
    storage.write("4_taxonomy-ab/part.parquet", b"a long first version")
    storage.write("4_taxonomy-ab/part.parquet", b"second")
    assert storage.read("4_taxonomy-ab/part.parquet") == b"second"


def test_a_name_is_created_once(storage):
    assert storage.create("manifest.json", b"first")
    assert not storage.create("manifest.json", b"second")
    assert storage.read("manifest.json") == b"first"


def test_of_racing_creators_exactly_one_wins(storage):
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda i: storage.create("manifest.json", b"%d" % i), range(8)))
    assert sum(won) == 1
    assert storage.read("manifest.json") == b"%d" % won.index(True)
    assert paths(storage) == ["manifest.json"]


def test_a_second_name_has_the_same_bytes_and_outlives_the_first(storage):
    storage.write("private/a/x", b"one")
    storage.copy("private/a/x", "private/b/c/x")
    storage.delete("private/a/x")
    assert storage.read("private/b/c/x") == b"one"
    storage.write("private/a/x", b"two")
    assert storage.read("private/b/c/x") == b"one"
    with pytest.raises(FileNotFoundError):
        storage.copy("private/none", "private/b/none")


def test_where_there_are_no_links_a_second_name_is_a_copy(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EOPNOTSUPP, "no links")

    storage = Storage(str(tmp_path))
    storage.write("private/a", b"one")
    link = Path.hardlink_to
    refused = iter([refuse])
    monkeypatch.setattr(Path, "hardlink_to", lambda *args: next(refused, link)(*args))
    storage.copy("private/a", "private/b")
    assert storage.read("private/b") == b"one"
    assert (tmp_path / "private" / "b").stat().st_ino != (tmp_path / "private" / "a").stat().st_ino


def test_a_listing_is_recursive_sorted_and_not_cached(storage):
    assert storage.list() == []
    for path in ("b/c/1", "a", "b/2"):
        storage.write(path, path.encode())
    assert [(stat.path, stat.size) for stat in storage.list()] == [
        ("a", 1),
        ("b/2", 3),
        ("b/c/1", 5),
    ]
    storage.delete("b/2")
    storage.write("b/3", b"")
    assert paths(storage, "b") == ["b/3", "b/c/1"]


def test_a_listing_of_a_folder_leaves_out_folders_with_a_longer_name(storage):
    storage.write("private/answers-ab/1", b"")
    storage.write("private/answers-abc/1", b"")
    assert paths(storage, "private/answers-ab") == ["private/answers-ab/1"]
    assert paths(storage, "private/answers-a") == []


def test_the_children_of_a_folder_are_its_own_files_and_folders(storage):
    assert storage.children("a") == []
    for path in ("a/1", "a/b/2", "a/b/c/3", "ab/4"):
        storage.write(path, b"")
    assert storage.children("a") == ["1", "b"]
    storage.write("a/d/5", b"")
    assert storage.children("a") == ["1", "b", "d"]


def test_the_version_of_a_file_changes_with_its_content_only(storage):
    storage.write("a", b"one")
    first = storage.list()
    assert storage.list() == first
    storage.write("a", b"two")
    assert storage.list()[0].version != first[0].version


def test_files_of_another_process_are_visible_at_once(storage):
    storage.write("private/first", b"")
    other = storage_module._filesystem.__wrapped__("file" if storage.local else "s3", 0)
    assert paths(storage) == ["private/first"]
    assert not storage.exists("private/second")
    other.pipe_file(storage.address("private/second"), b"new")
    assert storage.exists("private/second")
    assert paths(storage) == ["private/first", "private/second"]
    other.pipe_file(storage.address("private/second"), b"newer")
    assert storage.fs.info(storage.address("private/second"))["size"] == 5


def test_a_missing_file_is_a_file_not_found_error(storage):
    with pytest.raises(FileNotFoundError):
        storage.read("nothing")
    with pytest.raises(FileNotFoundError):
        storage.open("nothing").read()


def test_folders_and_files_exist_and_others_do_not(storage):
    storage.write("private/secret", b"")
    assert storage.exists("private/secret")
    assert storage.exists("private")
    assert not storage.exists("priv")


def test_deleting_is_idempotent_and_keeps_other_files(storage):
    for path in ("private/a/1", "private/b/2", "private.txt"):
        storage.write(path, b"x")
    storage.delete("private/a/1")
    storage.delete("private/a/1")
    assert paths(storage) == ["private.txt", "private/b/2"]
    storage.delete_prefix("private")
    storage.delete_prefix("private")
    assert paths(storage) == ["private.txt"]


def test_a_delete_that_the_store_ignores_is_an_error(storage, monkeypatch):
    storage.write("private/a", b"x")
    monkeypatch.setattr(storage_module.shutil, "rmtree", lambda path: None)
    monkeypatch.setattr(storage.fs, "rm", lambda found: None)
    with pytest.raises(OutputError, match=r"1 files under .*private could not be deleted"):
        storage.delete_prefix("private")


@pytest.mark.parametrize("path", ["../b/x", "/etc/passwd", "a/../../b"])
def test_no_path_leaves_the_root(storage, path):
    for verb in (storage.read, storage.list, storage.delete_prefix, storage.delete):
        with pytest.raises(ValueError, match="not below the root"):
            verb(path)


@pytest.mark.parametrize("prefix", ["", "/", ".", "./"])
def test_the_whole_root_is_never_deleted(storage, prefix):
    storage.write("a", b"x")
    with pytest.raises(ValueError, match="whole root"):
        storage.delete_prefix(prefix)
    assert paths(storage) == ["a"]


def test_a_storage_can_be_pickled_to_another_process(storage):
    storage.write("a", b"x")
    assert pickle.loads(pickle.dumps(storage)).read("a") == b"x"
    assert len(pickle.dumps(storage)) < 300


def test_a_store_with_conditional_writes_passes_the_probe_and_is_left_clean(storage):
    storage.probe_conditional_writes()
    assert storage.list() == []


def test_a_parquet_column_is_read_without_the_other_columns(storage, monkeypatch):
    noise = np.random.default_rng(0).bytes(4_000_000)
    rows = [noise[i : i + 40] for i in range(0, len(noise), 40)]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"id": range(len(rows)), "text": rows}), sink)
    storage.write("part.parquet", sink.getvalue().to_pybytes())
    fetched = []
    if not storage.local:
        import s3fs

        fetch = s3fs.core.S3File._fetch_range
        monkeypatch.setattr(
            s3fs.core.S3File,
            "_fetch_range",
            lambda self, start, end: fetched.append(end - start) or fetch(self, start, end),
        )
    with storage.open("part.parquet") as file:
        assert pq.ParquetFile(file).read(columns=["id"])["id"].to_pylist() == list(range(len(rows)))
    assert sum(fetched) < 1_500_000  # the ids and the footer, of 5 MB


def test_paths_and_file_addresses_name_the_same_absolute_root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expected = Storage(str(tmp_path / "runs"))
    assert Storage("runs") == Storage("runs/") == Storage(f"file://{tmp_path}/runs") == expected


@pytest.mark.parametrize("root", ["gs://bucket/run", "http://host/run", "s3://", "s3:///"])
def test_other_addresses_are_refused(root):
    with pytest.raises(OutputError):
        Storage(root)


def test_only_the_owner_can_read_private_files(folder):
    old = os.umask(0o022)
    try:
        folder.write("private/2_extractions-ab/part", b"text")
        folder.create("private/secret", b"key")
        folder.write("labels", b"public")
    finally:
        os.umask(old)
    modes = {
        path: oct(Path(folder.address(path)).stat().st_mode & 0o777)
        for path in ("private", "private/2_extractions-ab/part", "private/secret", "labels")
    }
    assert list(modes.values()) == ["0o700", "0o600", "0o600", "0o644"]


def test_a_full_disk_keeps_the_old_file_and_names_the_fix(folder, monkeypatch):
    folder.write("a", b"old")

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(storage_module.os, "fsync", full)
    for verb in (folder.write, folder.create):
        with pytest.raises(OutputError, match=r"a: No space left on device\n.*free some space"):
            verb("a", b"new")
    assert folder.read("a") == b"old"
    assert [path.name for path in Path(folder.root).iterdir()] == ["a"]


WRITER = """
import sys
from vitw_ray.storage import Storage
storage = Storage(sys.argv[1])
for turn in range(10**6):
    storage.write("a", bytes([turn % 2]) * 4_000_000)
    if turn == 1:
        print("writing", flush=True)
"""


def test_a_killed_writer_leaves_a_complete_file(folder):
    writer = subprocess.Popen([sys.executable, "-c", WRITER, folder.root], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    writer.stdout.readline()
    whole = {bytes([turn]) * 4_000_000 for turn in (0, 1)}
    assert all(folder.read("a") in whole for _ in range(20))
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert folder.read("a") in whole
    assert paths(folder) == ["a"]


def test_a_file_in_the_place_of_a_folder_is_named_in_the_error(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(OutputError, match=r"cannot write .*/runs/a/b: Not a directory\n.*move it"):
        Storage(str(tmp_path / "runs" / "a")).write("b", b"")


@pytest.mark.s3
def test_an_object_is_replaced_only_if_unchanged(bucket):
    bucket.create("private/driver.json", b"one")
    content, etag = bucket.read_with_etag("private/driver.json")
    assert content == b"one"
    second = bucket.replace("private/driver.json", b"two", etag)
    assert second == bucket.read_with_etag("private/driver.json")[1]
    assert bucket.replace("private/driver.json", b"three", etag) is None
    assert bucket.replace("private/nothing", b"three", etag) is None
    assert bucket.read("private/driver.json") == b"two"


@pytest.mark.s3
def test_a_conditional_put_that_the_client_repeats_succeeds(bucket, monkeypatch):
    call = bucket.fs.call_s3

    def lose_the_first_reply(method, **options):
        if method == "put_object":
            call(method, **options)
        return call(method, **options)

    monkeypatch.setattr(bucket.fs, "call_s3", lose_the_first_reply)
    assert bucket.create("a", b"one")
    assert not bucket.create("a", b"one")
    etag = bucket.read_with_etag("a")[1]
    assert bucket.replace("a", b"two", etag) is not None
    assert bucket.replace("a", b"two", etag) is None


@pytest.mark.s3
def test_a_conditional_put_during_another_is_retried(bucket, monkeypatch):
    from botocore.exceptions import ClientError

    call = bucket.fs.call_s3
    conflict = OSError("conflict")
    conflict.__cause__ = ClientError({"Error": {"Code": "ConditionalRequestConflict"}}, "PutObject")
    conflicts = [conflict, conflict]

    def busy(method, **options):
        if conflicts:
            raise conflicts.pop()
        return call(method, **options)

    monkeypatch.setattr(bucket.fs, "call_s3", busy)
    assert bucket.create("a", b"one")
    conflicts.extend([conflict] * 9)
    with pytest.raises(OutputError, match=r"cannot create .*: conflict"):
        bucket.create("b", b"one")


@pytest.mark.s3
@pytest.mark.parametrize(
    ("conditions", "problem"), [("ignored", "ignores conditional"), ("refused", "not supported")]
)
def test_a_store_without_conditional_writes_is_refused(s3_server, conditions, problem):
    storage = Storage(s3_server.new_bucket(conditions) + "/runs/a")
    with pytest.raises(
        OutputError, match=rf"{problem}.*(\n.*)*use a store with conditional writes"
    ):
        storage.probe_conditional_writes()
    assert storage.list() == []


@pytest.mark.s3
def test_a_missing_bucket_is_an_error_with_a_fix(s3_server):
    storage = Storage("s3://no-such-bucket/runs/a")
    for verb in (storage.list, storage.probe_conditional_writes, lambda: storage.write("a", b"")):
        with pytest.raises(
            OutputError, match=r"s3://no-such-bucket/runs/a(.*\n)+.*create the bucket"
        ):
            verb()


@pytest.mark.s3
def test_wrong_credentials_are_an_error_with_a_fix(bucket, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    storage_module._filesystem.cache_clear()
    try:
        with pytest.raises(
            OutputError, match=r"cannot write s3://.*/runs/a/b: (.*\n)+.*write access"
        ):
            bucket.write("b", b"")
    finally:
        storage_module._filesystem.cache_clear()
