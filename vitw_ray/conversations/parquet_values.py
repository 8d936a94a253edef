"""Values of a Parquet file as Python objects such as JSON could hold.

Types that JSON does not have become text or numbers. A time that Python cannot hold costs itself,
and not its row.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any, cast
from uuid import UUID
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq

from vitw_ray.conversations.rows import Raw, Reject

_BYTES = ("BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY")
_UUID_BYTES = 16
_MOST_ID_BYTES = 64  # ours: the longest digests


def rows_of(batch: pa.RecordBatch) -> list[Raw]:
    """The rows of a batch; a map is an object, of equal keys the last counts.

    Raises:
        ValueError, OverflowError: a value has no place in Python's types.
    """
    if not any(map(_has_map, batch.schema.types)):
        return cast(list[Raw], batch.to_pylist())  # three times as fast as with the argument
    return cast(list[Raw], batch.to_pylist(maps_as_pydicts="lossy"))


def _has_map(kind: pa.DataType) -> bool:
    inner = (kind.field(place).type for place in range(kind.num_fields))
    return pa.types.is_map(kind) or any(map(_has_map, inner))


def with_readable_times(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Times of zones that Python knows, cut to microseconds, which Python's times have."""
    return _cast(batch, _readable)


def as_texts(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Times as text, which has no range."""
    return _cast(with_readable_times(batch), _texts)


def _cast(batch: pa.RecordBatch, change: Callable[[pa.DataType], pa.DataType]) -> pa.RecordBatch:
    for place, kind in enumerate(batch.schema.types):
        changed = _changed(kind, change)
        if changed is not kind:
            column = batch.column(place).cast(changed, safe=False)
            batch = batch.set_column(place, batch.schema.names[place], column)
    return batch


def _changed(kind: pa.DataType, change: Callable[[pa.DataType], pa.DataType]) -> pa.DataType:
    """A type with other types of time in it; the same object if nothing changes."""
    if pa.types.is_struct(kind):
        fields = [kind.field(place) for place in range(kind.num_fields)]
        inner = [_changed(field.type, change) for field in fields]
        if all(new is field.type for new, field in zip(inner, fields, strict=True)):
            return kind
        return pa.struct([(f.name, new) for f, new in zip(fields, inner, strict=True)])
    if pa.types.is_map(kind):
        held = _changed(kind.item_type, change)
        return kind if held is kind.item_type else pa.map_(kind.key_type, held)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        held = _changed(kind.value_type, change)
        if held is kind.value_type:
            return kind
        return pa.list_(held) if pa.types.is_list(kind) else pa.large_list(held)
    return change(kind)


def _readable(kind: pa.DataType) -> pa.DataType:
    if not pa.types.is_timestamp(kind) or (kind.unit != "ns" and _is_known(kind.tz)):
        return kind
    # The values of a zoned time are those of UTC, whatever the zone is called.
    return pa.timestamp("us" if kind.unit == "ns" else kind.unit, "UTC" if kind.tz else None)


def _texts(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind) or pa.types.is_time(kind):
        return pa.string()
    return pa.int64() if pa.types.is_duration(kind) else kind


@lru_cache(256)
def _is_known(zone: str | None) -> bool:
    if zone is None or (zone[:1] in "+-" and zone[1:].replace(":", "").isdecimal()):
        return True
    try:
        ZoneInfo(zone)
    except (ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError
        return False
    except KeyError:
        return False
    return True


@dataclass(frozen=True)
class Plain:
    """Rewrites values of types that JSON does not have as JSON would hold them.

    UUIDs and binary text become text, decimals numbers, and short binary values of a fixed length,
    as ids are stored, hexadecimal. What is none of these stays as it is.
    """

    uuids: frozenset[str]
    """Names of the fields that hold UUIDs."""
    ids: frozenset[str]
    """Names of the fields of binary values of a fixed length, which may be text."""

    @classmethod
    def of(cls, metadata: pq.FileMetaData, columns: Sequence[str]) -> "Plain | None":
        """What the columns need; None for those that JSON could hold as they are."""
        leaves = [metadata.schema.column(i) for i in range(metadata.num_columns)]
        leaves = [leaf for leaf in leaves if leaf.path.split(".")[0] in columns]
        kinds = {leaf.path: leaf.logical_type.type for leaf in leaves}
        uuids = frozenset(leaf.name for leaf in leaves if kinds[leaf.path] == "UUID")
        ids = frozenset(
            leaf.name
            for leaf in leaves
            if leaf.physical_type == "FIXED_LEN_BYTE_ARRAY"
            and kinds[leaf.path] == "NONE"
            and leaf.length <= _MOST_ID_BYTES
        )
        binary = any(
            leaf.physical_type in _BYTES and kinds[leaf.path] in ("NONE", "DECIMAL")
            for leaf in leaves
        )
        decimals = any(kind == "DECIMAL" for kind in kinds.values())
        return cls(uuids, ids) if uuids or binary or decimals else None

    def row(self, row: Raw | Reject) -> Raw | Reject:
        """A row with plain values."""
        return row if isinstance(row, Reject) else self._value(row, "")

    def _value(self, value: Any, name: str) -> Any:
        if isinstance(value, dict):
            return {key: self._value(inner, key) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._value(inner, name) for inner in value]
        if isinstance(value, Decimal):
            return int(value) if value == value.to_integral_value() else float(value)
        return self._text(value, name) if isinstance(value, bytes) else value

    def _text(self, value: bytes, name: str) -> Any:
        if name in self.uuids and len(value) == _UUID_BYTES:
            return str(UUID(bytes=value))
        try:
            text = value.decode()
        except UnicodeDecodeError:
            text = None
        if name in self.ids and not (text is not None and text.rstrip("\0 ").isprintable()):
            return str(UUID(bytes=value)) if len(value) == _UUID_BYTES else value.hex()
        return value if text is None else text
