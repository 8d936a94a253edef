"""Sorted runs: how rows made in many places meet by their hash, through storage and not memory.

A worker writes what it made as pieces sorted by a hash (column `hash`). A later worker takes one
range of hashes out of all pieces and is the only one to see two rows with that hash. Nothing is
shuffled through Ray, and memory holds one range at a time.
"""

import io
import uuid
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vitw_ray.storage import Storage

RUN_ROW_GROUP_ROWS = 512  # what one range reads at once (ours: about 3 MB of chats)


def write_sorted_run(storage: Storage, folder: str, table: pa.Table) -> str:
    """Write rows sorted by `hash` under a name of this attempt's own; returns the path."""
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
    """All rows with low <= hash < high, in no order; `schema` names the columns to read."""
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
                # `high` itself may be one more than the column can hold.
                inside = (pc.field("hash") >= low) & (pc.field("hash") <= high - 1)
                found.append(table.filter(inside))
    return pa.concat_tables(found)


def _overlaps(statistics: Any, low: int, high: int) -> bool:
    # A run without rows has a row group without statistics.
    return statistics is not None and statistics.min < high and statistics.max >= low
