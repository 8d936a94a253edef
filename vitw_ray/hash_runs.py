"""Sorted runs: rows of many workers are grouped by hash through storage, not through memory.

A worker writes its rows as runs sorted by a hash (column `hash`). A later worker reads one range of
hashes from all runs, so all rows with the same hash are read by the same worker. Ray shuffles
nothing, and a worker holds one range in memory. Many runs are read as `hash_buckets`.
"""

import io
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vitw_ray.storage import Storage

RUN_ROW_GROUP_ROWS = 512  # the unit that a range reads (ours: about 3 MB of conversations)


def write_sorted_run(storage: Storage, folder: str, table: pa.Table) -> str:
    """Write rows sorted by `hash` under a new unique name; returns the path."""
    buffer = io.BytesIO()
    table = table.sort_by([("hash", "ascending")])
    pq.write_table(table, buffer, compression="zstd", row_group_size=RUN_ROW_GROUP_ROWS)
    path = f"{folder}/{uuid.uuid4().hex}.parquet"
    storage.write(path, buffer.getvalue())
    return path


def read_range(
    storage: Storage,
    paths: Sequence[str],
    bounds: tuple[int, int],
    schema: pa.Schema,
) -> pa.Table:
    """All rows with low <= hash < high, in any order; `schema` has the columns to read."""
    low, high = bounds
    found = [schema.empty_table()]
    for path in paths:
        with storage.open(path) as handle:
            file = _opened(storage, handle)
            groups = [
                group
                for group in range(file.num_row_groups)
                if _overlaps(file.metadata.row_group(group).column(0).statistics, low, high)
            ]
            if groups:
                table = file.read_row_groups(groups, columns=schema.names).select(schema.names)
                found.append(within(table, bounds))
    return pa.concat_tables(found)


def within(table: pa.Table, bounds: tuple[int, int]) -> pa.Table:
    """The rows with low <= hash < high."""
    low, high = bounds
    # `high` may exceed the largest value of the column type.
    return table.filter((pc.field("hash") >= low) & (pc.field("hash") <= high - 1))


def read_rising(storage: Storage, path: str, ends: Sequence[int]) -> Iterator[list[pa.Table]]:
    """Read a run once: for each of `ends`, which rise, the rows with a hash below it.

    One row group is in memory.
    """
    with storage.open(path) as handle:
        file = _opened(storage, handle)
        group, rest, hashes = 0, None, np.empty(0, np.int64)
        for end in ends:
            found = []
            while True:
                cut = int(np.searchsorted(hashes, end - 1, side="right"))
                if rest is not None and cut:
                    found.append(rest.slice(0, cut))
                    rest, hashes = rest.slice(cut), hashes[cut:]
                if len(hashes) or group == file.num_row_groups:
                    break
                rest = file.read_row_group(group)
                hashes = rest["hash"].to_numpy()
                group += 1
            yield found


def _opened(storage: Storage, handle: Any) -> pq.ParquetFile:
    # In a bucket, the columns of a row group are fetched by one request instead of one each.
    return pq.ParquetFile(handle, pre_buffer=not storage.local)


def _overlaps(statistics: Any, low: int, high: int) -> bool:
    # A row group without rows has no statistics.
    return statistics is not None and statistics.min < high and statistics.max >= low
