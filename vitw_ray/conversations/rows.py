"""Bytes of one input file -> raw rows: JSON objects, or rows of a Parquet file as Python objects.

Input files are hostile until read. A bad row becomes a `Reject` and its neighbours are unharmed;
memory is bounded by `MAX_ROW_BYTES` and not by the file; nothing that a file holds is executed.
"""

import base64
import io
import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

MAX_ROW_BYTES = 32 << 20  # ours: a million characters are 12 MB when JSON escapes each twice
CHUNK_BYTES = 64 << 10  # ours: rows this near to the place where a packed file breaks are lost
_COLUMN_BUFFER_BYTES = 1 << 20  # ours: of a column chunk, which may be hundreds of MB
_BATCH_ROWS = 64  # ours: three times the rate of single rows, for a few MB of chats
_VALUE_BYTES = 16  # ours: what any value costs as a Python object, however short
_BLANK = b" \t\r\n\xef\xbb\xbf"  # the last three: the byte order mark that some editors write

Raw = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that could not be read; `reason` is a short code, never text of the row."""

    reason: str


class FileBroken(Exception):
    """The rest of a file cannot be read; `reason` is a short code."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


_DECODER = json.JSONDecoder(parse_constant=lambda _: None)  # NaN is no JSON; many write it for null


def decode_row(data: bytes) -> Raw | Reject:
    """One JSON object from its bytes."""
    try:
        value = _DECODER.decode(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return Reject("invalid_utf8")
    except ValueError:  # not JSONDecodeError: Python also refuses numbers of thousands of digits
        return Reject("not_json")
    except RecursionError:
        return Reject("too_deep")
    return value if isinstance(value, dict) else Reject("not_an_object")


JsonLayout = Literal["lines", "array", "document"]


def json_layout(stream: io.BufferedIOBase) -> JsonLayout:
    """How a `.json` file is laid out, from its start: a row a line, one array, or one object."""
    first = stream.read(1)
    while first and first in _BLANK:
        first = stream.read(1)
    if first == b"[":
        return "array"
    line = first + stream.readline(CHUNK_BYTES)
    indented = first == b"{" and line.endswith(b"\n") and decode_row(line) == Reject("not_json")
    return "document" if indented else "lines"


def read_json(stream: io.BufferedIOBase, layout: JsonLayout) -> Iterator[Raw | Reject]:
    """Rows of a JSON file; blank lines are none.

    Raises:
        FileBroken: an array ends before it is closed.
    """
    pieces = {"lines": _lines, "array": _items, "document": _document}[layout](stream)
    for piece in pieces:
        yield decode_row(piece) if isinstance(piece, bytes) else piece


def _lines(stream: io.BufferedIOBase) -> Iterator[bytes | Reject]:
    while line := stream.readline(MAX_ROW_BYTES + 1):
        if len(line) > MAX_ROW_BYTES and not line.endswith(b"\n"):
            while line and not line.endswith(b"\n"):
                line = stream.readline(CHUNK_BYTES)
            yield Reject("row_too_long")
        elif line.strip(_BLANK):
            yield line


def _document(stream: io.BufferedIOBase) -> Iterator[bytes | Reject]:
    data = stream.read(MAX_ROW_BYTES + 1)
    if len(data) > MAX_ROW_BYTES:
        yield Reject("row_too_long")
    elif data.strip(_BLANK):
        yield data


def _items(stream: io.BufferedIOBase) -> Iterator[bytes | Reject]:
    """Elements of a top-level array, each as its bytes."""
    delimiters = _Delimiters()
    item, too_long = bytearray(), False
    while chunk := stream.read1(CHUNK_BYTES):
        start = 0
        for end in [*delimiters.find(chunk), len(chunk)]:
            too_long = too_long or len(item) + end - start > MAX_ROW_BYTES
            if too_long:
                item.clear()
            else:
                item += chunk[start:end]
            if end < len(chunk):  # at a delimiter
                if too_long or item.strip(_BLANK):
                    yield Reject("row_too_long") if too_long else bytes(item)
                item.clear()
                too_long = False
            start = end + 1
    if delimiters.depth:
        raise FileBroken("file_truncated")
    if item.strip(_BLANK):  # what follows the array
        yield Reject("not_json")


_STRING_REST = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_STRING = b'"' + _STRING_REST.pattern + b'"'
_TO_DELIMITER = re.compile(rb'(?:[^"\[\]{},]++|' + _STRING + b")*+", re.DOTALL)
_TO_BRACKET = re.compile(rb'(?:[^"\[\]{}]++|' + _STRING + b")*+", re.DOTALL)


@dataclass
class _Delimiters:
    """Finds the brackets and commas between the elements of an array, chunk by chunk.

    Regular expressions run over strings and numbers, so that the work in Python is a step for each
    bracket, and not for each byte.
    """

    depth: int = 0
    in_string: bool = False
    escaped: bool = False  # the chunk before ended between a backslash and what it escapes

    def find(self, chunk: bytes) -> Iterator[int]:
        """Positions in `chunk`."""
        at = self._skip_string(chunk, int(self.escaped)) if self.in_string else 0
        while at < len(chunk):
            at = _end(_TO_BRACKET if self.depth > 1 else _TO_DELIMITER, chunk, at)
            mark = chunk[at : at + 1]
            if mark == b'"':  # of a string that goes on in the next chunk
                at = self._skip_string(chunk, at + 1)
            elif mark and self._delimits(mark):
                yield at
            at += 1

    def _skip_string(self, chunk: bytes, at: int) -> int:
        at = _end(_STRING_REST, chunk, at)
        self.escaped = chunk[at:] == b"\\"
        self.in_string = chunk[at : at + 1] != b'"'
        return at + 1

    def _delimits(self, mark: bytes) -> bool:
        if mark == b",":
            return self.depth == 1
        if mark in b"[{":
            self.depth += 1
            return self.depth == 1
        self.depth = max(0, self.depth - 1)
        return self.depth == 0


def _end(pattern: re.Pattern[bytes], data: bytes, start: int) -> int:
    """Where the match at `start` ends; all patterns here match at least nothing."""
    found = pattern.match(data, start)
    return found.end() if found else start


def read_parquet(
    stream: io.BufferedIOBase, columns: Collection[str] | None
) -> Iterator[tuple[int, Raw | Reject]]:
    """Row numbers and rows of a Parquet file; with `columns`, only these of its columns.

    A row group that cannot be decoded is one reject, under the number of its first lost row.

    Raises:
        FileBroken: the file is not Parquet, or its columns have types that code must restore.
    """
    try:
        metadata = pq.read_metadata(stream)
        _refuse_extension_types(metadata)
        file = pq.ParquetFile(
            stream,
            metadata=metadata,
            read_dictionary=_text_columns(metadata),
            pre_buffer=False,
            buffer_size=_COLUMN_BUFFER_BYTES,
            arrow_extensions_enabled=False,
        )
        names = [name for name in file.schema_arrow.names if columns is None or name in columns]
    except (pa.ArrowException, OSError):
        raise FileBroken("file_unreadable") from None
    first = 0
    for group in range(metadata.num_row_groups):
        size = metadata.row_group(group)
        row = first
        first += size.num_rows
        batch_rows = MAX_ROW_BYTES * size.num_rows // max(1, size.total_byte_size)
        batches = file.iter_batches(
            min(max(1, batch_rows), _BATCH_ROWS), [group], names, use_threads=False
        )
        try:
            for batch in batches:
                for value in _batch_rows(batch):
                    yield row, value
                    row += 1
        except (pa.ArrowException, OSError):
            yield row, Reject("row_group_unreadable")


def _refuse_extension_types(metadata: pq.FileMetaData) -> None:
    """Arrow hands such columns to whatever code is registered for their type; some unpickle."""
    try:
        schema = base64.b64decode(
            (metadata.metadata or {}).get(b"ARROW:schema", b""), validate=True
        )
    except ValueError:
        raise FileBroken("file_unreadable") from None
    if b"ARROW:extension:name" in schema:
        raise FileBroken("arrow_extension_types")


def _text_columns(metadata: pq.FileMetaData) -> list[str]:
    """Leaves to be read as indices into a dictionary: a text that is repeated is held once.

    Otherwise half a megabyte of Parquet, one long text and many references to it, becomes 200 GB
    before a single row can be looked at; and the footer states only the half megabyte.
    """
    leaves = (metadata.schema.column(i) for i in range(metadata.num_columns))
    return [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]


def _batch_rows(batch: pa.RecordBatch) -> Iterator[Raw | Reject]:
    sizes = sum((_row_bytes(column) for column in batch.columns), np.zeros(batch.num_rows))
    if sizes.sum() <= MAX_ROW_BYTES:
        try:
            yield from batch.to_pylist()
            return
        except (ValueError, OverflowError):  # of one row: below, each is on its own
            pass
    for place, size in enumerate(sizes):
        if size > MAX_ROW_BYTES:
            yield Reject("row_too_long")
            continue
        try:
            yield batch.slice(place, 1).to_pylist()[0]
        except UnicodeDecodeError:
            yield Reject("invalid_utf8")
        except (ValueError, OverflowError):  # such as a date that Python has no year for
            yield Reject("value_unreadable")


def _row_bytes(array: pa.Array) -> np.ndarray:
    """About how many bytes each element takes as Python objects; float64 (elements)."""
    kind = array.type
    own = np.full(len(array), float(_VALUE_BYTES))
    if pa.types.is_dictionary(kind):
        texts = np.append(_row_bytes(array.dictionary), 0.0)
        own = texts[array.indices.fill_null(len(array.dictionary)).to_numpy()]
    elif pa.types.is_struct(kind):
        own = sum((_row_bytes(field) for field in array.flatten()), own)
    elif pa.types.is_map(kind):
        entry = pa.struct([("key", kind.key_type), ("value", kind.item_type)])
        own = _row_bytes(array.cast(pa.list_(entry)))
    elif pa.types.is_nested(kind):
        lengths = pc.call_function("list_value_length", [array]).fill_null(0).to_numpy()
        ends = np.cumsum(lengths)
        total = np.append(0.0, np.cumsum(_row_bytes(array.flatten())))
        own = own + total[ends] - total[ends - lengths]
    elif pa.types.is_string(kind) or pa.types.is_binary(kind):
        own = own + pc.call_function("binary_length", [array]).fill_null(0).to_numpy()
    return own
