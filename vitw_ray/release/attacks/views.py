"""The bytes of a file in every form in which somebody would read it: as they are, and unpacked."""

import bz2
import gzip
import io
import json
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

MOST_BYTES = 256 << 20  # ours: of what is unpacked from one file
_LAYERS = 3


def views(path: Path) -> Iterator[bytes]:
    """All forms of a file's content."""
    yield from views_of(path.read_bytes(), _LAYERS)


def views_of(data: bytes, layers: int = _LAYERS) -> Iterator[bytes]:
    """The bytes, what is packed in them, and the cells of a Parquet file."""
    yield data
    if data.startswith(b"PAR1"):
        yield from _parquet(data)
        return
    for mark, unpack in _UNPACK.items():
        if layers and data.startswith(mark):
            try:
                inside = unpack(data)
            except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, pa.ArrowException):
                return
            yield from (view for part in inside for view in views_of(part, layers - 1))


def _parquet(data: bytes) -> Iterator[bytes]:
    try:
        file = pq.ParquetFile(io.BytesIO(data), arrow_extensions_enabled=False)
        yield repr(file.schema_arrow.metadata).encode()
        for batch in file.iter_batches(10_000):
            rows = json.dumps(batch.to_pylist(), default=repr, ensure_ascii=False)
            yield rows.encode(errors="replace")
    except (OSError, ValueError, pa.ArrowException):
        return


def _whole(open_: Callable[[Any], Any]) -> Callable[[bytes], list[bytes]]:
    return lambda data: [open_(io.BytesIO(data)).read(MOST_BYTES)]


def _members(data: bytes) -> list[bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = [one for one in archive.infolist() if one.file_size <= MOST_BYTES]
        return [archive.read(one) for one in names]


_UNPACK: dict[bytes, Callable[[bytes], list[bytes]]] = {
    b"\x1f\x8b": lambda data: [gzip.decompress(data)[:MOST_BYTES]],
    b"\x28\xb5\x2f\xfd": _whole(lambda stream: pa.CompressedInputStream(stream, "zstd")),
    b"BZh": _whole(bz2.BZ2File),
    b"\xfd7zXZ": _whole(lzma.LZMAFile),
    b"PK\x03\x04": _members,
}
