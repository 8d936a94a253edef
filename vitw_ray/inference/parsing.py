"""Parse a model's output into the fields of an answer.

With constrained decoding the output is exactly the JSON object, or the lines (`lines.py`). Servers
may wrap it in a code fence or a sentence, put reasoning before it, or write labels in capitals.
This is tolerated. A value that is none, such as a label in another script, costs itself alone, as
does one beyond the longest list; a missing field, or a field of the wrong type, costs the answer.
"""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from pydantic import ValidationError

from vitw_ray.alphabet import (
    LABEL,
    LABEL_CHARACTERS,
    MAX_LABEL,
    MAX_TASK_PHRASE,
    TASK_PHRASE_CHARACTERS,
)
from vitw_ray.facets import FACETS
from vitw_ray.inference.choices import code_in
from vitw_ray.inference.lines import MAX_QUOTE, fields_in
from vitw_ray.inference.question import Question

_LABEL = re.compile(LABEL)
_NOT_IN_LABEL = re.compile(rf"[^{LABEL_CHARACTERS}]+")
_NOT_IN_TASK = re.compile(rf"[^{TASK_PHRASE_CHARACTERS}]+")
_NOT_IN_QUOTE = re.compile(r'["\\\x00-\x1f\x7f]')
_SPACES = re.compile(r"\s+")


class InvalidAnswer(Exception):
    """The output is not a valid answer; the exception never contains the output."""


def parse(text: str, question: Question, repairs: Counter[str] | None = None) -> dict[str, Any]:
    """Fields of an answer, validated by the question's pydantic model.

    Args:
        text: what the model wrote.
        question: what it was asked.
        repairs: gets what was left out: `label_dropped` (values) and `list_cut` (lists).

    Raises:
        InvalidAnswer: there is no JSON object, or it does not match the model.
    """
    if question.codes:
        code = code_in(_without_thoughts(text), question.codes)
        if code is None:
            raise InvalidAnswer
        return {question.name: code}
    found = _written(text, question)
    normalised = _normalised(found)
    for fields in (normalised, found):  # normalising must not invalidate a valid answer
        try:
            return question.answer.model_validate(fields).model_dump()
        except ValidationError:
            continue
    return _without_odd_values(normalised, question, Counter() if repairs is None else repairs)


def _written(text: str, question: Question) -> dict[str, Any]:
    """Fields as the model wrote them."""
    if question.lines:
        return fields_in(_without_thoughts(text), question.lines)
    try:
        found = json.loads(_object_in(text))
    except (ValueError, RecursionError):  # nested a thousand deep
        raise InvalidAnswer from None
    if not isinstance(found, dict):
        raise InvalidAnswer
    return found


def _without_odd_values(
    fields: dict[str, Any], question: Question, repairs: Counter[str]
) -> dict[str, Any]:
    """The answer without the values that are none, and without those beyond the longest list."""
    found = Counter[str]()
    for find_odd in (_unnamed, _refused):
        fields, dropped = _drop(fields, find_odd(fields, question))
        fields, cut = _cut(fields)
        found.update({"label_dropped": dropped, "list_cut": cut})
        try:
            valid = question.answer.model_validate(fields).model_dump()
        except ValidationError:
            continue
        repairs.update(+found)
        return valid
    raise InvalidAnswer


def _lists(fields: dict[str, Any]) -> dict[str, list[Any]]:
    names = [facet.field for facet in FACETS if facet.kind == "values"]
    return {name: fields[name] for name in names if isinstance(fields.get(name), list)}


def _unnamed(fields: dict[str, Any], _: Question) -> set[tuple[str, int]]:
    """Places of values without a label that could be one."""
    return {
        (name, place)
        for name, values in _lists(fields).items()
        for place, value in enumerate(values)
        if not _LABEL.fullmatch(_label_of(value))
    }


def _label_of(value: Any) -> str:
    label = value.get("label") if isinstance(value, dict) else value
    return label if isinstance(label, str) else ""


def _refused(fields: dict[str, Any], question: Question) -> set[tuple[str, int]]:
    """Places of values that the question's model refuses for whatever is in them."""
    try:
        question.answer.model_validate(fields)
    except ValidationError as error:
        found = (place["loc"] for place in error.errors(include_input=False, include_url=False))
        return {place for location in found for place in _places(location)}
    return set()


def _places(location: Sequence[str | int]) -> list[tuple[str, int]]:
    return [(a, b) for a, b in pairwise(location) if isinstance(a, str) and isinstance(b, int)]


def _drop(fields: dict[str, Any], odd: set[tuple[str, int]]) -> tuple[dict[str, Any], int]:
    kept = {
        name: [value for place, value in enumerate(values) if (name, place) not in odd]
        for name, values in _lists(fields).items()
    }
    dropped = sum(len(values) - len(kept[name]) for name, values in _lists(fields).items())
    return fields | kept, dropped


def _cut(fields: dict[str, Any]) -> tuple[dict[str, Any], int]:
    most = {facet.field: facet.most for facet in FACETS}
    lists = _lists(fields)
    cut = {name: values[: most[name]] for name, values in lists.items()}
    return fields | cut, sum(len(cut[name]) < len(lists[name]) for name in lists)


def _object_in(text: str) -> str:
    text = _without_thoughts(text)
    start, end = text.find("{"), text.rfind("}")
    return text[start : end + 1] if 0 <= start < end else ""


def _without_thoughts(text: str) -> str:
    """The text after a leading `<think>...</think>`; empty if the reasoning is not closed.

    Some chat templates put the opening tag into the prompt, so the text may have only the closing
    one. A text that starts like an answer has no reasoning part: the tag may be inside a quote.
    """
    if text.lstrip().startswith(("{", "```")):
        return text
    thoughts, end, answer = text.partition("</think>")
    if end:
        return answer
    return "" if thoughts.lstrip().startswith("<think>") else text


def _normalised(found: dict[str, Any]) -> dict[str, Any]:
    """A copy with labels, quotes and phrases reduced to their allowed characters and lengths."""
    normalised = dict(found)
    for facet in FACETS:
        written = found.get(facet.field)
        if facet.kind == "values" and isinstance(written, list):
            normalised[facet.field] = [_normalised_value(value) for value in written]
        elif facet.kind == "phrase" and isinstance(written, str):
            normalised[facet.field] = _clean(_NOT_IN_TASK, _ascii(written), MAX_TASK_PHRASE)
    return normalised


def _normalised_value(value: Any) -> Any:
    if isinstance(value, str):
        return _label(value)
    if not isinstance(value, dict):
        return value
    normalised = dict(value)
    if isinstance(value.get("label"), str):
        normalised["label"] = _label(value["label"])
    if isinstance(value.get("quote"), str):  # invalid UTF-8 can decode to more characters
        normalised["quote"] = _NOT_IN_QUOTE.sub(" ", value["quote"])[:MAX_QUOTE]
    return normalised


def _label(label: str) -> str:
    return _clean(_NOT_IN_LABEL, _ascii(label).lower().replace("_", " "), MAX_LABEL)


def _ascii(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def _clean(disallowed: re.Pattern[str], text: str, max_chars: int) -> str:
    words = _SPACES.sub(" ", disallowed.sub(" ", text)).strip(" ,'-")
    if len(words) > max_chars:
        words = words[: max_chars + 1].rsplit(" ", 1)[0][:max_chars]
    return words
