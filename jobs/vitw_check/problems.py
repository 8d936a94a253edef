"""How a check says what is wrong: with ids, positions and counts, never with text."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from .reading import Row

Problems = Iterator[str]
TOLERANCE = 1e-6  # ours: relative; floats that were computed in another order


class Note(str):
    """Something that a check could not look at: told, and no failure."""


def purged(files: int) -> Problems:
    """A note about the private files that a purge took, where there are any."""
    if files:
        yield Note(f"{files} private files were purged")


def at(row: Row) -> str:
    """A conversation in a message."""
    return f"conversation {row['conversation_id']}"


def off(what: str, stated: Any, counted: Any) -> Problems:
    """A problem when two counts, or two tables of counts, differ."""
    if stated == counted:
        return
    if isinstance(stated, Mapping) and isinstance(counted, Mapping):
        names = {*stated, *counted}
        different = sum(stated.get(name) != counted.get(name) for name in names)
        yield f"{what}: {different} of {len(names)} counts differ"
    else:
        yield f"{what}: stated {stated}, found {counted}"


def near(a: float | None, b: float | None) -> bool:
    """Equal floats but for rounding; None equals None only."""
    if a is None or b is None:
        return a is b
    return math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=1e-9)


def differ(where: str, row: Row, expected: Mapping[str, float | None]) -> Problems:
    """Columns of a row that are not what was computed again."""
    for name, value in expected.items():
        if not near(row[name], value):
            yield f"{where}: {name} is {row[name]}, not {value}"
