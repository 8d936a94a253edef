"""Finds the committed answers to some conversations: those of a unit, or of a part.

Only segments that can hold one of them are opened, each once; what is held in memory is the answers
that were asked for. A segment that cannot be read is set aside: its rows have no answer then, and
are asked again.
"""

import io
import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vitw_ray.extraction.segments import (
    KEY_BYTES,
    SEGMENT,
    SET_ASIDE,
    AnswerFolder,
    Segment,
    coarse,
    described,
)
from vitw_ray.keys import RING_BITS
from vitw_ray.storage import FileStat, Storage

THREADS = 16  # ours: reading a small file is mostly storage latency
STATUS = ("key", "error")
"""The columns that say which conversations have an answer."""


@dataclass(frozen=True)
class Found:
    """Committed answers to some conversations.

    Attributes:
        answers: one row for each key that has any, in the order of the keys.
        row: of each conversation, its row in `answers`; -1: there is none.
        unanswered: of each conversation, whether it has no answer, or only failed ones.
    """

    answers: pa.Table
    row: np.ndarray
    unanswered: np.ndarray

    @property
    def missing(self) -> np.ndarray:
        """Of each conversation, whether nothing is committed, not even a failed answer."""
        return self.row < 0

    def take(self, conversations: np.ndarray) -> pa.Table:
        """Answers of these conversations (positions or a mask), in this order; none is missing."""
        return self.answers.take(pa.array(self.row[conversations]))


def find_answers(
    folder: AnswerFolder,
    keys: Sequence[bytes],
    places: np.ndarray,
    columns: Sequence[str] | None = STATUS,
) -> Found:
    """Find the answers to some conversations.

    Args:
        folder: of the answers.
        keys: of the answers to the conversations.
        places: of the conversations.
        columns: of the segments to read, with those of `STATUS`; None: all.
    """
    wanted = as_keys(keys)
    sought = np.unique(wanted)
    # The names sort by time of commit, so of two rows with one key the upper one is older.
    where = segments_of(folder, places) if len(places) else []
    tables = _each(lambda one: _read(folder.storage, one, sought, columns), where)
    empty = _schema(columns).empty_table()
    table = pa.concat_tables([empty, *tables])
    held = keys_in(table)
    failed = table["error"].is_valid().to_numpy()
    order = np.lexsort((failed, held))
    first = np.ones(len(order), dtype=bool)
    first[1:] = held[order[1:]] != held[order[:-1]]
    chosen = order[first]
    if not len(chosen):
        return Found(empty, np.full(len(wanted), -1), np.ones(len(wanted), bool))
    row = np.minimum(np.searchsorted(held[chosen], wanted), len(chosen) - 1)
    row = np.where(held[chosen[row]] == wanted, row, -1)
    return Found(table.take(pa.array(chosen)), row, (row < 0) | failed[chosen[row]])


def segments_of(folder: AnswerFolder, places: np.ndarray) -> list[Segment]:
    """The segments that can hold an answer to a conversation in one of these places, oldest first.

    Lists the ranges of these places only.
    """
    listed = [
        folder.range_path(number, ranges)
        for ranges in folder.divisions
        for number in np.unique(places >> (RING_BITS - (ranges.bit_length() - 1))).tolist()
    ]
    stats = chain(folder.undivided, *_each(folder.storage.list, listed))
    named = np.sort(coarse(places))
    found = [
        segment
        for segment in map(described, stats)
        if np.searchsorted(named, segment.first) < np.searchsorted(named, segment.last, "right")
    ]
    return sorted(found, key=lambda segment: segment.order)


def count_committed(storage: Storage, path: str) -> int:
    """Answers in a folder that no later run asks for again, as the names of its segments say."""
    listed = (stat for stat in storage.list(path) if f"/{SET_ASIDE}/" not in stat.path)
    found = [described(stat) for stat in listed]
    unsaid = [segment for segment in found if segment.answers is None]
    return sum(segment.answers or 0 for segment in found) + sum(
        _each(lambda one: _columns_of(storage, one, STATUS)["error"].null_count, unsaid)
    )


def count_set_aside(storage: Storage, path: str) -> int:
    """Segments of a folder of answers that could not be read."""
    return len(storage.list(f"{path}/{SET_ASIDE}"))


def as_keys(keys: Iterable[bytes]) -> np.ndarray:
    """Keys as a numpy array (n,) of 16-byte strings, which sort in the order of the bytes."""
    return np.array(list(keys), dtype=f"S{KEY_BYTES}")


def keys_in(table: pa.Table) -> np.ndarray:
    """The keys of a segment, as `as_keys` has them."""
    column = table["key"].combine_chunks()
    data = column.buffers()[1]
    if not len(column) or data is None:
        return as_keys([])
    return np.frombuffer(data, f"S{KEY_BYTES}", len(column), column.offset * KEY_BYTES)


def _each(function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    """Results in the order of the items."""
    if len(items) < 2:
        return [function(item) for item in items]
    with ThreadPoolExecutor(min(THREADS, len(items))) as pool:
        return list(pool.map(function, items))


def _read(
    storage: Storage, segment: Segment, sought: np.ndarray, columns: Sequence[str] | None
) -> pa.Table:
    """The rows of a segment whose keys are among those that are sought (sorted)."""
    # Of a segment that lies in no range, any place may ask, and most ask for nothing in it.
    undivided = segment.answers is None
    if undivided and not _among(_keys_of(storage, segment.stat), sought).any():
        return _schema(columns).empty_table()
    table = _columns_of(storage, segment, columns)
    return table.filter(pa.array(_among(keys_in(table), sought)))


def _schema(columns: Sequence[str] | None) -> pa.Schema:
    return SEGMENT if columns is None else pa.schema([SEGMENT.field(name) for name in columns])


def _among(keys: np.ndarray, sought: np.ndarray) -> np.ndarray:
    place = np.minimum(np.searchsorted(sought, keys), len(sought) - 1)
    return sought[place] == keys


def _columns_of(storage: Storage, segment: Segment, columns: Sequence[str] | None) -> pa.Table:
    schema, path = _schema(columns), segment.stat.path
    try:
        data = storage.read(path)  # whole, as its checksum is of all; it is small
    except FileNotFoundError:  # set aside by another worker
        return schema.empty_table()
    if segment.crc32 is None or zlib.crc32(data) == segment.crc32:
        try:
            file = pq.ParquetFile(io.BytesIO(data))
            return file.read(columns=schema.names, use_threads=False).cast(schema)
        except (pa.ArrowException, OSError, ValueError, KeyError):
            pass
    folder, _, name = path.rpartition("/")
    folder = folder.split("/of-")[0]
    storage.write(f"{folder}/{SET_ASIDE}/{name}", data)
    storage.delete(path)
    return schema.empty_table()


@cache
def _keys_of(storage: Storage, stat: FileStat) -> np.ndarray:
    """Keys of a segment that lies in no range, kept while the process lives (16 bytes a key)."""
    return keys_in(_columns_of(storage, described(stat), ("key",))).copy()
