"""Paths to values inside a row, such as `chat.history.currentId` or `messages.0.id`.

Steps are keys, or positions in a list; `*` is the first entry that has a value. An object written
as JSON text is opened on the way.
"""

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from vitw_ray.conversations.fields import Raw

_DECODER = json.JSONDecoder(parse_constant=lambda _: None)  # NaN and Infinity are read as null
_TRUTH = {"True": "true", "False": "false"}  # as pandas writes CSV
Steps = tuple[str, ...]


@lru_cache(4096)
def paths(text: str) -> tuple[Steps, ...]:
    """Paths separated by spaces: the first that leads to a value counts."""
    return tuple(tuple(path.split(".")) for path in text.split())


def first(raw: Raw, alternatives: Iterable[Steps]) -> Any:
    """The first value that is not null."""
    for steps in alternatives:
        value = raw.get(steps[0])
        if value is not None and len(steps) > 1:
            value = at(value, steps[1:])
        if value is not None:
            return value
    return None


def at(value: Any, steps: Steps) -> Any:
    """The value at the end of a path; None if the path breaks off."""
    for place, step in enumerate(steps):
        value = opened_json(value)
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list):
            if step == "*":
                rest = steps[place + 1 :]
                found = (at(entry, rest) for entry in value)
                return next((entry for entry in found if entry is not None), None)
            value = value[int(step)] if step.isdecimal() and int(step) < len(value) else None
        else:
            return None
    return value


def opened_json(value: Any) -> Any:
    """A list or object that is written as JSON text; any other value as it is."""
    if not (isinstance(value, str) and value.lstrip()[:1] in ("[", "{")):
        return value
    try:
        return _DECODER.decode(value)
    except (ValueError, RecursionError):
        return value


def scalar(text: str) -> Any:
    """A number or truth value that is written as text; other text as it is."""
    try:
        value = _DECODER.decode(_TRUTH.get(text, text))
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, int | float) else text
