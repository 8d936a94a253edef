"""What a row group of a Parquet file would take in memory, before any of it is decompressed.

A page is decompressed as a whole, and a few kilobytes can be a page of gigabytes. The footer states
sizes, but they can be false: a decoder goes by the headers of the pages. Footer and headers are
read here, field by field, because other readers of the footer end the process on a damaged one.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from vitw_ray.conversations.compact_thrift import Malformed, Struct, read_struct

MOST_PAGE_BYTES = 256 << 20  # ours: the largest pages of all columns; a long chat takes 32 MB
MOST_VALUES = (
    40_000_000  # ours: of all columns; so many took 1.5 GB, most of it to divide them into rows
)
MOST_GROUP_BYTES = 1 << 30  # ours: of all columns, as a single row may be spread over all pages ...
MOST_PACKED = 20  # ours: ... but where a file is not much smaller than that; text is packed by 5
_MOST_PAGES = 200_000  # ours: of a column; pages of 1 MB make 200 GB
_HEADER_BYTES = 512  # ours: most headers take 30 bytes; those with statistics more
_MOST_HEADER_BYTES = 1 << 20
_PADDING = 100  # bytes behind a column that a decoder may read: old writers left headers out
_DELTA_BYTE_ARRAY = 7  # an encoding: values repeat the start of the value before

_CHUNK = {5: int, 7: int, 9: int, 11: int}
_FOOTER: Mapping = {4: [{1: [{3: _CHUNK}]}]}
_DATA_V1, _DICTIONARY, _DATA_V2 = 5, 7, 8
_HEADER: Mapping = {
    2: int,
    3: int,
    _DATA_V1: {1: int, 2: int},
    _DICTIONARY: {1: int},
    _DATA_V2: {1: int, 4: int},
}


@dataclass(frozen=True)
class Leaf:
    """A column of the file: whether it is read, may repeat within a row, and its fixed width."""

    wanted: bool
    repeats: bool
    width: int


@dataclass
class Cost:
    """What the wanted columns of a row group take."""

    page_bytes: int = 0
    """The largest pages of all columns, with their dictionaries."""
    values: int = 0
    group_bytes: int = 0
    stored_bytes: int = 0

    @property
    def fits(self) -> bool:
        """Whether memory may hold it, even if all of it is one row."""
        packed = self.group_bytes > MOST_PACKED * self.stored_bytes
        return (
            self.page_bytes <= MOST_PAGE_BYTES
            and self.values <= MOST_VALUES
            and not (self.group_bytes > MOST_GROUP_BYTES and packed)
        )


def column_chunks(footer: bytes) -> list[list[Struct]]:
    """The column chunks of each row group.

    Raises:
        Malformed: it is no footer.
    """
    read, _ = read_struct(footer, 0, _FOOTER)
    return [[chunk.get(3, {}) for chunk in group.get(1, [])] for group in read.get(4, [])]


def cost_of(stream: io.BufferedIOBase, chunks: Sequence[Struct], leaves: Sequence[Leaf]) -> Cost:
    """What the pages of a row group take, as their headers say.

    Raises:
        Malformed: a header cannot be read.
    """
    if len(chunks) != len(leaves):
        raise Malformed
    cost = Cost()
    for chunk, leaf in zip(chunks, leaves, strict=True):
        if leaf.wanted:
            _add(cost, stream, chunk, leaf)
    return cost


def _add(cost: Cost, stream: io.BufferedIOBase, chunk: Struct, leaf: Leaf) -> None:
    largest = dictionary = 0
    for page in _pages(stream, chunk):
        size = page[2]
        head = page.get(_DICTIONARY) or page.get(_DATA_V1) or page.get(_DATA_V2) or {}
        values = head.get(1, 0)
        if values < 0:
            raise Malformed
        taken = max(size, values * leaf.width)
        if _DICTIONARY in page:
            dictionary = max(dictionary, size)
        else:
            largest = max(largest, size)
            encoding = head.get(4 if _DATA_V2 in page else 2)
            if encoding == _DELTA_BYTE_ARRAY and leaf.repeats:
                taken = values * size  # a value may hold all that came before it
        cost.values += values
        cost.group_bytes += taken
        cost.stored_bytes += page[3]
    cost.page_bytes += largest + dictionary


def _pages(stream: io.BufferedIOBase, chunk: Struct) -> Iterator[Struct]:
    """The headers of a column's pages, up to the number of values that the footer says."""
    if not {5, 7, 9} <= set(chunk):
        raise Malformed
    place, dictionary = chunk[9], chunk.get(11, 0)
    end = min(place, dictionary if dictionary > 0 else place) + chunk[7] + _PADDING
    place = min(place, dictionary) if dictionary > 0 else place
    left = chunk[5]
    for _ in range(_MOST_PAGES):
        if left <= 0:
            return
        if not 0 <= place < end:
            raise Malformed
        page, length = _header(stream, place)
        if min(page.get(2, -1), page.get(3, -1)) < 0:
            raise Malformed
        yield page
        left -= (page.get(_DATA_V1) or page.get(_DATA_V2) or {}).get(1, 0)
        place += length + page[3]
    raise Malformed


def _header(stream: io.BufferedIOBase, place: int) -> tuple[Struct, int]:
    for size in (_HEADER_BYTES, _MOST_HEADER_BYTES):
        stream.seek(place)
        data = stream.read(size)
        try:
            return read_struct(data, 0, _HEADER)
        except Malformed:
            if len(data) < size:
                break
    raise Malformed
