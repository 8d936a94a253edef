"""Committed answers, in small files that survive kills, restarts and changes of the input list.

Each extractor actor writes finished answers to its own segment files. A segment is written in one
request under a unique name and never modified: when the file exists, its answers are committed.
The key of an answer is an HMAC of the conversation's bytes and the extractor key, so the answer is
found again whichever input file the conversation comes from next time.

A segment lies in a folder for one range of the ring of hashes of conversation ids (its *place*),
which also orders the tables: a part, or a unit of it, finds its answers in the few folders of its
own places. The number of ranges is a power of two, about the number of parts. A later run over
more input divides the ring further and still looks into the folders of the earlier divisions.

    <folder>/of-<ranges>/<range>/
        e<epoch>-<ms>-<actor>-<unique>-<first>-<last>-<answers>-<crc32>.parquet

The name ends with the first and the last place (32 bits of each), the number of answers that no
later run asks for again, so that most segments need not be opened to see what is not in them, and a
checksum. A damaged segment is set aside in `<folder>/damaged/`, and its rows are asked again.
Segments directly in the folder, without places in their names, are of versions before the division.

If several answers share a key, the one committed first is used: file names sort by the driver's
epoch, then by time. A failed answer is used only while there is no other; the next run asks again.
"""

import io
import re
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vitw_ray.extraction.answers import Extracted
from vitw_ray.facets import FACETS
from vitw_ray.keys import RING_BITS, id_hash
from vitw_ray.records import EXTRACTIONS
from vitw_ray.storage import FileStat, Storage

KEY_BYTES = 16
NAMED_BITS = 32  # ours: of a place in a name; two answers share them once in four billion pairs
_COARSE = RING_BITS - NAMED_BITS
_DIVISION = re.compile(r"of-(\d+)")
_NAME = re.compile(
    r".*-(?P<first>[0-9a-f]{8})-(?P<last>[0-9a-f]{8})-(?P<answers>\d+)"
    r"(?:-(?P<crc>[0-9a-f]{8}))?\.parquet"
)
SET_ASIDE = "damaged"
"""Folder, within that of the answers, of segments that cannot be read."""

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


@dataclass(frozen=True)
class AnswerFolder:
    """A folder of segments. Small, and can be sent to actors.

    Attributes:
        storage: of the run folder.
        path: of the folder.
        ranges: into which new segments are sorted; a power of two.
        found: numbers of ranges that are there, of runs over more or less input.
        undivided: segments that lie in no range.
    """

    storage: Storage
    path: str
    ranges: int
    found: tuple[int, ...] = ()
    undivided: tuple[FileStat, ...] = ()

    @property
    def divisions(self) -> tuple[int, ...]:
        """All numbers of ranges under which answers may lie."""
        return tuple(sorted({self.ranges, *self.found}))

    @property
    def is_new(self) -> bool:
        """Whether there was no segment when the folder was opened."""
        return not self.found and not self.undivided

    def range_of(self, place: int) -> int:
        """The range of new answers that a place is in."""
        return place * self.ranges >> RING_BITS

    def range_path(self, number: int, ranges: int | None = None) -> str:
        """Where the segments of a range are."""
        return f"{self.path}/of-{ranges or self.ranges:05d}/{number:05d}"


def open_answers(storage: Storage, path: str, parts: int) -> AnswerFolder:
    """Find what divisions there are in a folder, which need not exist.

    Args:
        storage: of the run folder.
        path: of the folder.
        parts: of the table that is read, which decides how new answers are divided.
    """
    ranges = 1 << max(parts - 1, 0).bit_length()
    names = storage.children(path)
    found = [int(match[1]) for name in names if (match := _DIVISION.fullmatch(name))]
    undivided: list[FileStat] = []
    if any(name.endswith(".parquet") for name in names):
        undivided = [s for s in storage.list(path) if s.path.count("/") == path.count("/") + 1]
    return AnswerFolder(storage, path, ranges, tuple(found), tuple(undivided))


@dataclass(frozen=True)
class Segment:
    """A segment as its name describes it.

    Attributes:
        stat: its path and size.
        first: its first place, as far as the name says it.
        last: its last place.
        answers: that are not failed; None: the name does not say.
        crc32: of its bytes; None: the name does not say.
    """

    stat: FileStat
    first: int = 0
    last: int = (1 << NAMED_BITS) - 1
    answers: int | None = None
    crc32: int | None = None

    @property
    def order(self) -> str:
        """Sorts by the time of commit, in whatever division."""
        return self.stat.path.rsplit("/", 1)[-1]


def described(stat: FileStat) -> Segment:
    """What a name says."""
    match = _NAME.fullmatch(stat.path)
    if match is None:
        return Segment(stat)
    return Segment(
        stat,
        int(match["first"], 16),
        int(match["last"], 16),
        int(match["answers"]),
        None if match["crc"] is None else int(match["crc"], 16),
    )


def places_of(conversation_ids: Iterable[str]) -> np.ndarray:
    """The place of each conversation: the hash of its id, which also decides its part."""
    return np.fromiter(map(id_hash, conversation_ids), np.int64)


def coarse(places: np.ndarray) -> np.ndarray:
    """Places as names of segments have them."""
    return places >> _COARSE


@dataclass
class _Buffer:
    """Answers of one range that are not committed yet."""

    since: float
    rows: list[dict[str, object]] = field(default_factory=list)
    places: list[int] = field(default_factory=list)


class SegmentWriter:
    """Buffers an actor's answers by range and commits them every `rows` or `seconds`.

    At most `rows` answers are buffered in all; then the largest buffer is committed. The number of
    segments thus grows with the ranges that are written at once, not with all. Thread-safe.
    """

    def __init__(
        self,
        folder: AnswerFolder,
        epoch: int,
        rows: int,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._epoch = folder, epoch
        self._rows, self._seconds, self._clock = rows, seconds, clock
        self._actor = uuid.uuid4().hex[:8]
        self._buffers: dict[int, _Buffer] = {}
        self._lock = threading.RLock()

    def add(self, key: bytes, place: int, extracted: Extracted) -> None:
        """Add one answer; commit what is full or old enough."""
        with self._lock:
            now = self._clock()
            buffer = self._buffers.setdefault(self._folder.range_of(place), _Buffer(now))
            buffer.rows.append(_columns(key, extracted))
            buffer.places.append(place)
            due = [n for n, held in self._buffers.items() if now - held.since >= self._seconds]
            if not due and sum(len(b.rows) for b in self._buffers.values()) >= self._rows:
                due = [max(self._buffers, key=lambda n: len(self._buffers[n].rows))]
            self._commit(due)

    def commit(self, places: Sequence[int] | np.ndarray | None = None) -> None:
        """Write what is buffered, or what is buffered for the ranges of these places."""
        with self._lock:
            due = list(self._buffers)
            if places is not None:
                ranges = {self._folder.range_of(int(place)) for place in places}
                due = [number for number in due if number in ranges]
            self._commit(due)

    def _commit(self, ranges: Iterable[int]) -> None:
        """Write each of these ranges as one segment with a unique name."""
        for number in ranges:
            buffer = self._buffers[number]
            table = pa.Table.from_pylist(buffer.rows, SEGMENT)
            written = io.BytesIO()
            pq.write_table(table, written, compression="zstd")
            data = written.getvalue()
            name = self._name(buffer.places, table["error"].null_count, zlib.crc32(data))
            self._folder.storage.write(f"{self._folder.range_path(number)}/{name}", data)
            del self._buffers[number]

    def _name(self, places: Sequence[int], answers: int, crc32: int) -> str:
        milliseconds = time.time_ns() // 1_000_000
        first, last = min(places) >> _COARSE, max(places) >> _COARSE
        return (
            f"e{self._epoch:08d}-{milliseconds:013d}-{self._actor}-{uuid.uuid4().hex[:8]}"
            f"-{first:08x}-{last:08x}-{answers}-{crc32:08x}.parquet"
        )


def _columns(key: bytes, extracted: Extracted) -> dict[str, Any]:
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
