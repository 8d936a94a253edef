"""Committed answers: what is found again, by whom, and what is opened for it."""

from collections import Counter
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitw_ray.extraction.answers import Answer, Extracted, Value
from vitw_ray.extraction.committed import (
    as_keys,
    count_committed,
    find_answers,
    keys_in,
    segments_of,
)
from vitw_ray.extraction.segments import SEGMENT, AnswerFolder, SegmentWriter, open_answers
from vitw_ray.keys import RING_BITS, range_bounds
from vitw_ray.storage import Storage

RING = 1 << RING_BITS
FAILED = Extracted(None, error="time_out")


def answered(level: int) -> Extracted:
    values = (Value(label="honesty", explicit=True),)
    return Extracted(Answer(subjectivity=level, ai_values=values), prompt_tokens=level)


def key(n: int) -> bytes:
    return n.to_bytes(16, "little")  # most keys end in zero bytes, which must not be lost


def place(n: int) -> int:
    """A place for a number below 4,096: in the order of the numbers, all over the ring."""
    return (n << (RING_BITS - 12)) + 5


def places(numbers: Iterable[int]) -> np.ndarray:
    return np.array([place(n) for n in numbers], np.int64)


def folder_of(storage: Storage, parts: int = 1) -> AnswerFolder:
    return open_answers(storage, "answers", parts)


def writer(storage, epoch=1, rows=100, seconds=1e9, clock=lambda: 0.0, parts=1) -> SegmentWriter:
    return SegmentWriter(folder_of(storage, parts), epoch, rows, seconds, clock)


def commit(storage, given_answers: dict[int, Extracted], **options) -> None:
    segment = writer(storage, **options)
    for n, extracted in given_answers.items():
        segment.add(key(n), place(n), extracted)
    segment.commit()


@pytest.fixture(autouse=True, scope="module")
def without_syncing():
    """Thousands of small files are written here, and no power fails."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda handle: None)
        yield


@pytest.fixture
def storage(tmp_path) -> Storage:
    return Storage(str(tmp_path))


def found(storage, numbers, columns=None, parts=1):
    return find_answers(
        folder_of(storage, parts), list(map(key, numbers)), places(numbers), columns
    )


def levels(storage, numbers, parts=1) -> list:
    answers = found(storage, numbers, parts=parts)
    assert not answers.missing.any()
    return answers.take(np.arange(len(numbers)))["subjectivity"].to_pylist()


def committed(storage) -> int:
    return sum(pq.read_metadata(storage.address(s.path)).num_rows for s in storage.list("answers"))


class Opens:
    """Counts the files that a storage opens or reads whole, and what it lists."""

    def __init__(self, monkeypatch):
        self.files, self.folders = Counter(), Counter()
        for name, counter in (
            ("open", self.files),
            ("read", self.files),
            ("list", self.folders),
        ):
            monkeypatch.setattr(Storage, name, self._counted(getattr(Storage, name), counter))

    @staticmethod
    def _counted(function, counter):
        def counted(self, path=""):
            counter[path] += 1
            return function(self, path)

        return counted


def test_an_answer_that_is_not_committed_is_not_there(storage):
    segment = writer(storage)
    segment.add(key(1), place(1), answered(3))
    assert found(storage, [1]).missing.all()
    segment.commit()
    assert levels(storage, [1]) == [3]


def test_a_full_segment_and_an_old_segment_commit_themselves(storage):
    now = [0.0]
    segment = writer(storage, rows=3, seconds=10.0, clock=lambda: now[0])
    for n in range(3):
        segment.add(key(n), place(n), answered(3))
    assert committed(storage) == 3
    segment.add(key(3), place(3), answered(3))
    now[0] = 11.0
    segment.add(key(4), place(4), answered(3))
    assert committed(storage) == 5


def test_old_answers_of_one_range_are_committed_when_another_range_gets_one(storage):
    now = [0.0]
    segment = writer(storage, seconds=10.0, clock=lambda: now[0], parts=4)
    segment.add(key(0), place(0), answered(3))
    now[0] = 11.0
    segment.add(key(4000), place(4000), answered(3))
    assert committed(storage) == 1
    assert not found(storage, [0], parts=4).missing.any()


@settings(max_examples=10, deadline=None)
@given(
    st.lists(st.integers(0, 4095), min_size=1, max_size=120),
    st.sampled_from([1, 2, 8, 64, 4096]),
    st.integers(1, 40),
)
def test_no_more_answers_than_a_segment_holds_are_ever_uncommitted(
    tmp_path_factory, numbers, parts, rows
):
    """What a kill loses, in however many ranges an actor writes."""
    storage = Storage(str(tmp_path_factory.mktemp("kill")))
    segment = writer(storage, rows=rows, parts=parts)
    for count, n in enumerate(numbers, start=1):
        segment.add(key(n), place(n), answered(3))
        assert count - committed(storage) < rows
    segment.commit()
    assert committed(storage) == len(numbers)


def test_segments_grow_with_the_ranges_written_at_once_and_not_with_all(storage):
    """Units lie side by side in the ring: an actor that reads some at once fills few ranges."""
    parts, rows, at_once = 256, 64, 4
    segment = writer(storage, rows=rows, parts=parts)
    numbers = np.arange(4096).reshape(-1, at_once, 64)  # units of 64 rows, some at once
    for units in numbers:
        for row in units.T.ravel().tolist():  # their answers arrive in turn
            segment.add(key(row), place(row), answered(3))
        for unit in units:
            segment.commit(places(unit))
    ranges_at_once = parts * at_once * 64 // 4096
    assert len(storage.list("answers")) <= 4096 // rows * ranges_at_once


def test_a_unit_that_ends_commits_its_own_ranges_only(storage):
    segment = writer(storage, parts=4)
    segment.add(key(0), place(0), answered(3))
    segment.add(key(4000), place(4000), answered(2))
    segment.commit(places([1]))
    assert found(storage, [0, 4000], parts=4).missing.tolist() == [False, True]


def test_the_first_committed_answer_counts_and_later_ones_are_ignored(storage):
    for epoch, level in ((2, 4), (1, 1), (3, 2)):
        commit(storage, {7: answered(level)}, epoch=epoch)
    assert levels(storage, [7]) == [1]


@pytest.mark.parametrize("first", [1, 64])
def test_the_first_answer_counts_whichever_division_it_was_committed_under(storage, first):
    later = 65 - first
    commit(storage, {7: answered(1)}, epoch=1, parts=first)
    commit(storage, {7: answered(4)}, epoch=2, parts=later)
    assert levels(storage, [7], parts=first) == levels(storage, [7], parts=later) == [1]


def test_a_failed_answer_counts_only_as_long_as_there_is_no_other(storage):
    commit(storage, {7: FAILED}, epoch=1)
    answers = found(storage, [7])
    assert (answers.unanswered.tolist(), answers.missing.tolist()) == ([True], [False])
    assert levels(storage, [7]) == [None]
    commit(storage, {7: answered(3)}, epoch=2)
    assert levels(storage, [7]) == [3]
    assert found(storage, [7]).unanswered.tolist() == [False]


def test_a_key_without_an_answer_is_not_found(storage):
    commit(storage, {256: answered(3)})
    folder = folder_of(storage)
    asked = [key(256), key(1), b"\xff" * 16]
    assert find_answers(folder, asked, places([256] * 3)).row.tolist() == [0, -1, -1]


def test_nothing_is_asked_for_and_nothing_is_found(storage):
    commit(storage, {1: answered(3)})
    answers = find_answers(folder_of(storage), [], np.empty(0, np.int64))
    assert (len(answers.row), answers.answers.num_rows) == (0, 0)


def test_answers_come_back_in_the_order_asked_for(storage):
    for n in range(5):
        commit(storage, {n: answered(1 + n % 4)})
    assert levels(storage, [4, 0, 3, 0]) == [1, 1, 4, 1]
    assert np.array_equal(as_keys([key(0)]), as_keys([b"\0" * 16]))


def test_rows_of_one_content_share_an_answer_where_they_are_neighbours(storage):
    commit(storage, {3: answered(2)})
    answers = find_answers(folder_of(storage), [key(3), key(3)], places([3, 4]))
    assert answers.row.tolist() == [0, 0]


@settings(max_examples=15, deadline=None)
@given(
    written=st.lists(st.tuples(st.integers(0, 4095), st.integers(0, 12)), min_size=1, max_size=80),
    rows=st.integers(1, 30),
    parts=st.integers(1, 5000),
)
def test_every_committed_answer_is_found_by_exactly_one_range_at_any_number_of_ranges(
    tmp_path_factory, written, rows, parts
):
    """Written under several divisions, then read range by range under another number of parts."""
    storage = Storage(str(tmp_path_factory.mktemp("ranges")))
    for epoch, division in enumerate(sorted({power for _, power in written}), start=1):
        segment = writer(storage, epoch=epoch, rows=rows, parts=1 << division)
        for n, power in written:
            if power == division:
                segment.add(key(n), place(n), answered(1 + n % 4))
        segment.commit()
    numbers = sorted({n for n, _ in written})
    by_range: dict[int, list[int]] = {}
    for n in numbers:
        part = place(n) * parts >> RING_BITS
        low, high = range_bounds(part, parts)
        assert low <= place(n) < high
        by_range.setdefault(part, []).append(n)
    for own in by_range.values():
        answers = found(storage, own, parts=parts)
        assert answers.answers.num_rows == len(own)
        assert not answers.unanswered.any()
        assert levels(storage, own, parts=parts) == [1 + n % 4 for n in own]


def test_a_range_opens_its_own_segments_once_and_lists_its_own_folders(storage, monkeypatch):
    parts, rows = 16, 64
    for start in range(0, 4096, 64):
        commit(storage, {n: answered(3) for n in range(start, start + 64)}, rows=rows, parts=parts)
    whole = len(storage.list("answers"))
    folder, opens = folder_of(storage, parts), Opens(monkeypatch)
    own = list(range(512, 768))  # the third of 16 parts
    answers = find_answers(folder, list(map(key, own)), places(own), columns=None)
    assert not answers.unanswered.any()
    assert opens.folders == {folder.range_path(2): 1}
    assert set(opens.files.values()) == {1}
    assert len(opens.files) == len(own) // rows == whole // parts


def test_all_parts_together_open_each_segment_once(storage, monkeypatch):
    parts = 16
    for start in range(0, 4096, 64):
        commit(storage, {n: answered(3) for n in range(start, start + 64)}, parts=parts)
    folder, opens = folder_of(storage, parts), Opens(monkeypatch)
    for part in range(parts):
        own = list(range(part * 256, (part + 1) * 256))
        find_answers(folder, list(map(key, own)), places(own), columns=None)
    assert len(opens.files) == sum(opens.files.values()) == 64


def test_what_is_held_for_a_unit_does_not_grow_with_what_is_committed(storage):
    parts = 16
    for start in range(0, 4096, 64):
        commit(storage, {n: answered(3) for n in range(start, start + 64)}, parts=parts)
    own = list(range(100, 164))
    answers = found(storage, own, parts=parts)
    assert answers.answers.num_rows == len(own)


def test_a_unit_of_a_fresh_run_opens_nothing_of_its_neighbours(storage, monkeypatch):
    """The names say which places a segment covers."""
    commit(storage, {n: answered(3) for n in range(64)}, parts=1)
    folder, opens = folder_of(storage), Opens(monkeypatch)
    own = list(range(64, 128))
    assert find_answers(folder, list(map(key, own)), places(own)).missing.all()
    assert not opens.files


def test_a_larger_run_opens_each_segment_of_a_smaller_one_for_its_own_parts_only(storage):
    for start in range(0, 4096, 256):
        own = {n: answered(3) for n in range(start, start + 256)}
        commit(storage, own, rows=256, parts=4)
    folder = folder_of(storage, 64)
    assert folder.divisions == (4, 64)
    opened = Counter(
        segment.stat.path
        for part in range(64)
        for segment in segments_of(folder, places(range(part * 64, (part + 1) * 64)))
    )
    assert len(opened) == 16
    assert max(opened.values()) == 4  # a segment covers four of the new parts


def write_undivided(storage, name: str, given_answers: dict[int, Extracted]) -> None:
    """As versions before the division wrote it: directly in the folder, places not in the name."""
    other = Storage(f"{storage.root}/elsewhere-{name}")
    commit(other, given_answers, rows=len(given_answers))
    (written,) = other.list("answers")
    storage.write(f"answers/{name}.parquet", other.read(written.path))


def test_segments_of_versions_before_the_division_are_found_and_stay_the_first(storage):
    write_undivided(storage, "compacted-0a1b", {1: answered(1), 3000: answered(2)})
    write_undivided(storage, "e00000002-0000000000001-aa-bb", {2: answered(3), 5: FAILED})
    commit(storage, {1: answered(4), 5: answered(4)}, epoch=3, parts=8)
    assert levels(storage, [1, 2, 3000, 5], parts=8) == [1, 3, 2, 4]
    assert found(storage, [4], parts=8).missing.all()
    assert count_committed(storage, "answers") == 5


def test_segments_of_versions_before_the_division_are_opened_only_by_those_they_answer(
    storage, monkeypatch
):
    for number in range(8):
        rows = range(number * 512, (number + 1) * 512)
        write_undivided(storage, f"e0-{number}-a-b", {n: answered(3) for n in rows})
    folder = folder_of(storage, 8)
    find_answers(folder, [key(0)], places([0]))  # keys are read once in a process
    opens = Opens(monkeypatch)
    own = list(range(512, 1024))
    assert not find_answers(folder, list(map(key, own)), places(own)).unanswered.any()
    assert list(opens.files.values()) == [1]


def test_the_count_of_committed_answers_opens_no_segment(storage, monkeypatch):
    commit(storage, {1: answered(3), 2: FAILED, 4000: answered(2)}, parts=8)
    opens = Opens(monkeypatch)
    assert count_committed(storage, "answers") == 2
    assert not opens.files


@given(st.lists(st.binary(min_size=16, max_size=16), max_size=20), st.integers(0, 5))
def test_keys_are_read_from_a_table_as_they_were_written(keys, skipped):
    column = pa.array(keys, SEGMENT.field("key").type)
    table = pa.table({"key": column}).slice(skipped)
    assert np.array_equal(keys_in(table), as_keys(keys[skipped:]))


@given(st.integers(0, RING - 1), st.integers(1, 1 << 15))
def test_the_ranges_are_a_power_of_two_about_the_parts_and_a_place_is_in_one(at, parts):
    folder = open_answers(Storage("/nowhere"), "answers", parts)
    assert parts <= folder.ranges < 2 * parts or folder.ranges == parts == 1
    low, high = range_bounds(folder.range_of(at), folder.ranges)
    assert low <= at < high


@pytest.mark.s3
def test_answers_of_every_division_are_found_in_a_bucket(s3_server):
    storage = Storage(f"{s3_server.new_bucket()}/runs/a")
    assert folder_of(storage, 8).is_new
    assert found(storage, [1, 2], parts=8).missing.all()
    commit(storage, {1: answered(1), 4000: FAILED}, epoch=1, parts=2)
    commit(storage, {4000: answered(2), 2: answered(3)}, epoch=2, parts=8)
    (first, *_) = storage.list("answers")
    storage.write("answers/compacted-0.parquet", storage.read(first.path))
    folder = folder_of(storage, 4)
    assert (folder.divisions, len(folder.undivided)) == ((2, 4, 8), 1)
    assert levels(storage, [4000, 1, 2], parts=4) == [2, 1, 3]
