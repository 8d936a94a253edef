"""The rows of invented tables that a run would write: those of enough conversations."""

from invented_conversations import Row
from invented_tables import MIN_CONVERSATIONS


def with_enough(rows: list[Row], *counts: str) -> list[Row]:
    """Rows without a count of some conversations that are too few."""
    return [row for row in rows if not _is_small(*(row[name] for name in counts))]


def compared(rows: list[Row]) -> list[Row]:
    """Rows of `model_comparison` whose labels enough conversations of both sides hold."""
    return [
        row
        for row in rows
        if not _is_small(*(round(row[f"share_{s}"] * row[f"conversations_{s}"]) for s in "ab"))
    ]


def split(rows: list[Row]) -> list[Row]:
    """Rows of `explicitness`; without the sum of a label, its residuals are not given."""
    left = with_enough(rows, "explicit", "implicit")
    summed = {row["label"] for row in left if row["response_type"] is None}
    return [row if row["label"] in summed else row | {"residual": None} for row in left]


def _is_small(*counts: int) -> bool:
    return any(0 < count < MIN_CONVERSATIONS for count in counts)
