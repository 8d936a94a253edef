"""Read the raw rows of an input file.

First step of stage 1. A file that cannot be read at all is an `InputError` before any work is
done. A bad row, or a file that breaks off, is a `Reject` at that row.
"""

import io
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import cast
from urllib.parse import unquote

from vitw_ray.conversations.file_content import Content
from vitw_ray.conversations.listing import list_input
from vitw_ray.conversations.opening import opened
from vitw_ray.conversations.parquet import read_parquet
from vitw_ray.conversations.reading_units import Span
from vitw_ray.conversations.rows import FileBroken, Raw, Reject, read_json
from vitw_ray.conversations.shapes import SHAPES
from vitw_ray.conversations.tabular import read_table
from vitw_ray.conversations.unpacking import DAMAGE, damage_code
from vitw_ray.stages import SourceFile

_SPOOLED_BYTES = 64 << 20  # ours: larger Parquet files in an archive are unpacked on disk
_UNPACKED_BYTES = 8 << 30  # ours: the most that is unpacked for one Parquet file
_NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
_PARTITION = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)

__all__ = ["Reject", "SourceFile", "find_files", "iter_rows"]


def find_files(inputs: Sequence[str]) -> list[SourceFile]:
    """The files that may hold rows; see `list_input`."""
    return list(list_input(inputs).files)


def iter_rows(
    file: SourceFile, shape: str | None = None, span: Span | None = None
) -> Iterator[tuple[int, Raw | Reject]]:
    """Yield row numbers (from 0) and rows.

    With `shape`, only the columns that the shape needs are read from a columnar file, and with
    `span` only a range of the rows. A row that cannot be read is a `Reject`. A file that breaks off
    gives one `Reject` for its remaining rows.

    Raises:
        InputError: the storage fails.
    """
    span = span or Span(0)
    number = span.row - 1
    columns = SHAPES[shape].columns.split() if shape else None
    partitions = _partitions(file.name, columns)
    try:
        for number, row in _numbered_rows(file, columns, span):
            if partitions and isinstance(row, dict):
                row.update({k: v for k, v in partitions.items() if row.get(k) is None})
            yield number, row
    except FileBroken as broken:
        yield number + 1, Reject(broken.reason)
    except DAMAGE as error:
        yield number + 1, Reject(damage_code(error))


def _numbered_rows(
    file: SourceFile, columns: Sequence[str] | None, span: Span
) -> Iterator[tuple[int, Raw | Reject]]:
    layout = Content.parse(file.content).layout
    with opened(file) as stream:
        if layout == "parquet":
            with _seekable(stream, file) as whole:
                yield from read_parquet(whole, columns, groups=slice(span.start, span.stop))
        elif layout.startswith("csv"):
            yield from enumerate(read_table(stream, chr(int(layout.removeprefix("csv")))))
        else:
            rows = read_json(stream, layout, span.start, span.stop)
            yield from enumerate(rows, span.row)


def _seekable(stream: io.BufferedIOBase, file: SourceFile) -> io.BufferedIOBase:
    """The stream, or a copy of it if it is unpacked on the way: Parquet is not read in order."""
    if not file.member and " " not in file.content:
        return stream
    copy = tempfile.SpooledTemporaryFile(_SPOOLED_BYTES)  # noqa: SIM115  # the caller closes it
    while piece := stream.read(1 << 20):
        copy.write(piece)
        if copy.tell() > _UNPACKED_BYTES:
            raise FileBroken("file_too_large")
    copy.seek(0)
    return cast(io.BufferedIOBase, copy)


def _partitions(name: str, columns: Sequence[str] | None) -> Raw:
    """The columns of a row that stand in the names of folders, as `model=x/`."""
    if "=" not in name:
        return {}
    named = columns or {column for shape in SHAPES.values() for column in shape.columns.split()}
    pairs = [_PARTITION.fullmatch(folder) for folder in name.split("/")[:-1]]
    values = {pair[1]: unquote(pair[2]) for pair in pairs if pair}
    return {k: v for k, v in values.items() if k in named and v and v != _NULL_PARTITION}


def codes(reasons: Counter[str]) -> str:
    """Reject codes and their counts, for a message."""
    return ", ".join(f"{code} {count}" for code, count in reasons.most_common())
