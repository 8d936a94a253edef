"""Read a Parquet file as raw rows (Python objects).

Input files are untrusted. The sizes in the footer can be false, so rows are measured before they
are converted. A schema can name extension types that run code, so such files are rejected.
"""

import base64
import io
from collections.abc import Collection, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vitw_ray.conversations.rows import MAX_ROW_BYTES, FileBroken, Raw, Reject

_COLUMN_BUFFER_BYTES = 1 << 20  # ours: a column chunk can be hundreds of MB
_BATCH_ROWS = 64  # ours: three times as fast as single rows, and a few MB of chats
_VALUE_BYTES = 16  # ours: minimum size of a value as a Python object
_DAMAGE = (pa.ArrowException, OSError, ValueError)  # ValueError: column names that are not UTF-8


def read_parquet(
    stream: io.BufferedIOBase, columns: Collection[str] | None
) -> Iterator[tuple[int, Raw | Reject]]:
    """Yield row numbers and rows of a Parquet file; with `columns`, only these columns.

    A row group that cannot be decoded gives one reject, at the number of its first lost row.

    Raises:
        FileBroken: the file is not Parquet, uses extension types, or has none of the columns.
    """
    _refuse_extension_types(stream)
    try:
        metadata = pq.ParquetFile(stream, arrow_extensions_enabled=False).metadata
        file = pq.ParquetFile(
            stream,
            metadata=metadata,
            read_dictionary=_text_columns(metadata),
            pre_buffer=False,
            buffer_size=_COLUMN_BUFFER_BYTES,
            arrow_extensions_enabled=False,
        )
        names = [name for name in file.schema_arrow.names if columns is None or name in columns]
    except _DAMAGE:
        raise FileBroken("file_unreadable") from None
    if not names:  # the number of rows would come from the untrusted footer alone
        raise FileBroken("columns_missing")
    first = 0
    for group in range(metadata.num_row_groups):
        size = metadata.row_group(group)
        row = first
        first += size.num_rows
        batch_rows = MAX_ROW_BYTES * size.num_rows // max(1, size.total_byte_size)
        batches = file.iter_batches(
            min(max(1, batch_rows), _BATCH_ROWS), [group], names, use_threads=False
        )
        try:
            for batch in batches:
                for value in _batch_rows(batch):
                    yield row, value
                    row += 1
        except _DAMAGE:
            yield row, Reject("row_group_unreadable")


def _inside_base64(text: bytes) -> list[bytes]:
    """The base64 encodings of `text` inside a longer string, one for each of three alignments."""
    forms = []
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + text).rstrip(b"=")
        ends_whole = (before + len(text)) % 3 == 0
        forms.append(encoded[(0, 2, 3)[before] : None if ends_whole else -1])
    return forms


_EXTENSION_MARKS = _inside_base64(b"ARROW:extension:name")


def _refuse_extension_types(stream: io.BufferedIOBase) -> None:
    """Reject files with Arrow extension types, whose registered code may unpickle data.

    Arrow calls that code when it opens a file. So the footer, which contains the Arrow schema in
    base64, is searched before.
    """
    size = stream.seek(0, io.SEEK_END)
    stream.seek(max(0, size - 8))
    length = int.from_bytes(stream.read(4), "little")
    stream.seek(max(0, size - 8 - length))
    footer = stream.read(length)
    stream.seek(0)
    if any(mark in footer for mark in _EXTENSION_MARKS):
        raise FileBroken("arrow_extension_types")


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
            yield from batch.to_pylist()
            return
        except (ValueError, OverflowError):  # caused by one row: convert them one by one below
            pass
    for place, size in enumerate(sizes):
        if size > MAX_ROW_BYTES:
            yield Reject("row_too_long")
            continue
        try:
            yield batch.slice(place, 1).to_pylist()[0]
        except UnicodeDecodeError:
            yield Reject("invalid_utf8")
        except (ValueError, OverflowError):  # such as a date outside Python's range of years
            yield Reject("value_unreadable")


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
    elif pa.types.is_string(kind) or pa.types.is_binary(kind):
        own = own + pc.call_function("binary_length", [array]).fill_null(0).to_numpy()
    return own
