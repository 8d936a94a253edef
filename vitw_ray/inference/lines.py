"""Answers as lines: the same fields as the JSON object, in fewer tokens.

A line holds one field. Levels and codes are written as one character, values as labels with `; `
between them, and an empty list as `-`. What is said of a value follows its label: `*` where the
speaker says it outright, a number for its salience, its quote in quotation marks. So

    {"subjectivity": 3, "task": "plan a trip", "human_values": [],
     "ai_values": [{"label": "clarity", "explicit": false}, {"label": "safety", "explicit": true}],
     "response_type": "mild_support"}

is five lines: `3`, `plan a trip`, `-`, `clarity; safety*` and `B`. `pattern` constrains decoding,
`fields_in` gives back what JSON would have given; whether that is valid, `parsing` decides.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from vitw_ray.alphabet import LABEL_CHARACTERS, TASK_PHRASE_CHARACTERS

NONE = "-"
BETWEEN = "; "
EXPLICIT = "*"
MAX_QUOTE = 120  # characters (ours: twelve words)

Mark = Literal["explicit", "salience", "quote"]


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of an answer.

    Attributes:
        field: the field that it holds.
        kind: `code`, `phrase` or `values`.
        codes: what may be written, each with what it stands for; of the kind `code` only.
        marks: what is said of each value; none: labels alone.
        fewest: values at least.
        most: values at most.
    """

    field: str
    kind: Literal["code", "phrase", "values"]
    codes: tuple[tuple[str, Any], ...] = ()
    marks: tuple[Mark, ...] = ()
    fewest: int = 0
    most: int = 1


def pattern(lines: Sequence[Line], ends_with: Iterable[str] = ()) -> str:
    """Regular expression of a whole answer.

    Args:
        lines: the lines.
        ends_with: what the first line says where the answer has no other.
    """
    first, *others = lines
    ending = [code for code, _ in first.codes if code in set(ends_with)]
    rest = "".join(rf"\n{_pattern_of(line)}" for line in others)
    if not ending:
        return _pattern_of(first) + rest
    going_on = [code for code, _ in first.codes if code not in ending]
    return f"(?:[{''.join(ending)}]|[{''.join(going_on)}]{rest})"


def _pattern_of(line: Line) -> str:
    """One class of characters, as often as the model likes: lengths are checked when it is read.

    A grammar that counts characters or values costs 70 to 1,200 microseconds of CPU for each token
    of each sequence, this one 5 to 10 (`benchmarks/bench_answers.py`).
    """
    if line.kind == "code":
        return f"[{''.join(code for code, _ in line.codes)}]"
    if line.kind == "phrase":
        return f"[A-Za-z][{TASK_PHRASE_CHARACTERS}]{{4}}[{TASK_PHRASE_CHARACTERS}]*"
    said = EXPLICIT * ("explicit" in line.marks) + "1-5" * ("salience" in line.marks)
    rest = r"[^\n]*" if "quote" in line.marks else f"[{LABEL_CHARACTERS};{said}]*"
    values = f"[a-z][{LABEL_CHARACTERS}]{rest}"
    return values if line.fewest else f"(?:{NONE}|{values})"


def fields_in(text: str, lines: Sequence[Line]) -> dict[str, Any]:
    """The fields that an answer holds, as JSON would have given them.

    Nothing is checked here: a line too few is a field too few, and what is no value is kept as it
    is written. A server that is not held to the form may repeat the field's name or fence its
    answer; both are left out, as are lines behind the last.
    """
    written = [line.strip() for line in text.split("\n")]  # a quote may hold other line ends
    written = [line for line in written if line and not line.startswith("```")]
    return {
        line.field: _read(line, _without_name(line, found))
        for line, found in zip(lines, written, strict=False)
    }


def without_end(text: str, lines: Sequence[Line]) -> str:
    """What is whole of an answer that was cut; empty unless it is one list with a whole value."""
    if [line.kind for line in lines] != ["values"]:
        return ""
    return text.rpartition(BETWEEN.strip())[0]


def _without_name(line: Line, written: str) -> str:
    name, colon, rest = written.partition(":")
    return rest.strip() if colon and name.strip(" `*").lower() == line.field else written


def _read(line: Line, written: str) -> Any:
    if line.kind == "phrase":
        return written
    if line.kind == "code":
        plain = written.strip(" `*.").casefold()
        for code, meant in line.codes:
            if plain in (code.casefold(), str(meant).casefold()):
                return meant
        return written
    if written == NONE:
        return []
    return [_value(line, entry.strip()) for entry in _ENTRY.findall(written) if entry.strip(" .")]


_ENTRY = re.compile(r'(?:[^;"]|"[^"]*"?)+')
_SAID_OF = re.compile(r'^(.*?)\s*(\*?)\s*([1-5]?)\s*(?:"([^"]*)"?)?$')


def _value(line: Line, entry: str) -> Any:
    found = _SAID_OF.match(entry)
    if not line.marks or found is None:
        return entry
    label, explicit, salience, quote = found.groups()
    value: dict[str, Any] = {"label": label, "explicit": bool(explicit)}
    if salience:
        value["salience"] = int(salience)
    if quote is not None:
        value["quote"] = quote
    allowed = {"label", *line.marks}
    return {name: given for name, given in value.items() if name in allowed}
