import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitw_ray.extraction import segments
from vitw_ray.extraction.answers import Answer, Extracted, Value
from vitw_ray.extraction.segments import (
    SegmentWriter,
    as_keys,
    compact,
    read_answers,
    read_index,
)
from vitw_ray.storage import Storage


def answered(level: int) -> Extracted:
    values = (Value(label="honesty", explicit=True),)
    return Extracted(Answer(subjectivity=level, ai_values=values), prompt_tokens=level)


FAILED = Extracted(None, error="time_out")


def key(n: int) -> bytes:
    return n.to_bytes(16, "little")  # most keys end in zero bytes, which must not be lost


def writer(storage, epoch=1, rows=100, seconds=1e9, clock=lambda: 0.0) -> SegmentWriter:
    return SegmentWriter(storage, "answers", epoch, rows, seconds, clock)


@pytest.fixture
def storage(tmp_path) -> Storage:
    return Storage(str(tmp_path))


def levels(storage, keys) -> list:
    index = read_index(storage, "answers")
    return read_answers(storage, index, index.find(as_keys(keys)))["subjectivity"].to_pylist()


def test_an_answer_that_is_not_committed_is_not_there(storage):
    segment = writer(storage)
    segment.add(key(1), answered(3))
    assert len(read_index(storage, "answers").keys) == 0
    segment.commit()
    assert levels(storage, [key(1)]) == [3]


def test_a_full_segment_and_an_old_segment_commit_themselves(storage):
    now = [0.0]
    segment = writer(storage, rows=3, seconds=10.0, clock=lambda: now[0])
    for n in range(3):
        segment.add(key(n), answered(3))
    assert len(read_index(storage, "answers").keys) == 3
    segment.add(key(3), answered(3))
    now[0] = 11.0
    segment.add(key(4), answered(3))
    assert len(read_index(storage, "answers").keys) == 5


def test_the_first_committed_answer_counts_and_later_ones_are_ignored(storage):
    for epoch, level in ((2, 4), (1, 1), (3, 2)):
        segment = writer(storage, epoch=epoch)
        segment.add(key(7), answered(level))
        segment.commit()
    assert levels(storage, [key(7)]) == [1]


def test_a_failed_answer_counts_only_as_long_as_there_is_no_other(storage):
    segment = writer(storage, epoch=1)
    segment.add(key(7), FAILED)
    segment.commit()
    index = read_index(storage, "answers")
    assert index.failed.tolist() == [True]
    assert levels(storage, [key(7)]) == [None]
    segment = writer(storage, epoch=2)
    segment.add(key(7), answered(3))
    segment.commit()
    assert levels(storage, [key(7)]) == [3]
    assert read_index(storage, "answers").failed.tolist() == [False]


def test_a_key_without_an_answer_is_not_found(storage):
    segment = writer(storage)
    segment.add(key(256), answered(3))
    segment.commit()
    index = read_index(storage, "answers")
    assert index.find(as_keys([key(256), key(1), b"\xff" * 16])).tolist() == [0, -1, -1]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 4)), min_size=1, max_size=60))
def test_compacting_changes_no_answer_and_leaves_few_files(tmp_path_factory, written):
    storage = Storage(str(tmp_path_factory.mktemp("compact")))
    for n, level in written:
        segment = writer(storage, epoch=len(storage.list("answers")) + 1)
        segment.add(key(n), answered(level))
        segment.commit()
    keys = [key(n) for n in sorted({n for n, _ in written})]
    before = levels(storage, keys)
    old = segments.COMPACT_FROM
    segments.COMPACT_FROM = 1
    try:
        compact(storage, "answers", read_index(storage, "answers"))
    finally:
        segments.COMPACT_FROM = old
    assert levels(storage, keys) == before
    assert len(storage.list("answers")) == 1


def test_a_compaction_that_was_killed_before_it_deleted_changes_no_answer(storage, monkeypatch):
    for epoch, level in ((1, 2), (2, 4)):
        segment = writer(storage, epoch=epoch)
        segment.add(key(5), answered(level))
        segment.commit()
    monkeypatch.setattr(segments, "COMPACT_FROM", 1)
    monkeypatch.setattr(segments, "_delete", lambda storage, paths: None)
    compact(storage, "answers", read_index(storage, "answers"))
    assert len(storage.list("answers")) == 3
    assert levels(storage, [key(5)]) == [2]


def test_answers_come_back_in_the_order_asked_for(storage):
    for n in range(5):
        segment = writer(storage)
        segment.add(key(n), answered(1 + n % 4))
        segment.commit()
    assert levels(storage, [key(4), key(0), key(3), key(0)]) == [1, 1, 4, 1]
    assert np.array_equal(as_keys([key(0)]), as_keys([b"\0" * 16]))
