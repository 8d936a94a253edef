"""Read a Parquet file as raw rows (Python objects).

Input files are untrusted. The sizes in the footer can be false, so pages are measured before they
are decompressed, and rows before they are converted. A schema can name extension types that run
code, so such a schema is not used: the columns are read as what they are stored as.
"""

import base64
import io
from collections.abc import Collection, Iterator
from contextlib import nullcontext

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vitw_ray.conversations.compact_thrift import Malformed
from vitw_ray.conversations.parquet_pages import (
    MOST_PAGE_BYTES,
    Cost,
    Leaf,
    column_chunks,
    cost_of,
)
from vitw_ray.conversations.parquet_values import Plain, as_texts, rows_of, with_readable_times
from vitw_ray.conversations.rows import MAX_ROW_BYTES, FileBroken, Raw, Reject, every_turn

_COLUMN_BUFFER_BYTES = 1 << 20  # ours: a column chunk can be hundreds of MB
_BATCH_ROWS = 256  # ours: as fast as more, and a few MB of chats
_LARGE_PAGES = MAX_ROW_BYTES  # ours: row groups with larger pages, or more values than ...
_LARGE_VALUES = 4_000_000  # ours: ... this, are read by one thread at a time
_VALUE_BYTES = 16  # ours: minimum size of a value as a Python object
_TEXT_TYPES = frozenset(
    kind.id
    for kind in (
        *(pa.string(), pa.large_string(), pa.string_view()),
        *(pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(1)),
    )
)
ALL_GROUPS = slice(None)
_DAMAGE = (  # ValueError: column names that are not UTF-8
    *(pa.ArrowException, OSError, ValueError, Malformed),
)


def read_parquet(
    stream: io.BufferedIOBase,
    columns: Collection[str] | None,
    place: float = 0.0,
    groups: slice = ALL_GROUPS,
) -> Iterator[tuple[int, Raw | Reject]]:
    """Yield row numbers and rows of a Parquet file; with `columns`, only these columns.

    A row group that cannot be decoded, or that memory should not hold, gives one reject, at the
    number of its first lost row.

    Args:
        stream: the file.
        columns: to be read; None for all.
        place: above 0, only the row group that holds this share of the file, if not the first.
        groups: the row groups to read.

    Raises:
        FileBroken: the file is not Parquet, or has none of the columns.
    """
    try:
        metadata, footer = _metadata(stream)
        file = pq.ParquetFile(
            stream,
            metadata=metadata,
            read_dictionary=_text_columns(metadata),
            pre_buffer=False,
            buffer_size=_COLUMN_BUFFER_BYTES,
            arrow_extensions_enabled=False,
            coerce_int96_timestamp_unit="us",
        )
        names = [name for name in file.schema_arrow.names if columns is None or name in columns]
        chunks = column_chunks(footer)
    except _DAMAGE:
        raise FileBroken("file_unreadable") from None
    if not names:  # the number of rows would come from the untrusted footer alone
        raise FileBroken("columns_missing")
    if len(chunks) != metadata.num_row_groups:
        raise FileBroken("file_unreadable")
    plain = Plain.of(metadata, names)
    leaves = _leaves(metadata, names)
    every = range(metadata.num_row_groups)
    only = min(int(place * len(every)), len(every) - 1)
    first = 0
    for group in every:
        row = first
        first += metadata.row_group(group).num_rows
        if group not in every[groups] or (place and (group != only or not only)):
            continue
        try:
            cost = cost_of(stream, chunks[group], leaves)
        except _DAMAGE:
            yield row, Reject("row_group_unreadable")
            continue
        if not cost.fits:
            yield row, Reject("row_group_too_large")
            continue
        is_large = cost.page_bytes > _LARGE_PAGES or cost.values > _LARGE_VALUES
        with every_turn() if is_large else nullcontext():
            for value in _group_rows(file, group, names, cost):
                yield row, value if plain is None else plain.row(value)
                row += 1


def _group_rows(
    file: pq.ParquetFile, group: int, names: list[str], cost: Cost
) -> Iterator[Raw | Reject]:
    """The rows of a row group; one reject for all that cannot be decoded."""
    size = file.metadata.row_group(group)
    largest = max(size.total_byte_size, cost.group_bytes, 1)
    batch_rows = min(
        MAX_ROW_BYTES * size.num_rows // largest,  # of the usual size
        MOST_PAGE_BYTES // max(cost.page_bytes, 1),  # each may be as large as a page
        _BATCH_ROWS,
    )
    batches = file.iter_batches(max(1, batch_rows), [group], names, use_threads=False)
    try:
        for batch in batches:
            yield from _batch_rows(with_readable_times(batch))
    except _DAMAGE:
        yield Reject("row_group_unreadable")


def _leaves(metadata: pq.FileMetaData, names: list[str]) -> list[Leaf]:
    columns = (metadata.schema.column(i) for i in range(metadata.num_columns))
    return [
        Leaf(
            wanted=column.path.split(".")[0] in names,
            repeats=column.max_repetition_level > 0,
            width=max(column.length or 0, 0),
        )
        for column in columns
    ]


def row_groups(stream: io.BufferedIOBase) -> list[tuple[int, int]]:
    """Rows and uncompressed bytes of each row group, as the footer states them.

    Raises:
        FileBroken: the file is not Parquet.
    """
    try:
        metadata, _ = _metadata(stream)
    except _DAMAGE:
        raise FileBroken("file_unreadable") from None
    found = (metadata.row_group(group) for group in range(metadata.num_row_groups))
    return [(group.num_rows, group.total_byte_size) for group in found]


def _inside_base64(text: bytes) -> list[bytes]:
    """The base64 encodings of `text` inside a longer string, one for each of three alignments."""
    forms = []
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + text).rstrip(b"=")
        ends_whole = (before + len(text)) % 3 == 0
        forms.append(encoded[(0, 2, 3)[before] : None if ends_whole else -1])
    return forms


_EXTENSION_MARKS = _inside_base64(b"ARROW:extension:name")


def _metadata(stream: io.BufferedIOBase) -> tuple[pq.FileMetaData, bytes]:
    """The footer, as Arrow reads it and as bytes.

    It is without the Arrow schema if that names extension types.

    Arrow calls their registered code when it opens a file, and that code may unpickle data. So the
    footer, which contains the schema in base64, is searched before. Renaming the schema's key
    makes Arrow derive the types from Parquet's own.
    """
    size = stream.seek(0, io.SEEK_END)
    stream.seek(max(0, size - 8))
    length = int.from_bytes(stream.read(4), "little")
    stream.seek(max(0, size - 8 - length))
    footer = stream.read(length)
    stream.seek(0)
    if not any(mark in footer for mark in _EXTENSION_MARKS):
        return pq.ParquetFile(stream, arrow_extensions_enabled=False).metadata, footer
    renamed = footer.replace(b"ARROW:schema", b"ARROW-schema")
    alone = b"PAR1" + renamed + len(renamed).to_bytes(4, "little") + b"PAR1"
    return pq.ParquetFile(io.BytesIO(alone), arrow_extensions_enabled=False).metadata, footer


def _text_columns(metadata: pq.FileMetaData) -> list[str]:
    """Text columns, to be read as dictionary indices so that a repeated text is stored once.

    Otherwise half a megabyte of Parquet (one long text and many references to it) expands to
    200 GB before any row can be measured, and the footer states only half a megabyte.
    """
    leaves = (metadata.schema.column(i) for i in range(metadata.num_columns))
    return [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]


def _batch_rows(batch: pa.RecordBatch) -> Iterator[Raw | Reject]:
    sizes = sum((_row_bytes(column) for column in batch.columns), np.zeros(batch.num_rows))
    if sizes.sum() <= MAX_ROW_BYTES:
        try:
            yield from rows_of(batch)
            return
        except (ValueError, OverflowError):  # caused by one row: convert them one by one below
            pass
    for place, size in enumerate(sizes):
        if size > MAX_ROW_BYTES:
            yield Reject("row_too_long")
            continue
        try:
            yield _row(batch.slice(place, 1))
        except UnicodeDecodeError:
            yield Reject("invalid_utf8")
        except (ValueError, OverflowError):
            yield Reject("value_unreadable")


def _row(row: pa.RecordBatch) -> Raw:
    """A batch of one row; a time outside Python's range of years costs itself alone."""
    try:
        return rows_of(row)[0]
    except UnicodeDecodeError:
        raise
    except (ValueError, OverflowError):
        return rows_of(as_texts(row))[0]


def _row_bytes(array: pa.Array) -> np.ndarray:
    """Estimated bytes of each element as Python objects; float64 (elements)."""
    kind = array.type
    own = np.full(len(array), float(_VALUE_BYTES))
    if pa.types.is_dictionary(kind):
        texts = np.append(_row_bytes(array.dictionary), 0.0)  # the last entry is for null
        bounds = pc.call_function("min_max", [array.indices]).as_py()
        if bounds["max"] is not None and not 0 <= bounds["min"] <= bounds["max"] < len(texts) - 1:
            raise pa.ArrowInvalid("an index outside its dictionary")  # Arrow does not check this
        indices = array.indices.fill_null(len(texts) - 1).to_numpy()
        own = texts[indices]
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
    elif kind.id in _TEXT_TYPES:
        own = own + pc.call_function("binary_length", [array]).fill_null(0).to_numpy()
    return own
