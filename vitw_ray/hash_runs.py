"""Sorted runs: rows of many workers are grouped by hash through storage, not through memory.

A worker writes its rows as runs sorted by a hash (column `hash`). A later worker reads one range of
hashes from all runs, so all rows with the same hash are read by the same worker. Ray shuffles
nothing, and a worker holds one range in memory.
"""

import io
import uuid
from collections.abc import Sequence
from typing import Any

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
            file = pq.ParquetFile(handle)
            groups = [
                group
                for group in range(file.num_row_groups)
                if _overlaps(file.metadata.row_group(group).column(0).statistics, low, high)
            ]
            if groups:
                table = file.read_row_groups(groups, columns=schema.names).select(schema.names)
                # `high` may exceed the largest value of the column type.
                inside = (pc.field("hash") >= low) & (pc.field("hash") <= high - 1)
                found.append(table.filter(inside))
    return pa.concat_tables(found)


def _overlaps(statistics: Any, low: int, high: int) -> bool:
    # A row group without rows has no statistics.
    return statistics is not None and statistics.min < high and statistics.max >= low
