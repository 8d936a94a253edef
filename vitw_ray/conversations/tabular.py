"""Read CSV and TSV as raw rows, of which all values are text; an empty cell is null."""

import csv
import io
import re
from collections.abc import Container, Iterator
from itertools import count

from vitw_ray.conversations.rows import MAX_ROW_BYTES, FileBroken, Raw, Reject

SEPARATOR_LINE = re.compile(r'"?sep=([,;|\t])"?\s*', re.IGNORECASE)
"""The line before the names of the columns, by which Excel is told the delimiter."""


def read_table(stream: io.BufferedIOBase, delimiter: str) -> Iterator[Raw | Reject]:
    """Yield the rows below the first line, which names the columns.

    Raises:
        FileBroken: a line is longer than a row may be.
    """
    csv.field_size_limit(MAX_ROW_BYTES)  # for a quotation mark that is never closed
    records = csv.reader(_lines(stream), delimiter=delimiter)
    header: list[str] | None = None
    while True:
        try:
            record = next(records)
        except StopIteration:
            return
        except csv.Error:
            yield Reject("row_too_long")
            continue
        if not record:
            continue
        if header is None:
            if records.line_num == 1 and SEPARATOR_LINE.fullmatch(delimiter.join(record)):
                continue
            header = _different([name.strip() for name in record])
        else:
            yield _row(header, record)


def _different(names: list[str]) -> list[str]:
    """Names of columns; the second and later ones of a name get a number, so that none is lost."""
    different: dict[str, None] = {}
    for name in names:
        numbered = (f"{name}.{number}" for number in count(2))
        different[name if name not in different else _first_new(numbered, different)] = None
    return [*different]


def _first_new(names: Iterator[str], taken: Container[str]) -> str:
    return next(name for name in names if name not in taken)


def _row(header: list[str], record: list[str]) -> Raw | Reject:
    if len(record) > len(header):
        return Reject("too_many_cells")
    try:
        "".join(record).encode()
    except UnicodeEncodeError:
        return Reject("invalid_utf8")
    record += [""] * (len(header) - len(record))
    return {name: cell or None for name, cell in zip(header, record, strict=True)}


def _lines(stream: io.BufferedIOBase) -> Iterator[str]:
    """Lines with their ends; bytes that are not UTF-8 become surrogates, which `_row` rejects."""
    encoding = "utf-8-sig"
    while line := stream.readline(MAX_ROW_BYTES + 1):
        if len(line) > MAX_ROW_BYTES:
            raise FileBroken("row_too_long")
        text = line.decode(encoding, "surrogateescape")
        encoding = "utf-8"
        yield from text.splitlines(keepends=True) if "\r" in text else (text,)
