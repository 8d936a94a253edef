"""Committed answers: small files that outlive kills, restarts and changes of the input list.

An extractor actor appends finished answers to segments of its own. A segment is written whole,
under a name that no other attempt uses, and is never changed: once its name is there, its answers
are committed. An answer's key is an HMAC of the conversation's bytes and the extractor key, so an
answer is found again whatever file the conversation comes from next time.

Of several answers to one key the first committed one counts: names sort by the driver's epoch, then
by time. A failed answer counts only as long as there is no other, and is asked again on the next
run.
"""

import io
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vitw_ray.extraction.answers import Extracted
from vitw_ray.records import EXTRACTIONS
from vitw_ray.storage import Storage

KEY_BYTES = 16
LISTING_THREADS = 16  # reading a column of a small file is waiting for storage
COMPACT_FROM = 64  # ours: fewer segments than this list in one request and read in a moment
COMPACT_ROWS = 65_536  # ours: a compacted segment of about 10 MB

SEGMENT = pa.schema(
    [
        pa.field("key", pa.binary(KEY_BYTES), nullable=False),
        *(
            EXTRACTIONS.field(name)
            for name in (
                "subjectivity",
                "task",
                "human_values",
                "ai_values",
                "response_type",
                "error",
                "prompt_tokens",
                "output_tokens",
                "truncated_share",
            )
        ),
        # Depends on the schedule, so it is in no table.
        pa.field("cached_tokens", pa.int64(), nullable=False),
    ]
)


class SegmentWriter:
    """An actor's open segment: commits after so many answers or so many seconds.

    Several threads may add to it.
    """

    def __init__(
        self,
        storage: Storage,
        folder: str,
        epoch: int,
        rows: int,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._storage, self._folder, self._epoch = storage, folder, epoch
        self._rows, self._seconds, self._clock = rows, seconds, clock
        self._actor = uuid.uuid4().hex[:8]
        self._pending: list[dict[str, object]] = []
        self._since = clock()
        self._lock = threading.RLock()

    def add(self, key: bytes, extracted: Extracted) -> None:
        """Take one answer; commits when the segment is full or old."""
        with self._lock:
            if not self._pending:
                self._since = self._clock()
            self._pending.append(_columns(key, extracted))
            if len(self._pending) >= self._rows or self._clock() - self._since >= self._seconds:
                self.commit()

    def commit(self) -> None:
        """Write what is pending, whole, under a name of its own."""
        with self._lock:
            if not self._pending:
                return
            milliseconds = time.time_ns() // 1_000_000
            unique = uuid.uuid4().hex[:8]
            name = f"e{self._epoch:08d}-{milliseconds:013d}-{self._actor}-{unique}.parquet"
            table = pa.Table.from_pylist(self._pending, SEGMENT)
            _write(self._storage, f"{self._folder}/{name}", table)
            self._pending = []


def _columns(key: bytes, extracted: Extracted) -> dict[str, object]:
    answer = extracted.answer
    return {
        "key": key,
        "subjectivity": answer.subjectivity if answer else None,
        "task": answer.task if answer else None,
        "human_values": [value.model_dump() for value in answer.human_values] if answer else [],
        "ai_values": [value.model_dump() for value in answer.ai_values] if answer else [],
        "response_type": answer.response_type if answer else None,
        "error": extracted.error,
        "prompt_tokens": extracted.prompt_tokens,
        "output_tokens": extracted.output_tokens,
        "truncated_share": extracted.truncated_share,
        "cached_tokens": extracted.cached_tokens,
    }


def _write(storage: Storage, path: str, table: pa.Table) -> None:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    storage.write(path, buffer.getvalue())


def as_keys(keys: Iterable[bytes]) -> np.ndarray:
    """Keys as a numpy array (n,) of 16-byte strings, which sort and search like the bytes."""
    return np.array(list(keys), dtype=f"S{KEY_BYTES}")


@dataclass(frozen=True)
class AnswerIndex:
    """Where the answer to each key lies; arrays of one length, sorted by key."""

    segments: tuple[str, ...]
    keys: np.ndarray  # (n,) S16
    segment: np.ndarray  # (n,) int32: position in `segments`
    row: np.ndarray  # (n,) int32: row of that segment
    failed: np.ndarray  # (n,) bool: all that was committed for the key is an error

    def find(self, keys: np.ndarray) -> np.ndarray:
        """Position of each key in the index, or -1."""
        if not len(self.keys):
            return np.full(len(keys), -1)
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[place] == keys, place, -1)


def read_index(storage: Storage, folder: str) -> AnswerIndex:
    """Index of all committed answers."""
    names = tuple(segment.path for segment in storage.list(folder))

    def columns(path: str) -> pa.Table:
        with storage.open(path) as handle:
            return pq.read_table(handle, columns=["key", "error"])

    with ThreadPoolExecutor(LISTING_THREADS) as pool:
        tables = list(pool.map(columns, names))
    keys = as_keys(key for table in tables for key in table["key"].to_pylist())
    failed = np.array(
        [error is not None for table in tables for error in table["error"].to_pylist()], dtype=bool
    )
    sizes = [table.num_rows for table in tables]
    segment = np.repeat(np.arange(len(names), dtype=np.int32), sizes)
    row = np.concatenate([np.arange(n, dtype=np.int32) for n in sizes] or [np.empty(0, np.int32)])
    # Names sort by commit, so the lowest segment number is the first commit.
    order = np.lexsort((row, segment, failed, keys))
    first = np.ones(len(order), dtype=bool)
    first[1:] = keys[order[1:]] != keys[order[:-1]]
    chosen = order[first]
    return AnswerIndex(names, keys[chosen], segment[chosen], row[chosen], failed[chosen])


def read_answers(storage: Storage, index: AnswerIndex, places: np.ndarray) -> pa.Table:
    """The answers at these places of the index, in this order."""
    found, positions = [SEGMENT.empty_table()], []
    for number in np.unique(index.segment[places]):
        wanted = np.flatnonzero(index.segment[places] == number)
        with storage.open(index.segments[number]) as handle:
            found.append(pq.read_table(handle).take(pa.array(index.row[places[wanted]])))
        positions.append(wanted)
    order = np.argsort(np.concatenate(positions or [np.empty(0, np.int64)]), kind="stable")
    return pa.concat_tables(found).take(pa.array(order))


def compact(storage: Storage, folder: str, index: AnswerIndex) -> None:
    """Gather many segments into few, keeping the answers that count.

    Safe at any moment: the new names sort before all others, and the old ones go last.
    """
    if len(index.segments) < COMPACT_FROM:
        return
    new = []
    for start in range(0, len(index.keys), COMPACT_ROWS):
        places = np.arange(start, min(start + COMPACT_ROWS, len(index.keys)))
        path = f"{folder}/compacted-{uuid.uuid4().hex}.parquet"
        _write(storage, path, read_answers(storage, index, places))
        new.append(path)
    _delete(storage, [name for name in index.segments if name not in new])


def _delete(storage: Storage, paths: Sequence[str]) -> None:
    with ThreadPoolExecutor(LISTING_THREADS) as pool:
        list(pool.map(storage.delete, paths))
