"""The sizes of a Parquet file's pages, as the headers before the pages state them.

A page is decompressed as a whole, and a few kilobytes can be a page of gigabytes. The footer also
states sizes, but a decoder goes by the headers. They are Thrift's compact protocol.
"""

import io
from collections.abc import Iterator

import pyarrow.parquet as pq

from vitw_ray.conversations.rows import MAX_ROW_VALUES

MOST_PAGE_BYTES = 256 << 20  # ours: pages of a thousand long chats take 100 MB
MOST_PAGE_VALUES = 8 * MAX_ROW_VALUES  # ours: 20 million, which take 200 MB beside the values
_HEADER_BYTES = 4 << 10  # ours: most headers take 30 bytes; those with statistics more
_MOST_HEADER_BYTES = 1 << 20
_UNCOMPRESSED, _COMPRESSED = 2, 3  # fields of a page header
_OF_ITS_KIND = (5, 7, 8)  # structs of a page header, whose first field is the number of values
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12
_MOST_DEPTH = 8  # ours: a header has three levels


class Malformed(Exception):
    """No page header; what decodes the file will say so too."""


def fits(stream: io.BufferedIOBase, group: pq.RowGroupMetaData, columns: frozenset[str]) -> bool:
    """Whether all pages of some columns of a row group are small enough to be decompressed."""
    for number in range(group.num_columns):
        chunk = group.column(number)
        if chunk.path_in_schema.split(".")[0] not in columns:
            continue
        try:
            values = 0
            for size, found in _pages(stream, chunk):
                values += found
                if size > MOST_PAGE_BYTES or found > MOST_PAGE_VALUES:
                    return False
            if values > max(MOST_PAGE_VALUES, group.num_rows * MAX_ROW_VALUES):
                return False
        except Malformed:
            continue
    return True


def _pages(stream: io.BufferedIOBase, chunk: pq.ColumnChunkMetaData) -> Iterator[tuple[int, int]]:
    """Bytes and values of each page of a column chunk."""
    dictionary = chunk.dictionary_page_offset
    place = chunk.data_page_offset if not dictionary else min(dictionary, chunk.data_page_offset)
    end = place + chunk.total_compressed_size
    while 0 <= place < end:
        header = _Header.read(stream, place)
        if header is None or header.compressed < 0:
            raise Malformed
        yield header.uncompressed, header.values
        place += header.length + header.compressed


class _Header:
    """One page header."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0
        self.uncompressed = self.compressed = self.values = 0
        for field, kind in self._fields():
            if field in (_UNCOMPRESSED, _COMPRESSED) and kind not in (_BINARY, _STRUCT):
                value = self._integer()
                if field == _UNCOMPRESSED:
                    self.uncompressed = value
                else:
                    self.compressed = value
            elif field in _OF_ITS_KIND and kind == _STRUCT:
                for inner, inner_kind in self._fields():
                    if inner == 1:
                        self.values = self._integer()
                    else:
                        self._skip(inner_kind, 2)
            else:
                self._skip(kind, 1)
        self.length = self._at

    @classmethod
    def read(cls, stream: io.BufferedIOBase, place: int) -> "_Header | None":
        """The header at a place of a file; None at its end."""
        size = _HEADER_BYTES
        while True:
            stream.seek(place)
            data = stream.read(size)
            if not data:
                return None
            try:
                return cls(data)
            except IndexError:  # it is longer
                if len(data) < size or size >= _MOST_HEADER_BYTES:
                    raise Malformed from None
                size = _MOST_HEADER_BYTES

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _number(self) -> int:
        found = shift = 0
        while (byte := self._byte()) & 0x80:
            found |= (byte & 0x7F) << shift
            shift += 7
            if shift > 63:
                raise Malformed
        return found | byte << shift

    def _integer(self) -> int:
        number = self._number()
        return (number >> 1) ^ -(number & 1)

    def _fields(self) -> Iterator[tuple[int, int]]:
        """Numbers and kinds of the fields of a struct; whoever gets one moves behind it."""
        field = 0
        while head := self._byte():
            field = field + (head >> 4) if head >> 4 else self._integer()
            yield field, head & 0xF

    def _skip(self, kind: int, depth: int) -> None:
        if depth > _MOST_DEPTH:
            raise Malformed
        if kind in (_TRUE, _FALSE):
            return
        if kind == _BYTE:
            self._move(1)
        elif kind == _DOUBLE:
            self._move(8)
        elif kind == _BINARY:
            self._move(self._number())
        elif kind == _STRUCT:
            for _, inner in self._fields():
                self._skip(inner, depth + 1)
        elif kind in (_LIST, _SET, _MAP):
            raise Malformed  # a page header has none
        else:
            self._number()

    def _move(self, size: int) -> None:
        self._at += size
        if self._at > len(self._data):
            raise IndexError
