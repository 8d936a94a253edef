"""Reads chosen fields of a struct in Thrift's compact protocol, from bytes that nobody vouches for.

Whatever is not as it should be is `Malformed`: a field that is there twice (decoders disagree on
which one counts), one of another type, a number out of its range, a list longer than the data.
Nothing is copied but the chosen numbers, so the memory is that of the result.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Struct = dict[int, Any]
"""Numbers of the fields that were found -> an integer, a struct or a list of structs."""

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY = 1, 2, 3, 4, 5, 6, 7, 8
_LIST, _SET, _MAP, _STRUCT = 9, 10, 11, 12
_FIXED = {_BYTE: 1, _DOUBLE: 8}
_RANGE = {_I16: 1 << 15, _I32: 1 << 31, _I64: 1 << 63}
_MOST_DEPTH = 16  # ours: Parquet's footer has eight levels
_MOST_FIELD = (1 << 15) - 1
_VARINT_BITS = 63


class Malformed(Exception):
    """The bytes are no such struct."""


def read_struct(data: bytes, place: int, wanted: Mapping[int, Any]) -> tuple[Struct, int]:
    """Read a struct.

    Args:
        data: holds it.
        place: where it begins.
        wanted: numbers of fields to keep -> `int`, the mapping of a struct, or a list with the
            mapping of a struct.

    Returns:
        The fields that are there, and the place behind the struct.

    Raises:
        Malformed: see above.
    """
    reader = _Reader(data, place)
    try:
        return reader.struct(wanted, 0), reader.at
    except IndexError:
        raise Malformed from None


class _Reader:
    def __init__(self, data: bytes, at: int) -> None:
        self._data, self.at = data, at

    def struct(self, wanted: Mapping[int, Any], depth: int) -> Struct:
        found: Struct = {}
        for field, kind in self._fields(depth):
            if field not in wanted:
                self._skip(kind, depth)
            elif field in found:
                raise Malformed
            else:
                found[field] = self._value(kind, wanted[field], depth)
        return found

    def _value(self, kind: int, form: Any, depth: int) -> Any:
        if form is int and kind in _RANGE:
            return self._integer(kind)
        if isinstance(form, list) and kind == _LIST:
            size, inner = self._list_head()
            if inner != _STRUCT and size:
                raise Malformed
            return [self.struct(form[0], depth + 1) for _ in range(size)]
        if isinstance(form, Mapping) and kind == _STRUCT:
            return self.struct(form, depth + 1)
        raise Malformed

    def _fields(self, depth: int) -> Iterator[tuple[int, int]]:
        """Numbers and kinds of the fields of a struct; whoever gets one moves behind it."""
        if depth > _MOST_DEPTH:
            raise Malformed
        field = 0
        while head := self._byte():
            field = field + (head >> 4) if head >> 4 else self._integer(_I16)
            if not 0 <= field <= _MOST_FIELD:
                raise Malformed
            yield field, head & 0xF

    def _list_head(self) -> tuple[int, int]:
        head = self._byte()
        size = head >> 4
        if size == 0xF:
            size = self._varint()
        if size > len(self._data) - self.at:  # each element takes a byte at least
            raise Malformed
        return size, head & 0xF

    def _skip(self, kind: int, depth: int) -> None:
        if kind in (_TRUE, _FALSE):  # the kind is the value
            return
        self._skip_element(kind, depth)

    def _skip_element(self, kind: int, depth: int) -> None:
        if depth > _MOST_DEPTH:
            raise Malformed
        if kind in (_TRUE, _FALSE):
            self._move(1)
        elif kind in _FIXED:
            self._move(_FIXED[kind])
        elif kind == _BINARY:
            self._move(self._varint())
        elif kind == _STRUCT:
            for _, inner in self._fields(depth + 1):
                self._skip(inner, depth + 1)
        elif kind in (_LIST, _SET):
            size, inner = self._list_head()
            for _ in range(size):
                self._skip_element(inner, depth + 1)
        elif kind == _MAP:
            self._skip_map(depth)
        elif kind in _RANGE:
            self._varint()
        else:
            raise Malformed

    def _skip_map(self, depth: int) -> None:
        size = self._varint()
        if size > len(self._data) - self.at:
            raise Malformed
        kinds = self._byte() if size else 0
        for _ in range(size):
            self._skip_element(kinds >> 4, depth + 1)
            self._skip_element(kinds & 0xF, depth + 1)

    def _byte(self) -> int:
        self.at += 1
        return self._data[self.at - 1]

    def _varint(self) -> int:
        found = shift = 0
        while (byte := self._byte()) & 0x80:
            found |= (byte & 0x7F) << shift
            shift += 7
            if shift > _VARINT_BITS:
                raise Malformed
        return found | byte << shift

    def _integer(self, kind: int) -> int:
        number = self._varint()
        value = (number >> 1) ^ -(number & 1)
        if not -_RANGE[kind] <= value < _RANGE[kind]:
            raise Malformed
        return value

    def _move(self, size: int) -> None:
        self.at += size
        if self.at > len(self._data):
            raise IndexError
