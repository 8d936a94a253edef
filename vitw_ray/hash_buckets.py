"""Buckets: the rows of many sorted runs, written once more so that a range reads only its own.

If each range of hashes is read from all runs, files are opened ranges times runs times: that grows
with the square of the rows. So groups of runs are merged first. A group is read once, in the order
of its hashes, and written as one piece for each bucket, which is a range of hashes. Pieces of a
group lie one behind the other in a few objects, and a piece is read by one request.

A piece holds about the same number of rows whatever the size of the input, so that requests and
rows read per row stay the same: each row is read twice. The number of buckets is a power of two
which follows from the size of the input. No result depends on it.
"""

import io
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from vitw_ray import cluster
from vitw_ray.hash_runs import read_range, read_rising
from vitw_ray.keys import range_bounds
from vitw_ray.storage import Storage

DIRECT_RUNS = 16  # ours: so few runs are read range by range, without merging them first
DIRECT_BUCKETS = 8  # ours: a bucket reads at least two row groups of a full run
GROUPS = 32  # ours: as many workers can merge at once
MOST_RUNS_IN_A_GROUP = 128  # ours: one row group of each is in memory, 400 MB of conversations
PIECES_IN_A_RUN = 16  # ours: a piece has some 500 rows of a full run, about 3 MB of conversations
OBJECT_BYTES = 32 << 20  # ours: pieces are written together, and are in memory until then

INDEX = pa.schema(
    [
        pa.field("bucket", pa.int32(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("start", pa.int64(), nullable=False),
        pa.field("middle", pa.int64(), nullable=False),  # end of the columns that are read alone
        pa.field("stop", pa.int64(), nullable=False),
    ]
)


def power_of_two(least: float) -> int:
    """The smallest power of two that is at least this, and 1 or more."""
    return 1 << max(0, int(np.ceil(least)) - 1).bit_length()


@dataclass(frozen=True)
class Buckets:
    """Rows by hash, in `count` equal ranges; read from sorted runs, or from pieces."""

    storage: Storage
    count: int
    runs: tuple[str, ...] = ()
    index: pa.Table = field(default_factory=INDEX.empty_table)
    """Where the pieces are; sorted by bucket."""
    alone: tuple[str, ...] = ()
    """Columns that can be read without the others."""

    def read(self, bucket: int, schema: pa.Schema) -> pa.Table:
        """All rows of a bucket, in any order; `schema` has the columns to read."""
        bounds = range_bounds(bucket, self.count)
        found = [read_range(self.storage, self.runs, bounds, schema)]
        numbers = self.index["bucket"].to_numpy()
        low, high = np.searchsorted(numbers, [bucket, bucket + 1]).tolist()
        for piece in self.index.slice(low, high - low).to_pylist():
            found.append(self._piece(piece["path"], piece, schema))
        return pa.concat_tables(found)

    def _piece(self, path: str, place: dict[str, int], schema: pa.Schema) -> pa.Table:
        middle = place["middle"] - place["start"]
        alone = set(schema.names) <= set(self.alone)
        stop = place["middle"] if alone else place["stop"]
        data = pa.py_buffer(self.storage.read(path, place["start"], stop))
        table = _unpacked(data.slice(0, middle))
        if stop > place["middle"]:
            rest = _unpacked(data.slice(middle))
            for name in rest.column_names:
                table = table.append_column(rest.schema.field(name), rest[name])
        return table.select(schema.names)

    def units(self) -> list[cluster.Unit]:
        """One unit for each bucket."""
        return [{"bucket": number} for number in range(self.count)]


def bucket_count(runs: int, size: float, most: int) -> int:
    """How many buckets suit an input.

    Args:
        runs: how many sorted runs there are.
        size: of all rows, in full runs.
        most: a power of two that must not be exceeded.
    """
    if runs <= DIRECT_RUNS:
        return min(DIRECT_BUCKETS, most)
    groups = max(min(runs, GROUPS), -(-runs // MOST_RUNS_IN_A_GROUP))
    return min(power_of_two(PIECES_IN_A_RUN * size / groups), most)


def group_count(runs: int, size: float, buckets: int) -> int:
    """In how many groups runs are merged into buckets; 0: they are read as they are."""
    if runs <= DIRECT_RUNS:
        return 0
    wanted = min(runs, int(PIECES_IN_A_RUN * size / buckets))
    return max(1, wanted, -(-runs // MOST_RUNS_IN_A_GROUP))


def write_buckets(
    storage: Storage,
    folder: str,
    runs: Sequence[str],
    size: float,
    count: int,
    alone: Sequence[str] = (),
) -> Buckets:
    """Merge runs into buckets, if they are many. The runs can be deleted where the result has none.

    Args:
        storage: of the run folder.
        folder: where the pieces go.
        runs: paths of sorted runs.
        size: of all rows, in full runs.
        count: number of buckets, a power of two.
        alone: columns that can be read without the others; default: all.
    """
    groups = group_count(len(runs), size, count)
    return merge_runs(storage, folder, runs, count, groups=groups, alone=alone)


def merge_runs(
    storage: Storage,
    folder: str,
    runs: Sequence[str],
    count: int,
    *,
    groups: int,
    alone: Sequence[str] = (),
) -> Buckets:
    """As `write_buckets`, with a given number of groups; 0: the runs are read as they are."""
    runs = sorted(runs)
    if not groups:
        return Buckets(storage, count, tuple(runs))
    units = [{"runs": group.tolist()} for group in np.array_split(np.array(runs), groups)]
    merger = _Merger(storage, folder, count, tuple(alone))
    found = list(cluster.stream(units, merger))
    index = pa.concat_tables(found).sort_by([("bucket", "ascending"), ("path", "ascending")])
    return Buckets(storage, count, index=index.combine_chunks(), alone=merger.alone)


@dataclass(frozen=True)
class _Merger:
    """Reads a group of runs once and writes its pieces; returns where they are."""

    storage: Storage
    folder: str
    count: int
    alone: tuple[str, ...]

    def __call__(self, unit: cluster.Unit) -> pa.Table:
        ends = [range_bounds(bucket, self.count)[1] for bucket in range(self.count)]
        writer = _PieceWriter(self.storage, self.folder, self.alone)
        readers = [read_rising(self.storage, path, ends) for path in unit["runs"]]
        for bucket, found in enumerate(zip(*readers, strict=True)):
            tables = [table for of_run in found for table in of_run]
            if tables:
                writer.add(bucket, pa.concat_tables(tables))
        return writer.close()


class _PieceWriter:
    """Collects pieces and writes them together."""

    def __init__(self, storage: Storage, folder: str, alone: Sequence[str]) -> None:
        self._storage, self._folder, self._alone = storage, folder, alone
        self._index = {name: [] for name in INDEX.names}
        self._start_object()

    def _start_object(self) -> None:
        # Names are unique per attempt, so retries do not mix.
        self._path, self._object = f"{self._folder}/{uuid.uuid4().hex}.pieces", io.BytesIO()

    def add(self, bucket: int, table: pa.Table) -> None:
        """Add the rows of a bucket."""
        start = self._object.tell()
        alone = list(self._alone or table.column_names)
        _pack(table.select(alone), self._object)
        middle = self._object.tell()
        if len(alone) < table.num_columns:
            _pack(table.drop_columns(alone), self._object)
        place = (bucket, self._path, start, middle, self._object.tell())
        for column, value in zip(self._index.values(), place, strict=True):
            column.append(value)
        if self._object.tell() >= OBJECT_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._object.tell():
            self._storage.write(self._path, self._object.getvalue())
        self._start_object()

    def close(self) -> pa.Table:
        """Write the rest; where all pieces are."""
        self._flush()
        return pa.table(self._index, schema=INDEX)


def _pack(table: pa.Table, sink: io.BytesIO) -> None:
    # One batch: the tables of a bucket are many small ones.
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(sink, table.schema, options=options) as stream:
        for batch in table.combine_chunks().to_batches():
            stream.write_batch(batch)


def _unpacked(data: pa.Buffer) -> pa.Table:
    with pa.ipc.open_stream(data) as stream:
        return stream.read_all()
