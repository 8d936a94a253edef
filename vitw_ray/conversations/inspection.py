"""What the input holds, by shape, before anything is run: counts and lengths, never text."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

import numpy as np

from vitw_ray.conversations.fields import Parsed, RowRejected
from vitw_ray.conversations.grouping import grouped
from vitw_ray.conversations.listing import list_input
from vitw_ray.conversations.opening import shown
from vitw_ray.conversations.reading_units import joined_files
from vitw_ray.conversations.shapes import SHAPES, parse
from vitw_ray.conversations.sources import Reject, iter_rows
from vitw_ray.conversations.survey import Survey, survey
from vitw_ray.stages import SourceFile

FIELDS = ("conversation_id", "prompt_id", "account", "model", "language", "source", "created_at")
_EXAMPLES = 5  # ours: conversations of which the form is shown
_EXAMPLE_TURNS = 12  # ours: of each
_SHOWN = 8  # ours: of the most frequent names


@dataclass
class ShapeCounts:
    """What the rows of one shape hold."""

    files: int = 0
    files_read_in_part: int = 0
    rows: int = 0
    further_answers: int = 0
    """Conversations beside the first one of a row that holds several answers."""
    found: Counter[str] = field(default_factory=Counter)  # rows that hold a value, by field
    not_read: set[str] = field(default_factory=set)  # columns
    repairs: Counter[str] = field(default_factory=Counter)
    rejects: Counter[str] = field(default_factory=Counter)
    turns: list[int] = field(default_factory=list)
    chars: list[int] = field(default_factory=list)
    languages: Counter[str] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)
    accounts: set[str] = field(default_factory=set)
    first: datetime | None = None
    last: datetime | None = None
    examples: list[list[tuple[str, int]]] = field(default_factory=list)
    """Role and number of characters of the turns of some conversations."""

    def add(self, parsed: Parsed) -> None:
        """Count a conversation."""
        values: dict[str, Any] = {name: parsed[name] for name in FIELDS}
        self.found.update(name for name, value in values.items() if value is not None)
        self.repairs.update(parsed["repairs"])
        lengths = [(str(role), len(text)) for role, text in parsed["messages"]]
        self.turns.append(len(lengths))
        self.chars.append(sum(length for _, length in lengths))
        for counter, name in ((self.languages, "language"), (self.models, "model")):
            counter.update([values[name]] if values[name] is not None else [])
        if parsed["account"] is not None:
            self.accounts.add(parsed["account"])
        if (time := parsed["created_at"]) is not None:
            self.first = min(time, self.first or time)
            self.last = max(time, self.last or time)
        if len(self.examples) < _EXAMPLES:
            self.examples.append(lengths[:_EXAMPLE_TURNS])

    def as_json(self) -> dict[str, Any]:
        """The counts for a program."""
        read = len(self.turns)
        return {
            "files": self.files,
            "files_read_in_part": self.files_read_in_part,
            "rows": self.rows,
            "conversations": read,
            "further_answers": self.further_answers,
            "null_share": {
                name: round(1 - self.found[name] / read, 4) if read else None for name in FIELDS
            },
            "columns_not_read": sorted(self.not_read),
            "turns": _quartiles(self.turns),
            "characters": _quartiles(self.chars),
            "languages": dict(self.languages.most_common()),
            "models": dict(self.models.most_common()),
            "accounts": len(self.accounts),
            "first": self.first and self.first.isoformat(),
            "last": self.last and self.last.isoformat(),
            "repairs": dict(self.repairs.most_common()),
            "rejects": dict(self.rejects.most_common()),
            "examples": [
                [{"role": role, "characters": length} for role, length in example]
                for example in self.examples
            ],
        }


@dataclass(frozen=True)
class Inspection:
    """What an input holds."""

    survey: Survey
    shapes: dict[str, ShapeCounts]


def inspect_input(inputs: tuple[str, ...], shape: str, rows: int) -> Inspection:
    """Read the input, up to a number of rows.

    Args:
        inputs: as for `--input`.
        shape: of all files, or `auto`.
        rows: the most that are read, the same number of each file, from its start.

    Raises:
        InputError: as when a run would read it.
    """
    found = survey(list_input(inputs), shape)
    each = -(-rows // len(found.files))
    counts: dict[str, ShapeCounts] = {}
    joined, alone = joined_files(found.files, found.shapes)
    for several in sorted([*joined, *([n] for n in alone)]):
        files = [found.files[n] for n in several]
        name = found.shapes[files[0].name]
        counted = counts.setdefault(name, ShapeCounts())
        counted.files += len(files)
        for look in filter(None, (found.looks.get(file.name) for file in files)):
            counted.not_read.update(filter(look.may_be_named, look.unread()))
        counted.files_read_in_part += _count_files(counted, files, name, each)
    return Inspection(found, dict(sorted(counts.items())))


def _count_files(counted: ShapeCounts, files: Sequence[SourceFile], shape: str, most: int) -> int:
    """Count the first rows of files whose rows belong together; how many files have more."""
    rows = [iter_rows(file, shape) for file in files]
    first = (
        ((n, number), raw)
        for n, of_file in enumerate(rows)
        for number, raw in islice(of_file, most)
    )
    before = None
    for place, raw in grouped(SHAPES[shape], first):
        counted.rows += place != before
        counted.further_answers += place == before
        before = place
        _count(counted, shape, raw)
    return sum(next(of_file, None) is not None for of_file in rows)


def _count(counted: ShapeCounts, shape: str, raw: dict[str, Any] | Reject) -> None:
    if isinstance(raw, Reject):
        counted.rejects[raw.reason] += 1
        return
    try:
        counted.add(parse(shape, raw))
    except RowRejected as rejected:
        counted.rejects[rejected.reason] += 1


def _quartiles(values: list[int]) -> list[int] | None:
    """Least, lower quartile, median, upper quartile, most."""
    if not values:
        return None
    return [round(q) for q in np.quantile(values, [0, 0.25, 0.5, 0.75, 1])]


def lines(found: Inspection) -> Iterator[str]:
    """The inspection for a person."""
    for name, counted in found.shapes.items():
        yield from _shape_lines(name, counted)


def _shape_lines(name: str, counted: ShapeCounts) -> Iterator[str]:
    told = counted.as_json()
    part = f" (the first rows of {counted.files_read_in_part} of them)"
    files = "1 file" if counted.files == 1 else f"{counted.files} files"
    yield f"\n{name}: {files}, {counted.rows:,} rows read" + (
        part if counted.files_read_in_part else ""
    )
    null = {field: share for field, share in told["null_share"].items() if share is not None}
    yield f"  found         {_listed(_share(f, s) for f, s in null.items() if s < 1)}"
    yield f"  not found     {_listed(field for field, share in null.items() if share == 1)}"
    yield f"  not read      {_listed(told['columns_not_read'])}"
    more = f" (rows hold {counted.further_answers:,} further answers)"
    yield f"  conversations {told['conversations']:,}{more if counted.further_answers else ''}"
    for what in ("turns", "characters"):
        if told[what]:
            least, lower, median, upper, most = (f"{value:,}" for value in told[what])
            yield (
                f"  {what:<13} {median} in the middle, half between {lower} and {upper},"
                f" all between {least} and {most}"
            )
    for what in ("languages", "models", "repairs", "rejects"):
        yield f"  {what:<13} {_counts(told[what])}"
    yield f"  accounts      {told['accounts']:,}"
    yield f"  time          {_listed(t for t in (told['first'], told['last']) if t)}"
    for example in counted.examples:
        yield f"  example       {_listed(f'{role} {length:,}' for role, length in example)}"


def _share(name: str, null: float) -> str:
    return f"{name} ({null:.0%} null)" if null else name


def _counts(counts: dict[str, int]) -> str:
    most = [f"{shown(name)} {count:,}" for name, count in list(counts.items())[:_SHOWN]]
    more = len(counts) - _SHOWN
    return _listed([*most, *([f"{more} more"] if more > 0 else [])])


def _listed(parts: Any) -> str:
    return ", ".join(parts) or "none"
