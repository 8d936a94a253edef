"""Make rows of one conversation each: join rows of one message, divide rows of several answers.

The rows of a file are joined in memory, up to a stated bound. The joined row has the number of its
first message; the others are rejects with the reason `joined`, so that every row is accounted for.
The rows that a row is divided into all have its number.
"""

from collections.abc import Hashable, Iterable, Iterator
from typing import Any, TypeVar

from vitw_ray.conversations.branches import age_of
from vitw_ray.conversations.fields import Raw
from vitw_ray.conversations.paths import first, paths
from vitw_ray.conversations.rows import Reject
from vitw_ray.conversations.shape import Shape

MAX_GROUPED_CHARS = 256_000_000  # ours: about 1 GB in memory
MAX_GROUPED_ROWS = 500_000  # ours: as many small objects
MAX_ANSWERS = 256  # ours: of one row; data sets have four to seven
_PLACES = ("turn", "turn_index", "index", "position", "rank_in_conversation", "message_index")

Row = dict[str, Any] | Reject
Place = TypeVar("Place", bound=Hashable)


def grouped(shape: Shape, rows: Iterable[tuple[Place, Row]]) -> Iterator[tuple[Place, Row]]:
    """Rows with their places, one conversation each.

    Those of a grouped shape are joined by the id that they share. A row with several answers gives
    a row for each, one after the other.
    """
    if shape.several:
        for place, row in rows:
            for part in [row] if isinstance(row, Reject) else _divided(shape, row):
                yield place, part
        return
    if not shape.grouped_by:
        yield from rows
        return
    by = paths(shape.grouped_by)
    groups: dict[str, list[tuple[Place, Raw]]] = {}
    chars = count = 0
    for number, raw in rows:
        name = None if isinstance(raw, Reject) else first(raw, by)
        if isinstance(raw, Reject) or not isinstance(name, str | int):
            yield number, raw
            continue
        chars += _chars(raw)
        count += 1
        if chars > MAX_GROUPED_CHARS or count > MAX_GROUPED_ROWS:
            yield number, Reject("too_many_messages_to_join")
            continue
        groups.setdefault(str(name), []).append((number, shape.as_values(raw)))
    for members in groups.values():
        messages = _in_order([raw for _, raw in members])
        joined: dict[str, Any] = {}
        for raw in messages:
            joined |= {k: v for k, v in raw.items() if v is not None and joined.get(k) is None}
        yield members[0][0], {**joined, "messages": messages}
        for number, _ in members[1:]:
            yield number, Reject("joined")


def _divided(shape: Shape, row: Raw) -> Iterator[Row]:
    """A row for each answer, which stands where the list of them was."""
    row = dict(shape.as_values(row))
    for name in shape.several.split():
        answers = row.get(name)
        if isinstance(answers, list) and answers:
            if len(answers) > MAX_ANSWERS:
                yield Reject("too_many_answers")
            else:
                yield from ({**row, name: answer} for answer in answers)
            return
    yield row


def _in_order(rows: list[Raw]) -> list[Raw]:
    """By a number of the turn, else by time, else as in the file."""
    for name in _PLACES:
        places = [row.get(name) for row in rows]
        if all(isinstance(place, int | float) for place in places) and len(set(places)) > 1:
            return sorted(rows, key=lambda row: row[name])
    ages = [age_of(row) for row in rows]
    known = [age for age in ages if age is not None]
    if len(known) == len(rows) and len(set(known)) > 1:
        order = sorted(zip(known, range(len(rows)), strict=True))
        return [rows[place] for _, place in order]
    newest_first = all(row.get("object") == "thread.message" for row in rows)
    return rows[::-1] if newest_first else rows  # as the Assistants API lists them


def _chars(raw: Raw) -> int:
    total, waiting = 0, [raw]
    while waiting:
        value: Any = waiting.pop()
        if isinstance(value, str):
            total += len(value)
        elif isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return total
