"""Divide the input among workers: units of small files, and of ranges of large ones.

Parquet is divided between row groups, and uncompressed JSON Lines between lines. How a file is
divided depends on the file alone, so that what is written does not depend on the workers.

The row groups of Parquet say how many rows lie before them. Lines do not: their rows are numbered
within their range, and get their numbers within the file when all ranges have been read.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from vitw_ray import cluster
from vitw_ray.conversations.file_content import Content
from vitw_ray.conversations.listing import LISTING_THREADS
from vitw_ray.conversations.opening import opened
from vitw_ray.conversations.parquet import row_groups
from vitw_ray.conversations.rows import FileBroken
from vitw_ray.conversations.shapes import SHAPES
from vitw_ray.conversations.unpacking import DAMAGE
from vitw_ray.stages import SourceFile

SPAN_BYTES = 64 << 20  # ours: about half a minute of one core
LEAST_UNIT_BYTES = 1 << 20  # ours: a task of Ray costs as much as reading so much
MOST_UNITS = 2048  # ours: units grow with the input, so that the driver's work is bounded
_RANGE_BITS = 40  # ours: bits of the number of a row within its range


class Span(NamedTuple):
    """A range of a file."""

    file: int
    """Its place in the list of input files."""
    start: int = 0
    """First row group or first byte."""
    stop: int | None = None
    """Row group or byte after the last; None: to the end of the file."""
    row: int = 0
    """Number of its first row, in the form that `global_rows` turns into a number of the file."""


def reading_units(files: Sequence[SourceFile], shapes: Mapping[str, str]) -> list[cluster.Unit]:
    """Units of about the same size, which hold the spans of every file that has a shape.

    Files whose rows belong together are one unit.
    """
    joined, chosen = joined_files(files, shapes)
    total = sum(file.size_bytes for file in files if file.name in shapes)
    most = max(LEAST_UNIT_BYTES, -(-total // MOST_UNITS))
    units: list[cluster.Unit] = [
        {"first_file": files[several[0]].name, "spans": [tuple(Span(n)) for n in several]}
        for several in joined
    ]
    filled = most + 1  # none of them takes another file
    with ThreadPoolExecutor(LISTING_THREADS) as pool:
        spans = pool.map(lambda n: _spans(n, files[n], shapes[files[n].name]), chosen)
        for number, of_file in zip(chosen, spans, strict=True):
            for span, size in of_file:
                if not units or filled + size > most:
                    units.append({"first_file": files[number].name, "spans": []})
                    filled = 0
                units[-1]["spans"].append(tuple(span))
                filled += size
    return units


def joined_files(
    files: Sequence[SourceFile], shapes: Mapping[str, str]
) -> tuple[list[list[int]], list[int]]:
    """Places of the files whose rows belong together, by shape and folder, and of all others."""
    together: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    alone = []
    for n, file in enumerate(files):
        shape = shapes.get(file.name)
        if shape is not None and SHAPES[shape].joins_files:
            together[shape, file.name.rpartition("/")[0]].append(n)
        elif shape is not None:
            alone.append(n)
    return list(together.values()), alone


def _spans(number: int, file: SourceFile, shape: str) -> list[tuple[Span, int]]:
    """The spans of a file and their bytes in storage."""
    content = Content.parse(file.content)
    whole = [(Span(number), file.size_bytes)]
    # Rows of one conversation are joined in the memory of one worker.
    joined = bool(SHAPES[shape].grouped_by)
    if content.layers or file.member or joined or file.size_bytes <= SPAN_BYTES:
        return whole
    if content.layout in ("lines", "pages", "spans"):
        starts = range(0, file.size_bytes, SPAN_BYTES)
        ends = [*starts[1:], None]
        return [
            (Span(number, start, stop, place << _RANGE_BITS), min(SPAN_BYTES, file.size_bytes))
            for place, (start, stop) in enumerate(zip(starts, ends, strict=True))
        ]
    if content.layout == "parquet":
        return list(_spans_of_groups(number, file)) or whole
    return whole


def _spans_of_groups(number: int, file: SourceFile) -> Iterator[tuple[Span, int]]:
    try:
        with opened(file) as stream:
            groups = row_groups(stream)
    except (FileBroken, *DAMAGE):  # the worker that reads it says so, with a reject
        return
    unpacked = max(1, sum(size for _, size in groups))
    start, row, rows, held = 0, 0, 0, 0
    for group, (count, size) in enumerate(groups, 1):
        rows, held = rows + count, held + size
        if held >= SPAN_BYTES or group == len(groups):
            stop = None if group == len(groups) else group
            yield Span(number, start, stop, row), file.size_bytes * held // unpacked
            start, row, rows, held = group, row + rows, 0, 0


def starts_of(spans: Iterable[tuple[str, int, int]]) -> dict[str, list[int]]:
    """Rows before each range of a file that was read in ranges of lines.

    Args:
        spans: file, `row` and number of rows of each span that was read.
    """
    counts: defaultdict[str, dict[int, int]] = defaultdict(dict)
    for name, row, rows in spans:
        counts[name][row >> _RANGE_BITS] = rows
    return {
        name: np.cumsum([0, *(found[n] for n in range(len(found)))]).tolist()
        for name, found in counts.items()
        if max(found) > 0
    }


def global_rows(rejects: pa.Table, starts: Mapping[str, Sequence[int]]) -> pa.Table:
    """Rejects with the numbers of their rows within the files; `starts` is from `starts_of`."""
    rows = rejects["row"].to_numpy().copy()
    later = np.flatnonzero(rows >> _RANGE_BITS)
    if not len(later):
        return rejects
    names = rejects["file"].take(pa.array(later)).to_pylist()
    before = [
        starts[name][row >> _RANGE_BITS]
        for name, row in zip(names, rows[later].tolist(), strict=True)
    ]
    rows[later] = (rows[later] & ((1 << _RANGE_BITS) - 1)) + np.array(before)
    place = rejects.schema.get_field_index("row")
    return rejects.set_column(place, rejects.schema.field(place), pa.array(rows))
