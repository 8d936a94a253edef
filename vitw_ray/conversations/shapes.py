"""Recognise the shape of a file's rows, and parse rows of a shape.

`shape_table.py` lists the shapes. A parser is a pure function from a raw row (a JSON object, or a
Parquet row as Python objects) to `Parsed`; it raises only `RowRejected`.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache

from vitw_ray.column_map import MAPPED, column_map
from vitw_ray.conversations.fields import Parsed, Raw, RowRejected
from vitw_ray.conversations.forms import FORMS, listed
from vitw_ray.conversations.messages import CONTENT_KEYS, ROLE_KEYS
from vitw_ray.conversations.paths import first, opened_json, paths
from vitw_ray.conversations.shape import Shape
from vitw_ray.conversations.shape_table import TABLE


class _Shapes(dict[str, Shape]):
    """Shapes by name."""

    def __missing__(self, name: str) -> Shape:
        if not name.startswith(MAPPED):
            raise KeyError(name)
        return _mapped(name.removeprefix(MAPPED))  # not kept: the table lists what can be named


@lru_cache(16)
def _mapped(text: str) -> Shape:
    """The shape that `--map` describes."""
    given = column_map(text)
    asked = given.pop("prompt", "")
    shape = Shape("mapped", messages=given.pop("messages", asked), prompted=bool(asked))
    return replace(shape, **given)  # type: ignore[arg-type]  # all of them are paths


SHAPES: dict[str, Shape] = _Shapes((shape.name, shape) for shape in TABLE)


KNOWN_COLUMNS = frozenset(
    {column for shape in TABLE for column in shape.columns.split()}
    | {"finish_reason", "metadata", "moderation", "rating", "redacted", "score", "status", "tags"}
    | {"temperature", "title", "tokens", "toxic", "turn", "type", "updated_at", "usage", "user"}
)
"""Names of columns that published data sets have, and that therefore tell nothing of anybody."""


def parse(shape: str, raw: Raw) -> Parsed:
    """Parse one row of a shape.

    Raises:
        RowRejected: the row is not a conversation of this shape; nothing else is raised.
    """
    return SHAPES[shape].read(raw)


@dataclass(frozen=True)
class Recognised:
    """What the rows of a file look like.

    `shape` is None if no known shape fits; then `nearest` is the shape whose columns the rows
    have, if any, and `reasons` says why its rows cannot be read. `columns` counts the rows that
    hold a value in a column. `map_line` is a `--map` to start from.
    """

    shape: str | None
    nearest: str | None
    columns: Counter[str]
    reasons: Counter[str]
    map_line: str = ""
    rows: int = 0
    data_keys: frozenset[str] = frozenset()

    def may_be_named(self, column: str) -> bool:
        """Whether the name of a column tells nothing of anybody, so that a message may show it.

        A key that only a few rows have, that looks like a secret, or that stands for one of several
        equal objects may be what somebody said.
        """
        if column in KNOWN_COLUMNS:
            return True
        is_name = _COLUMN_NAME.fullmatch(column) and not _LIKE_A_SECRET.search(column)
        if not is_name or column in self.data_keys:
            return False
        needed = max(2, self.rows * _NAMED_SHARE) if self.rows > _FEW_ROWS else 1
        return self.columns[column] >= needed

    def named(self) -> list[str]:
        """The columns that may be named, sorted."""
        return sorted(filter(self.may_be_named, self.columns))

    def unread(self) -> list[str]:
        """Columns that hold values and that the shape does not read."""
        read = SHAPES[self.shape].columns.split() if self.shape else []
        return sorted(set(self.columns) - set(read))


@dataclass
class _Votes:
    """What the rows of a file have in common with each signature."""

    rows: Counter[str] = field(default_factory=Counter)
    """Rows that fulfil a condition on a form, by signature."""
    seen: set[str] = field(default_factory=set)
    """Paths that some row has, with or without a value."""

    def add(self, row: Raw) -> None:
        forms = {test: _has_form(row, test) for test in _FORM_TESTS}
        self.seen |= {path for path in _MARKS - self.seen if _has(row, path)}
        for signature, (tests, _) in _SIGNATURES.items():
            self.rows[signature] += all(forms[test] for test in tests)

    def of(self, shape: Shape) -> int:
        """The rows that fulfil one signature of a shape."""
        return max(
            (self.rows[s] for s in shape.signatures if self.seen >= set(_SIGNATURES[s][1])),
            default=0,
        )


_SIGNATURES: dict[str, tuple[list[str], list[str]]] = {
    signature: (
        [test for test in signature.split() if ":" in test],
        [mark for mark in signature.split() if ":" not in mark],
    )
    for shape in TABLE
    for signature in shape.signatures
}
"""The conditions on forms and the paths of each signature."""
_FORM_TESTS = {test for tests, _ in _SIGNATURES.values() for test in tests}
_MARKS = {mark for _, marks in _SIGNATURES.values() for mark in marks}


def _has_form(row: Raw, test: str) -> bool:
    path, form = test.split(":")
    value = first(row, paths(path))
    return value is not None and FORMS[form](value)


def _has(row: Raw, path: str) -> bool:
    """Whether a row has a path; a column counts even where it is null."""
    return path in row or ("." in path and first(row, paths(path)) is not None)


def recognise_rows(rows: Iterable[Raw]) -> Recognised:
    """The most specific shape of which most rows have the signature.

    Only what a shape needs decides: the names of columns, and the form of those that hold the
    conversation. One row is in memory at a time, and their order is indifferent.
    """
    columns: Counter[str] = Counter()
    data_keys: set[str] = set()
    seen = 0
    votes = _Votes()
    outcomes: dict[str, Counter[str]] = {name: Counter() for name in SHAPES}
    guesses: Counter[str] = Counter()
    for row in rows:
        seen += 1
        columns.update(name for name, value in row.items() if value is not None)
        data_keys |= _keys_of_equals(row)
        votes.add(row)
        guesses.update(_lists_of_messages(row))
        for name in (name for name in outcomes if _shares_a_column(SHAPES[name], row)):
            outcomes[name][_outcome(name, row)] += 1
    counts = {name: votes.of(shape) for name, shape in SHAPES.items()}
    most = max(counts.values(), default=0)
    # A file of few rows may hold an odd one: a specific shape needs only half of the rows.
    shape = next((name for name, count in counts.items() if most and 2 * count >= most), None)
    nearest = shape or _nearest(columns)
    reasons = outcomes[nearest] if nearest else Counter[str]()
    found = Recognised(shape, nearest, columns, reasons, "", seen, frozenset(data_keys))
    return replace(found, map_line=_map_line(guesses, found))


def _keys_of_equals(row: Raw) -> set[str]:
    """Keys of several objects that look alike: ids of conversations, or names of people."""
    alike: dict[frozenset[str], list[str]] = {}
    for name, value in row.items():
        if isinstance(value, dict) and value:
            alike.setdefault(frozenset(value), []).append(name)
    return {name for names in alike.values() if len(names) > 1 for name in names}


def _shares_a_column(shape: Shape, row: Raw) -> bool:
    return any(path.split(".")[0] in row for path in _needed(shape))


def _needed(shape: Shape) -> set[str]:
    """The columns that hold the conversation in a shape."""
    return {
        test.split(":")[0].split(".")[0]
        for signature in shape.signatures
        for test in _SIGNATURES[signature][0]
    }


def _nearest(columns: Counter[str]) -> str | None:
    """The shape of which a signature is nearest to complete; of equals the more general."""
    best = {
        name: max((_named(signature, columns) for signature in shape.signatures), default=(0.0, 0))
        for name, shape in reversed(SHAPES.items())
        if columns.keys() & _needed(shape)
    }
    return max(best, key=lambda name: best[name], default=None)


def _named(signature: str, columns: Counter[str]) -> tuple[float, int]:
    """The share and the number of a signature's columns that a file has."""
    names = {path.split(":")[0].split(".")[0] for path in signature.split()}
    found = len(names & columns.keys())
    return found / len(names), found


def _outcome(shape: str, raw: Raw) -> str:
    try:
        parse(shape, raw)
    except RowRejected as rejected:
        return rejected.reason
    return "read"


_COLUMN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,39}")  # ours: keys safe to show in a message
_LIKE_A_SECRET = re.compile(r"\d{5}|(?=[A-Za-z-]*\d)[A-Za-z0-9-]{20}|[0-9a-f]{8}-[0-9a-f]{4}-")
_FEW_ROWS = 4  # ours: of so few rows, a column may stand in one alone
_NAMED_SHARE = 0.05  # ours: what fewer rows have is no column of a log

# --- a line to start a mapping from

_SHOWN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}")  # ours: keys safe to show in a message
_SEARCHED = 4  # ours: levels of a row in which a list of messages is looked for


def _lists_of_messages(row: Raw) -> Iterator[str]:
    """Values of `--map` for the lists of objects in a row, which may be messages."""
    waiting = [((name,), value) for name, value in row.items() if _SHOWN.fullmatch(name)]
    while waiting:
        path, value = waiting.pop()
        value = listed(value)
        if isinstance(value, list) and value and isinstance(value[0], dict):
            role, content = _keys_of(value[0])
            yield f"messages={'.'.join(path)},role={role},content={content}"
        elif isinstance(value, dict) and len(path) < _SEARCHED:
            waiting += [
                ((*path, name), opened_json(inner))
                for name, inner in value.items()
                if _SHOWN.fullmatch(name)
            ]


def _column_of(line: str) -> str:
    """The column in which the messages of a line for `--map` are."""
    return line.removeprefix("messages=").split(",")[0].split(".")[0]


def _keys_of(message: Raw) -> tuple[str, str]:
    """The keys that are likely to hold the speaker and the text: a short and a long string."""
    texts = {
        name: len(value)
        for name, value in message.items()
        if isinstance(value, str) and _SHOWN.fullmatch(name)
    }
    shortest = min(texts, key=lambda name: texts[name], default="role")
    longest = max(texts, key=lambda name: texts[name], default="content")
    role = next((key for key in ROLE_KEYS if key in texts), shortest)
    content = next((key for key in CONTENT_KEYS if key in message and key != role), longest)
    return role, content


def _map_line(guesses: Counter[str], found: Recognised) -> str:
    """A value of `--map` with the file's own columns where they can be guessed."""
    lines = sorted(line for line in guesses if found.may_be_named(_column_of(line)))
    if lines:
        return max(lines, key=lambda line: guesses[line])
    names = [*filter(found.may_be_named, found.columns), "question", "answer"]
    return f"prompt={names[0]},answer={names[1]}"
