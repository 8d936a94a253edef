"""Committed answers, in small files that survive kills, restarts and changes of the input list.

Each extractor actor writes finished answers to its own segment files. A segment is written in one
request under a unique name and never modified: when the file exists, its answers are committed.
The key of an answer is an HMAC of the conversation's bytes and the extractor key, so the answer is
found again whichever input file the conversation comes from next time.

If several answers share a key, the one committed first is used: file names sort by the driver's
epoch, then by time. A failed answer is used only while there is no other; the next run asks again.
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
from vitw_ray.facets import FACETS
from vitw_ray.records import EXTRACTIONS
from vitw_ray.storage import Storage

KEY_BYTES = 16
LISTING_THREADS = 16  # ours: reading one column of a small file is mostly storage latency
COMPACT_FROM = 64  # ours: fewer segments than this are listed in one request and read quickly
COMPACT_ROWS = 65_536  # ours: about 10 MB per compacted segment

SEGMENT = pa.schema(
    [
        pa.field("key", pa.binary(KEY_BYTES), nullable=False),
        *(
            EXTRACTIONS.field(name)
            for name in (
                "subjectivity",
                "confidence",
                *(facet.field for facet in FACETS),
                "error",
                "prompt_tokens",
                "output_tokens",
                "truncated_share",
            )
        ),
        # Depends on scheduling, so it is in no table.
        pa.field("cached_tokens", pa.int64(), nullable=False),
        # Counted over all rows in the manifest.
        pa.field("labels_dropped", pa.int64(), nullable=False),
        pa.field("lists_cut", pa.int64(), nullable=False),
    ]
)


class SegmentWriter:
    """Buffers an actor's answers and commits them as a segment every `rows` or `seconds`.

    Thread-safe.
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
        """Add one answer; commit if the buffer is full or old enough."""
        with self._lock:
            if not self._pending:
                self._since = self._clock()
            self._pending.append(_columns(key, extracted))
            if len(self._pending) >= self._rows or self._clock() - self._since >= self._seconds:
                self.commit()

    def commit(self) -> None:
        """Write the buffered answers as one segment with a unique name."""
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
    answer = extracted.answer.model_dump() if extracted.answer else {}
    return {
        "key": key,
        "subjectivity": answer.get("subjectivity"),
        "confidence": extracted.confidence,
        **{f.field: answer.get(f.field, [] if f.kind == "values" else None) for f in FACETS},
        "error": extracted.error,
        "prompt_tokens": extracted.prompt_tokens,
        "output_tokens": extracted.output_tokens,
        "truncated_share": extracted.truncated_share,
        "cached_tokens": extracted.cached_tokens,
        "labels_dropped": extracted.labels_dropped,
        "lists_cut": extracted.lists_cut,
    }


def _write(storage: Storage, path: str, table: pa.Table) -> None:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    storage.write(path, buffer.getvalue())


def as_keys(keys: Iterable[bytes]) -> np.ndarray:
    """Keys as a numpy array (n,) of 16-byte strings, which sort in the order of the bytes."""
    return np.array(list(keys), dtype=f"S{KEY_BYTES}")


@dataclass(frozen=True)
class AnswerIndex:
    """Where each key's answer is stored: parallel arrays, sorted by key."""

    segments: tuple[str, ...]
    keys: np.ndarray  # (n,) S16
    segment: np.ndarray  # (n,) int32: position in `segments`
    row: np.ndarray  # (n,) int32: row in that segment
    failed: np.ndarray  # (n,) bool: only errors were committed for the key

    def find(self, keys: np.ndarray) -> np.ndarray:
        """Position of each key in the index; -1 if it is not there."""
        if not len(self.keys):
            return np.full(len(keys), -1)
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[place] == keys, place, -1)


def read_index(storage: Storage, folder: str) -> AnswerIndex:
    """Index all committed answers of a folder."""
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
    # Names sort by time of commit, so the lowest segment number was committed first.
    order = np.lexsort((row, segment, failed, keys))
    first = np.ones(len(order), dtype=bool)
    first[1:] = keys[order[1:]] != keys[order[:-1]]
    chosen = order[first]
    return AnswerIndex(names, keys[chosen], segment[chosen], row[chosen], failed[chosen])


def read_answers(storage: Storage, index: AnswerIndex, places: np.ndarray) -> pa.Table:
    """The answers at these positions of the index, in this order."""
    found, positions = [SEGMENT.empty_table()], []
    for number in np.unique(index.segment[places]):
        wanted = np.flatnonzero(index.segment[places] == number)
        with storage.open(index.segments[number]) as handle:
            found.append(pq.read_table(handle).take(pa.array(index.row[places[wanted]])))
        positions.append(wanted)
    order = np.argsort(np.concatenate(positions or [np.empty(0, np.int64)]), kind="stable")
    return pa.concat_tables(found).take(pa.array(order))


def compact(storage: Storage, folder: str, index: AnswerIndex) -> None:
    """Merge many segments into a few, keeping one answer per key.

    Safe to interrupt: names of compacted segments sort first, and old segments are deleted last.
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
