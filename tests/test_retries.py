"""Storage failures: those that pass are waited out, by the process and then by another round."""

import errno
from pathlib import Path

import pytest

from vitw_ray import cluster, retries
from vitw_ray import storage as storage_module
from vitw_ray.conversations.opening import stored
from vitw_ray.errors import InputFailed, MayPass, OutputError, StageFailed, StorageFailed
from vitw_ray.retries import ATTEMPTS, may_pass, patiently
from vitw_ray.storage import Storage


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(retries, "_FIRST_WAIT_S", 0.0)
    monkeypatch.setattr(cluster, "ROUND_WAITS_S", (0.0, 0.0, 0.0))


class Failing:
    """Does what a function does, after it failed some times."""

    def __init__(self, function, times: int, number: int = errno.EIO) -> None:
        self.function, self.left, self.number = function, times, number

    def __call__(self, *args, **kwargs):
        if self.left:
            self.left -= 1
            raise OSError(self.number, "failed")
        return self.function(*args, **kwargs)


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (OSError(errno.EIO, ""), True),
        (OSError(errno.EBUSY, "SlowDown"), True),  # what s3fs makes of 503
        (ConnectionResetError(errno.ECONNRESET, ""), True),
        (TimeoutError(), True),
        (OSError(errno.ENOSPC, ""), False),
        (FileNotFoundError(errno.ENOENT, ""), False),
        (PermissionError(errno.EACCES, ""), False),
        (ValueError(), False),
    ],
)
def test_what_may_pass_is_told_from_what_does_not(error, passes):
    assert may_pass(error) == passes


def test_an_operation_is_tried_four_times_and_then_raises_its_own_error():
    assert patiently(Failing(lambda: 7, ATTEMPTS - 1)) == 7
    with pytest.raises(OSError, match="failed"):
        patiently(Failing(lambda: 7, ATTEMPTS))


@pytest.mark.parametrize("times", [1, ATTEMPTS - 1])
def test_reads_writes_and_listings_survive_io_errors(tmp_path, monkeypatch, times):
    storage = Storage(str(tmp_path))
    monkeypatch.setattr(storage_module.os, "fsync", Failing(lambda handle: None, times))
    storage.write("a", b"one")
    monkeypatch.setattr(storage_module.os, "fsync", Failing(lambda handle: None, times))
    assert storage.create("b", b"two")
    monkeypatch.setattr(storage.fs, "cat_file", Failing(storage.fs.cat_file, times))
    assert storage.read("a") == b"one"
    monkeypatch.setattr(storage.fs, "find", Failing(storage.fs.find, times))
    assert [stat.path for stat in storage.list()] == ["a", "b"]


def test_a_name_that_was_created_before_the_failure_counts_as_created(tmp_path, monkeypatch):
    storage = Storage(str(tmp_path))
    synced = []

    def sync(handle):
        synced.append(handle)
        if len(synced) == 2:  # the folder, after the link
            raise OSError(errno.EIO, "failed")

    monkeypatch.setattr(storage_module.os, "fsync", sync)
    assert storage.create("a", b"mine")
    assert not storage.create("a", b"another's")


def test_a_read_goes_on_where_it_failed(tmp_path):
    storage = Storage(str(tmp_path))
    storage.write("a", b"0123456789")
    with storage.open("a") as file:
        assert file.read(4) == b"0123"
        file._file.read = Failing(file._file.read, 2)  # type: ignore[attr-defined]
        assert file.read(4) == b"4567"


def test_a_failure_that_does_not_pass_says_so_in_a_class_of_its_own(tmp_path, monkeypatch):
    storage = Storage(str(tmp_path))
    storage.write("a", b"one")
    monkeypatch.setattr(storage.fs, "cat_file", Failing(storage.fs.cat_file, 99))
    with pytest.raises(StorageFailed, match="cannot read"):
        storage.read("a")
    monkeypatch.setattr(storage_module.os, "fsync", Failing(lambda handle: None, 9, errno.ENOSPC))
    with pytest.raises(OutputError) as full:
        storage.write("a", b"two")
    assert not isinstance(full.value, MayPass)


def test_an_input_file_is_read_on_after_a_failure_and_a_lasting_one_may_pass_elsewhere(tmp_path):
    path = tmp_path / "in"
    path.write_bytes(b"x" * 100)
    with stored(str(path)) as stream:
        raw = stream.raw  # type: ignore[attr-defined]
        raw._file.read = Failing(raw._file.read, 2)
        assert stream.read() == b"x" * 100
    with stored(str(path)) as stream:
        raw = stream.raw  # type: ignore[attr-defined]
        raw._file.read = Failing(raw._file.read, 99)
        with pytest.raises(InputFailed):
            stream.read()


class Rounds:
    """In place of Ray: runs units in this process, and notes the units of each round."""

    def __init__(self, function) -> None:
        self.call, self.rounds = cluster._Guarded(function), []

    def __call__(self, units, options):
        self.rounds.append([unit["n"] for unit in units])
        call = self.call

        class Rows:
            def iter_rows(self):
                return map(call, units)

        return Rows()


UNITS = [{"n": n} for n in range(4)]


def test_units_that_fail_by_storage_are_tried_again_after_the_others():
    failures = {1: 3, 3: 1}

    def function(unit):
        if failures.get(unit["n"], 0):
            failures[unit["n"]] -= 1
            raise OSError(errno.EIO, "failed")
        return unit["n"]

    rounds = Rounds(function)
    assert list(cluster._in_rounds(UNITS, rounds)) == [0, 2, 3, 1]
    assert rounds.rounds == [[0, 1, 2, 3], [1, 3], [1], [1]]


def test_a_unit_that_fails_by_storage_in_every_round_ends_the_run():
    def function(unit):
        raise StorageFailed("cannot read x", "see the disk")

    with pytest.raises(StorageFailed, match="cannot read x"):
        list(cluster._in_rounds(UNITS, Rounds(function)))


def test_a_unit_that_fails_otherwise_ends_the_run_at_once():
    rounds = Rounds(lambda unit: 1 / unit["n"])
    with pytest.raises(StageFailed, match="ZeroDivisionError"):
        list(cluster._in_rounds(UNITS, rounds))
    assert len(rounds.rounds) == 1


def test_a_folder_that_cannot_be_listed_is_not_taken_for_an_empty_one(tmp_path, monkeypatch):
    storage = Storage(str(tmp_path))
    storage.write("a/b", b"")
    monkeypatch.setattr(storage.fs, "ls", Failing(storage.fs.ls, 99))
    with pytest.raises(StorageFailed):
        storage.list("a")
    assert Path(tmp_path / "a" / "b").exists()
