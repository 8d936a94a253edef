"""The first rows of the input files, read plainly: JSON Lines (also packed) and Parquet."""

import io
import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from .reading import Row

ROWS = 2000  # ours: of each file
LONGEST = 1 << 24  # ours: bytes of a line; longer ones are not compared
LINES = re.compile(r"\.(jsonl|ndjson)(\.gz|\.zst)?$", re.IGNORECASE)
CODECS = {"gz": "gzip", "zst": "zstd"}


def raw_rows(source: Row) -> Iterator[Row]:
    """Rows of an input file that are objects; none when it is gone, changed or of another kind."""
    fs, path = fsspec.core.url_to_fs(source["url"])
    if not fs.exists(path) or fs.size(path) != source["size_bytes"]:
        return
    with fs.open(path, "rb") as handle:
        try:
            rows = _table(handle) if path.endswith(".parquet") else _lines(handle, path)
            yield from islice((row for row in rows if isinstance(row, dict)), ROWS)
        except (OSError, ValueError, RecursionError, pa.ArrowException):
            return


def _table(handle: Any) -> Iterator[Any]:
    for batch in pq.ParquetFile(handle).iter_batches(64):
        yield from batch.to_pylist()


def _lines(handle: Any, path: str) -> Iterator[Any]:
    if not LINES.search(path):
        return
    codec = CODECS.get(path.rsplit(".", 1)[-1].lower())
    file = pa.PythonFile(handle, "r")
    lines = io.BufferedReader(pa.CompressedInputStream(file, codec)) if codec else handle  # type: ignore[arg-type]
    while line := lines.readline(LONGEST):
        try:
            yield json.loads(line)
        except (ValueError, RecursionError):
            continue
