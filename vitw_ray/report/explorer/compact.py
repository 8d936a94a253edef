"""Numbers and lists as short JSON, and JSON that cannot leave its `<script>` element."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

DIGITS = 4  # ours: one more than the page shows


def short(numbers: ArrayLike, digits: int = DIGITS) -> list[float | int | None]:
    """Numbers with few significant digits, whole ones as integers, unknown ones as null."""
    return [_short(number, digits) for number in np.asarray(numbers, float).ravel().tolist()]


def _short(number: float, digits: int) -> float | int | None:
    if not np.isfinite(number):
        return None
    rounded = float(f"{number:.{digits}g}")
    return int(rounded) if rounded == int(rounded) else rounded


def ratios(numbers: ArrayLike) -> list[float | int | None]:
    """Ratios with the decimals that the page shows: two below 10, one below 100, else none."""
    found = np.asarray(numbers, float).ravel().tolist()
    return [_rounded(number, 2 if number < 10 else 1 if number < 100 else 0) for number in found]


def decimals(numbers: ArrayLike, digits: int) -> list[float | int | None]:
    """Numbers with some decimals."""
    return [_rounded(number, digits) for number in np.asarray(numbers, float).ravel().tolist()]


def _rounded(number: float, digits: int) -> float | int | None:
    if not np.isfinite(number):
        return None
    rounded = round(number, digits)
    return int(rounded) if rounded == int(rounded) else rounded


def steps(sorted_numbers: Sequence[int]) -> list[int]:
    """The first number, then how far each is from the one before."""
    return np.diff(np.asarray(sorted_numbers, np.int64), prepend=0).tolist()


def json_text(content: Any) -> str:
    """JSON for a `<script>` element: without `<`, `>` and `&`, which the parser of HTML might see.

    U+2028 and U+2029 end a line in older parsers of scripts.
    """
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text
