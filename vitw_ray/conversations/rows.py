"""Read a JSON file as raw rows.

Input files are untrusted. A bad row becomes a `Reject` and does not affect other rows. Memory is
bounded by `MAX_ROW_BYTES`, not by the size of the file.
"""

import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

MAX_ROW_BYTES = 32 << 20  # ours: a million characters take 12 MB as escaped surrogate pairs
CHUNK_BYTES = 64 << 10  # ours: the most that is lost before the break of a damaged compressed file
_BLANK = b" \t\r\n\xef\xbb\xbf"  # with the UTF-8 byte order mark that some editors write

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


_DECODER = json.JSONDecoder(parse_constant=lambda _: None)  # NaN and Infinity are read as null


def decode_row(data: bytes) -> Raw | Reject:
    """Decode one JSON object."""
    try:
        value = _DECODER.decode(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return Reject("invalid_utf8")
    except ValueError:  # wider than JSONDecodeError: Python rejects very long numbers too
        return Reject("not_json")
    except RecursionError:
        return Reject("too_deep")
    return value if isinstance(value, dict) else Reject("not_an_object")


JsonLayout = Literal["lines", "array", "document"]


def json_layout(stream: io.BufferedIOBase) -> JsonLayout:
    """Detect the layout of a `.json` file: one row per line, one array, or one object."""
    first = stream.read(1)
    while first and first in _BLANK:
        first = stream.read(1)
    if first == b"[":
        return "array"
    line = first + stream.readline(CHUNK_BYTES)
    indented = first == b"{" and line.endswith(b"\n") and decode_row(line) == Reject("not_json")
    return "document" if indented else "lines"


def read_json(stream: io.BufferedIOBase, layout: JsonLayout) -> Iterator[Raw | Reject]:
    """Yield the rows of a JSON file; blank lines are skipped.

    Raises:
        FileBroken: the file ends inside an array.
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
    """Yield the bytes of each element of a top-level array."""
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
    if item.strip(_BLANK):  # text after the array
        yield Reject("not_json")


_STRING_REST = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_STRING = b'"' + _STRING_REST.pattern + b'"'
_TO_DELIMITER = re.compile(rb'(?:[^"\[\]{},]++|' + _STRING + b")*+", re.DOTALL)
_TO_BRACKET = re.compile(rb'(?:[^"\[\]{}]++|' + _STRING + b")*+", re.DOTALL)


@dataclass
class _Delimiters:
    """Finds the brackets and commas between the elements of an array, chunk by chunk.

    Regular expressions skip strings and numbers, so Python takes one step per bracket instead of
    one per byte.
    """

    depth: int = 0
    in_string: bool = False
    escaped: bool = False  # the last chunk ended between a backslash and the escaped character

    def find(self, chunk: bytes) -> Iterator[int]:
        """Yield the positions of delimiters in `chunk`."""
        at = self._skip_string(chunk, int(self.escaped)) if self.in_string else 0
        while at < len(chunk):
            at = _end(_TO_BRACKET if self.depth > 1 else _TO_DELIMITER, chunk, at)
            mark = chunk[at : at + 1]
            if mark == b'"':  # a string that continues in the next chunk
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
    """End of the match at `start`; all patterns here also match the empty string."""
    found = pattern.match(data, start)
    return found.end() if found else start
