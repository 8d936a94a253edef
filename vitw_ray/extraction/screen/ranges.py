"""Which rows are the sample: conversations that the model reads in any case.

The sample is a contiguous range of rows. The table `conversations` is sorted by a hash of the id,
so any range of it is a random sample, and it is read and answered in units as all rows are. Where
the range starts is decided by the secret.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from vitw_ray.keys import Keyed

SAMPLE_SHARE = 1 / 3  # ours: beyond that the sample costs more than the screen saves

Ranges = tuple[tuple[tuple[int, int], ...], ...]
"""Of each part, the ranges of its rows that are in the sample."""


def choose_sample(parts: Sequence[int], size: int, keyed: Keyed) -> Ranges:
    """Choose the rows of the sample.

    Args:
        parts: rows of each part of the table.
        size: rows of the sample, as far as there are enough.
        keyed: decides where the sample starts.
    """
    rows = sum(parts)
    size = min(size, int(rows * SAMPLE_SHARE))
    first = int.from_bytes(keyed.digest("screen sample", b"")[:8], "big") % max(rows, 1)
    edges = [(first, min(first + size, rows)), (0, max(0, first + size - rows))]
    ranges, position = [], 0  # of the part's first row among all rows
    for length in parts:
        cut = [(max(a - position, 0), min(b - position, length)) for a, b in edges]
        ranges.append(tuple(sorted((a, b) for a, b in cut if a < b)))
        position += length
    return tuple(ranges)


def in_sample(ranges: Ranges, part: int, rows: Sequence[int]) -> np.ndarray:
    """Which rows of a part are in the sample."""
    positions = np.asarray(rows, np.int64)
    found = np.zeros(len(positions), bool)
    for start, stop in ranges[part]:
        found |= (positions >= start) & (positions < stop)
    return found


def split_rows(
    rows: Sequence[Sequence[int]], ranges: Ranges
) -> tuple[list[Sequence[int]], list[Sequence[int]]]:
    """Rows of each part: those of the sample, and the others."""
    inside: list[Sequence[int]] = []
    outside: list[Sequence[int]] = []
    for part, of_part in enumerate(rows):
        positions: Any = np.asarray(of_part, np.int64)
        mask = in_sample(ranges, part, of_part)
        inside.append(positions[mask])
        outside.append(positions[~mask])
    return inside, outside


def rows_of(ranges: Ranges) -> int:
    """Size of a sample."""
    return sum(stop - start for part in ranges for start, stop in part)
