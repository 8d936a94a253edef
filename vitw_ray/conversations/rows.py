"""Read JSON as raw rows.

Input files are untrusted. A bad row becomes a `Reject` and does not affect other rows. Memory is
bounded by `MAX_ROW_BYTES` and `MAX_ROW_VALUES`, not by the size of the file.
"""

import io
import json
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from vitw_ray.conversations.splitting import BLANK, Truncated, split

MAX_ROW_BYTES = 32 << 20  # ours: a million characters take 12 MB as escaped surrogate pairs
MAX_ROW_VALUES = 2_500_000  # ours: half a gigabyte of Python objects
CHUNK_BYTES = 64 << 10  # ours: the most that is lost before the break of a damaged compressed file
_SMALL_BYTES = 1 << 20  # ours: a row of this size cannot hold too many values
_TAIL_BYTES = 64 << 10  # ours: what may follow the rows of a document, such as the next page's link

LARGE_AT_ONCE = 3  # ours: large rows of a process, of all its threads: 2 GB at most
_large_rows = threading.BoundedSemaphore(LARGE_AT_ONCE)
_no_wait = nullcontext()
_who_takes_all = threading.Lock()  # two that take one turn after the other would wait for ever

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


DECODER = json.JSONDecoder(parse_constant=lambda _: None)  # NaN and Infinity are read as null

_MESSAGE_KEYS = {"role", "content", "from", "value", "name", "tool_calls", "tool_call_id"}
_MESSAGE_KEYS |= {"function_call", "reasoning_content", "refusal", "annotations", "audio", "weight"}


def is_message(value: Any) -> bool:
    """Whether a value is one message and nothing else, so that a list of them is a conversation."""
    if not isinstance(value, dict):
        return False
    keys = set(value)
    return keys <= _MESSAGE_KEYS and ({"role", "content"} <= keys or {"from", "value"} <= keys)


def decode_row(data: bytes) -> Raw | Reject:
    """Decode one JSON object, or a list of messages as an object with `messages`."""
    value = _decoded(data)
    if type(value) is dict:  # nearly all rows
        return value
    if isinstance(value, list) and value and all(map(is_message, value)):
        return {"messages": value}
    return value if isinstance(value, Reject) else Reject("not_an_object")


def _decoded(data: bytes) -> Any:
    if len(data) > _SMALL_BYTES and sum(map(data.count, (b"{", b"[", b","))) > MAX_ROW_VALUES:
        return Reject("too_many_values")
    try:
        return DECODER.decode(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return Reject("invalid_utf8")
    except ValueError:  # wider than JSONDecodeError: Python rejects very long numbers too
        return Reject("not_json")
    except RecursionError:
        return Reject("too_deep")


def read_json(
    stream: io.BufferedIOBase, layout: str, start: int = 0, stop: int | None = None
) -> Iterator[Raw | Reject]:
    """Yield the rows of a JSON file; what is blank is skipped.

    Args:
        stream: the file.
        layout: `lines`, one value a line; `pages`, the same where each value holds a list of rows;
            `spans`, the same where each is an export of OpenTelemetry; `values`, values that follow
            each other in any way; `spans@values`, such exports; `array`, whose elements are rows;
            or `array@N`, an array that starts at byte N of one object.
        start: with lines, read those that begin at this byte or later ...
        stop: ... and before this one.

    Raises:
        FileBroken: the file ends inside an array or a value.
    """
    name, _, offset = layout.partition("@")
    try:
        if name == "lines":
            yield from _lines(stream, start, stop)
        elif name == "pages":
            for row in _lines(stream, start, stop):
                yield from _page(row)
        elif name == "values":
            for piece in split(stream, 0, MAX_ROW_BYTES):
                with _turn(piece):
                    yield from _rows_of(piece)
        elif layout == "spans":
            for row in _lines(stream, start, stop):
                yield from _spans(row)
        elif name == "spans":
            for piece in split(stream, 0, MAX_ROW_BYTES):
                with _turn(piece):
                    yield from _spans(_row(piece))
        else:
            yield from _array(stream, int(offset or 0), inside=bool(offset))
    except Truncated:
        raise FileBroken("file_truncated") from None


def _turn(data: bytes | None) -> AbstractContextManager[object]:
    """Wait for a turn to decode a large row, and keep it until the reader asks for the next."""
    is_large = data is not None and len(data) > _SMALL_BYTES
    return _large_rows if is_large else _no_wait


@contextmanager
def every_turn() -> Iterator[None]:
    """Wait until no large row is in memory, and let none in: for what may take 2 GB alone."""
    with ExitStack() as turns:
        with _who_takes_all:
            for _ in range(LARGE_AT_ONCE):
                turns.enter_context(_large_rows)
        yield


def _lines(stream: io.BufferedIOBase, start: int, stop: int | None) -> Iterator[Raw | Reject]:
    at = start
    if start:  # a line that began before belongs to the range before
        stream.seek(start - 1)
        at += _skip_line(stream) - 1
    while (stop is None or at < stop) and (line := stream.readline(MAX_ROW_BYTES + 1)):
        at += len(line)
        if len(line) > MAX_ROW_BYTES and not line.endswith(b"\n"):
            at += _skip_line(stream)
            yield Reject("row_too_long")
        elif line.strip(BLANK):
            if len(line) > _SMALL_BYTES:
                with _large_rows:
                    yield from _line(line)
            else:
                yield from _line(line)


def _line(line: bytes) -> Iterator[Raw | Reject]:
    row = decode_row(line)
    if isinstance(row, dict):
        yield row
    else:
        yield from _odd_line(line, row)


def _skip_line(stream: io.BufferedIOBase) -> int:
    """Read on to the end of the line; the number of its bytes."""
    skipped = 0
    while piece := stream.readline(CHUNK_BYTES):
        skipped += len(piece)
        if piece.endswith(b"\n"):
            break
    return skipped


def _odd_line(line: bytes, found: Reject) -> Iterator[Raw | Reject]:
    """Rows of a line that is not one object: several values, an array, or one with a comma."""
    is_array = line.lstrip(BLANK).startswith(b"[")
    if found.reason != "not_json" and not is_array:
        yield found
        return
    try:
        for piece in split(io.BytesIO(line), 0, MAX_ROW_BYTES):
            yield from _rows_of(piece)
    except Truncated:
        yield found


def _rows_of(piece: bytes | None) -> Iterator[Raw | Reject]:
    """The rows of one value: itself, or the elements of an array that is no conversation."""
    if piece is not None and piece.startswith(b"[") and not _is_chat(piece):
        yield from map(_row, split(io.BytesIO(piece), 1, MAX_ROW_BYTES))
    else:
        yield _row(piece)


def _row(piece: bytes | None) -> Raw | Reject:
    return Reject("row_too_long") if piece is None else decode_row(piece)


def _is_chat(array: bytes) -> bool:
    """Whether the first element of an array is a message."""
    try:
        first = next(split(io.BytesIO(array), 1, MAX_ROW_BYTES), None)
    except Truncated:
        return False
    return first is not None and is_message(_decoded(first))


def _page(row: Raw | Reject) -> Iterator[Raw | Reject]:
    lists = [] if isinstance(row, Reject) else [v for v in row.values() if isinstance(v, list)]
    if len(lists) != 1:
        yield row
        return
    for element in lists[0]:
        yield element if isinstance(element, dict) else Reject("not_an_object")


_LEVELS = (
    ("resourceSpans", "resource_spans"),
    ("scopeSpans", "scope_spans", "instrumentationLibrarySpans"),
    ("spans",),
)
"""Lists within each other in an export of OpenTelemetry, from the outside."""


def _spans(export: Raw | Reject) -> Iterator[Raw | Reject]:
    """The spans of an export; what is none of its lists is a row as it is."""
    rows: list[Any] = [export]
    for names in _LEVELS:
        within: list[Any] = []
        for row in rows:
            lists = [row[name] for name in names if name in row] if isinstance(row, dict) else []
            within += lists[0] if lists and isinstance(lists[0], list) else [row]
        rows = within
    for row in rows:
        yield row if isinstance(row, dict | Reject) else Reject("not_an_object")


def _array(stream: io.BufferedIOBase, offset: int, inside: bool) -> Iterator[Raw | Reject]:
    """The elements of an array, and one reject for text behind the object that it is inside of."""
    while offset and (skipped := stream.read(min(offset, CHUNK_BYTES))):
        offset -= len(skipped)
    pieces = split(stream, 1, MAX_ROW_BYTES, once=inside)
    while True:
        try:
            piece = next(pieces)
        except StopIteration as end:
            rest = end.value
            break
        with _turn(piece):
            yield _row(piece)
    if inside:
        tail = rest + stream.read(_TAIL_BYTES)
        if len(tail) < _TAIL_BYTES and not isinstance(decode_row(b'{"":0' + tail), dict):
            yield Reject("not_json")
