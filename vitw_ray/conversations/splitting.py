"""Find where JSON values end, in a stream of bytes that is never in memory as a whole."""

import io
import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass

_READ_BYTES = 64 << 10
BLANK = b" \t\r\n\xef\xbb\xbf\x1e"
"""White space, the UTF-8 byte order mark, and the separator of JSON text sequences."""
_BETWEEN = BLANK + b","


class Truncated(Exception):
    """The stream ends inside a value."""


def split(
    stream: io.BufferedIOBase, depth: int, limit: int, *, once: bool = False
) -> Generator[bytes | None, None, bytes]:
    """Yield the bytes of each value of a stream; None stands for a value over the limit.

    Args:
        stream: JSON.
        depth: 0 for the values at the top, whatever is between them; 1 for the elements of the
            arrays at the top.
        limit: of the bytes of a value.
        once: end behind the first array.

    Returns:
        With `once`, what was read behind the array.

    Raises:
        Truncated: the stream ends inside a value.
    """
    ends = _Ends(depth)
    item, too_long = bytearray(), False
    while chunk := stream.read1(_READ_BYTES):
        start = 0
        for end, after, closes in [*ends.find(chunk), (len(chunk), -1, False)]:
            too_long = too_long or len(item) + end - start > limit
            if too_long:
                item.clear()
            else:
                item += chunk[start:end]
            if after < 0:
                break
            value = item.strip(_BETWEEN)
            if too_long or value:
                yield None if too_long else bytes(value)
            item.clear()
            start, too_long = after, False
            if once and closes:
                return chunk[after:]
    if ends.depth:
        raise Truncated
    if item.strip(_BETWEEN):
        yield bytes(item.strip(_BETWEEN))
    return b""


def open_at_the_end(data: bytes) -> bool:
    """Whether `data` ends inside a value, though not inside a string."""
    ends = _Ends(0)
    for _ in ends.find(data):
        pass
    return ends.depth > 0 and not ends.in_string


_STRING_REST = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_STRING = b'"' + _STRING_REST.pattern + b'"'
# The outer repetition is not possessive: before 3.11.5, Python errs there (gh-106052).
_TO_DELIMITER = re.compile(rb'(?:[^"\[\]{},]++|' + _STRING + b")*", re.DOTALL)
_TO_BRACKET = re.compile(rb'(?:[^"\[\]{}]++|' + _STRING + b")*", re.DOTALL)


@dataclass
class _Ends:
    """Finds the ends of values, chunk by chunk.

    Regular expressions skip strings and numbers, so Python takes one step per bracket instead of
    one per byte.
    """

    base: int  # the depth of the values
    depth: int = 0
    in_string: bool = False
    escaped: bool = False  # the last chunk ended between a backslash and the escaped character

    def find(self, chunk: bytes) -> Iterator[tuple[int, int, bool]]:
        """Yield where a value may end in `chunk`, where the next begins, and whether all close."""
        at = self._skip_string(chunk, int(self.escaped)) if self.in_string else 0
        while at < len(chunk):
            commas = self.depth == self.base == 1 or self.depth < self.base
            at = _end(_TO_DELIMITER if commas else _TO_BRACKET, chunk, at)
            mark = chunk[at : at + 1]
            if mark == b'"':  # a string that continues in the next chunk
                at = self._skip_string(chunk, at + 1)
            elif mark and (found := self._around(mark, at)):
                yield found
            at += 1

    def _skip_string(self, chunk: bytes, at: int) -> int:
        at = _end(_STRING_REST, chunk, at)
        self.escaped = chunk[at:] == b"\\"
        self.in_string = chunk[at : at + 1] != b'"'
        return at + 1

    def _around(self, mark: bytes, at: int) -> tuple[int, int, bool] | None:
        if mark == b",":
            return (at, at + 1, False) if self.depth == 1 else None
        if mark in b"[{":
            self.depth += 1
            return (at, at + self.base, False) if self.depth == 1 else None
        was, self.depth = self.depth, max(0, self.depth - 1)
        return (at + 1 - self.base, at + 1, True) if was <= 1 else None


def _end(pattern: re.Pattern[bytes], data: bytes, start: int) -> int:
    """End of the match at `start`; all patterns here also match the empty string."""
    found = pattern.match(data, start)
    return found.end() if found else start
