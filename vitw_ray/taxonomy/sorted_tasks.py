"""Tasks of a share in sorted files, and their keyed hashes, by which shares are merged."""

import io
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vitw_ray.keys import Keyed
from vitw_ray.taxonomy.hierarchy import Parents
from vitw_ray.taxonomy.vectors.vector_files import Share

SORTED = pa.schema(
    [
        pa.field("text", pa.binary(), nullable=False),
        pa.field("cluster", pa.int32(), nullable=False),
    ]
)
SORTED_GROUP_ROWS = 16_384  # ours: one group of each share is in memory when they are merged
KEY_BYTES = 16
KEY = f"S{KEY_BYTES}"  # numpy's type of a task's keyed hash


def hash_texts(share: Share, keyed: Keyed) -> np.ndarray:
    """(n,) keyed hash of each task; see `task_keys`."""
    return np.concatenate([task_keys(keyed, t["text"].to_pylist()) for _, t in share.texts()])


def write_sorted(share: Share, clusters: Parents, keyed: Keyed, path: str) -> np.ndarray:
    """Write the tasks, sorted, with their clusters; returns the (n,) keyed hash of each, unsorted.

    `SORTED` are the columns of the file.
    """
    keys = np.empty(len(clusters), KEY)
    texts = list[pa.Array]()
    for place, table in share.texts():
        column = table["text"]
        texts += column.cast(pa.binary()).chunks
        keys[place] = task_keys(keyed, column.to_pylist())
    table = pa.table([pa.chunked_array(texts, pa.binary()), clusters], schema=SORTED)
    table = table.sort_by([("text", "ascending")])
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", row_group_size=SORTED_GROUP_ROWS)
    share.storage.write(path, buffer.getvalue())
    return keys


def task_keys(keyed: Keyed, texts: Sequence[str]) -> np.ndarray:
    """(n,) keyed hash of each text."""
    return np.array([keyed.digest("task", text.encode(), KEY_BYTES) for text in texts], KEY)


def read_sorted(share: Share, path: str) -> Iterator[tuple[bytes, int]]:
    """Tasks and clusters that `write_sorted` wrote, in order."""
    with share.storage.open(path) as handle:
        file = pq.ParquetFile(handle)
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            yield from zip(table["text"].to_pylist(), table["cluster"].to_pylist(), strict=True)
