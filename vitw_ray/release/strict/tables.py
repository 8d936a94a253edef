"""Findings -> the tables of a strict release. All of it is computed from noisy numbers alone."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from vitw_ray.release.strict.bounds import AI, TASKS
from vitw_ray.release.strict.measure import Crossed, Findings, Measured

LABELS = pa.schema(
    [
        ("facet", pa.string()),
        ("label", pa.string()),
        ("conversations", pa.int64()),
        ("share", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
    ]
)
RESPONSES = pa.schema(
    [
        field.with_name("response_type") if field.name == "label" else field
        for field in LABELS
        if field.name != "facet"
    ]
)
ASSOCIATIONS = pa.schema(
    [
        ("row_facet", pa.string()),
        ("row", pa.string()),
        ("column_facet", pa.string()),
        ("column", pa.string()),
        ("observed", pa.int64()),
        ("expected", pa.float64()),
        ("residual", pa.float64()),
        ("noise", pa.float64()),
    ]
)
Z = 1.96  # of a 95 % interval
DIGITS = 6  # of shares; the noise is larger


def labels_table(found: Findings) -> pa.Table:
    """Released names of each facet, the most frequent first."""
    rows = [
        {"facet": facet, **row}
        for facet in sorted(found.facets)
        for row in _rows("label", found.facets[facet], found)
    ]
    return pa.Table.from_pylist(rows, LABELS)


def types_table(found: Findings) -> pa.Table:
    """The response types."""
    return pa.Table.from_pylist(_rows("response_type", found.response_types, found), RESPONSES)


def frequencies_rows(found: Findings) -> list[tuple[str, float]]:
    """AI values in the columns of the published data set: name, percent."""
    table = found.facets[AI]
    total = max(found.conversations, 1)
    rows = [
        (name, round(100 * min(count / total, 1.0), 3))
        for name, count in zip(table.names, table.counts.tolist(), strict=True)
    ]
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def associations_table(found: Findings) -> pa.Table:
    """Adjusted residuals of the most frequent AI values; `noise` is the part that noise adds.

    A residual says nothing unless it is several times its `noise`, as well as above 2.
    """
    rows = [
        row
        for facet in ("response_types", TASKS)
        for row in _residuals(facet, found.crossed[facet], found.conversations)
    ]
    return pa.Table.from_pylist(rows, ASSOCIATIONS)


def _rows(column: str, measured: Measured, found: Findings) -> list[dict[str, Any]]:
    total = max(found.conversations, 1)
    shares = np.minimum(measured.counts / total, 1.0)
    error = share_errors(measured, found)
    low, high = np.maximum(shares - error, 0), np.minimum(shares + error, 1)
    numbers = zip(measured.counts.tolist(), _short(shares), _short(low), _short(high), strict=True)
    return [
        {column: name, "conversations": count, "share": share, "low": lowest, "high": highest}
        for name, (count, share, lowest, highest) in zip(measured.names, numbers, strict=True)
    ]


def share_errors(measured: Measured, found: Findings) -> np.ndarray:
    """Half of the 95 % interval of each share that the noise makes; from its scale, not the data.

    The noise of the number of conversations is in it too, in proportion to the share.
    """
    total = max(found.conversations, 1)
    shares = np.minimum(measured.counts / total, 1.0)
    return Z * np.hypot(measured.scales, shares * found.conversations_scale) / total


def _residuals(facet: str, crossed: Crossed, conversations: int) -> list[dict[str, Any]]:
    n = float(max(conversations, 1))
    row = np.minimum(crossed.rows.counts[:, None], n)
    column = np.minimum(crossed.columns.counts[None, :], n)
    expected = row * column / n
    spread = np.sqrt(expected * (1 - row / n) * (1 - column / n))
    with np.errstate(divide="ignore", invalid="ignore"):
        residual = np.where(spread > 0, (crossed.counts - expected) / spread, np.nan)
        noise = np.where(spread > 0, crossed.scale / spread, np.nan)
    return [
        {
            "row_facet": AI,
            "row": crossed.rows.names[r],
            "column_facet": facet,
            "column": crossed.columns.names[c],
            "observed": int(crossed.counts[r, c]),
            "expected": _number(expected[r, c]),
            "residual": _number(residual[r, c]),
            "noise": _number(noise[r, c]),
        }
        for r in range(len(crossed.rows.names))
        for c in range(len(crossed.columns.names))
    ]


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 3)


def _short(values: np.ndarray) -> Sequence[float]:
    return np.round(values, DIGITS).tolist()


def certain_of_top(found: Findings, top: int = 100) -> int:
    """How many of the `top` released AI values are among the most frequent, whatever the noise.

    Each is two scales of a difference above the first one that is not among them.
    """
    table = found.facets[AI]
    if table.counts.size <= top:
        return int(table.counts.size)
    gaps = table.counts[:top] - table.counts[top]
    return int(np.sum(gaps > 2 * np.hypot(table.scales[:top], table.scales[top])))
