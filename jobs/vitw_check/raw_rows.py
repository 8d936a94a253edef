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
BLANK = b" \t\r\n\xef\xbb\xbf\x1e,"  # around a row


def raw_rows(source: Row) -> Iterator[tuple[int, Row | None]]:
    """Numbers and rows of an input file; None for a row that is no object.

    There are none when the file is gone, changed, damaged or of another kind.
    """
    codec, layout = packing(source)
    if layout is None or source.get("member") or "::" in source["url"]:
        return
    fs, path = fsspec.core.url_to_fs(source["url"])
    if not fs.exists(path) or fs.size(path) != source["size_bytes"]:
        return
    with fs.open(path, "rb") as handle:
        try:
            rows = _table(handle) if layout == "parquet" else _lines(handle, codec)
            for number, row in enumerate(islice(rows, ROWS)):
                yield number, row if isinstance(row, dict) else None
        except (OSError, ValueError, RecursionError, pa.ArrowException):
            return


def _table(handle: Any) -> Iterator[Any]:
    for batch in pq.ParquetFile(handle).iter_batches(64):
        yield from batch.to_pylist()


def _lines(handle: Any, codec: str | None) -> Iterator[Any]:
    file = pa.PythonFile(handle, "r")
    lines = io.BufferedReader(pa.CompressedInputStream(file, codec)) if codec else handle  # type: ignore[arg-type]
    while line := lines.readline(LONGEST):
        text = line.strip(BLANK)
        if text.startswith(b"[") or len(line) == LONGEST:
            return
        if text:
            try:
                row = json.loads(text)
            except (ValueError, RecursionError):
                if b"}{" in text:  # not one row a line
                    return
                row = None
            yield row


def packing(source: Row) -> tuple[str | None, str | None]:
    """How a file is compressed, and its layout; both None for a kind that is not counted."""
    said, name = source.get("content"), source["url"]
    if said is None:  # of a version that went by the name
        ending = re.search(r"\.(?:jsonl|ndjson)(\.gz|\.zst)?$", name)
        codec = {".gz": "gzip", ".zst": "zstd"}.get((ending and ending[1]) or "")
        return codec, "lines" if ending else "parquet" if name.endswith(".parquet") else None
    *layers, layout = said.split(" ")
    counted = layout in ("lines", "parquet") and layers in ([], ["gzip"], ["zstd"])
    counted = counted and not (layers and layout == "parquet")
    return (layers[0] if layers else None, layout) if counted else (None, None)
