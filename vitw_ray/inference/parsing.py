"""From what a model wrote to the fields of an answer.

An engine whose decoding is constrained writes nothing but the object. Servers may wrap it: in a
code fence, in a sentence, in capitals, behind a model's thoughts. That is forgiven; a field that is
missing or of another type is not.
"""

import json
import re
import unicodedata
from typing import Any

from pydantic import ValidationError

from vitw_ray.alphabet import (
    LABEL_CHARACTERS,
    MAX_LABEL,
    MAX_TASK_PHRASE,
    TASK_PHRASE_CHARACTERS,
)
from vitw_ray.inference.question import MAX_QUOTE, Question
from vitw_ray.records import VALUE_FACETS

_NOT_IN_LABEL = re.compile(rf"[^{LABEL_CHARACTERS}]+")
_NOT_IN_TASK = re.compile(rf"[^{TASK_PHRASE_CHARACTERS}]+")
_NOT_IN_QUOTE = re.compile(r'["\\\x00-\x1f\x7f]')
_SPACES = re.compile(r"\s+")


class InvalidAnswer(Exception):
    """Not the object that was asked for; never holds what was written instead."""


def parse(text: str, question: Question) -> dict[str, Any]:
    """Fields of an answer, checked against the question's model.

    Raises:
        InvalidAnswer: no JSON object, or not of the form.
    """
    try:
        found = json.loads(_object_in(text))
    except ValueError:
        raise InvalidAnswer from None
    if not isinstance(found, dict):
        raise InvalidAnswer
    for fields in (_tidied(found), found):  # what is valid as it stands is not lost by tidying
        try:
            return question.answer.model_validate(fields).model_dump()
        except ValidationError:
            continue
    raise InvalidAnswer


def _object_in(text: str) -> str:
    text = _without_thoughts(text)
    start, end = text.find("{"), text.rfind("}")
    return text[start : end + 1] if 0 <= start < end else ""


def _without_thoughts(text: str) -> str:
    """What follows a head of `<think>...</think>`; nothing where the thoughts have no end.

    Some chat templates write the first mark into the prompt, so only the second is in the text. A
    text that starts as an answer has no such head: the mark may stand in a quote.
    """
    if text.lstrip().startswith(("{", "```")):
        return text
    thoughts, end, answer = text.partition("</think>")
    if end:
        return answer
    return "" if thoughts.lstrip().startswith("<think>") else text


def _tidied(found: dict[str, Any]) -> dict[str, Any]:
    """The same with labels and task brought to their alphabets, where they are nearly there."""
    tidied = dict(found)
    for facet in VALUE_FACETS:
        if isinstance(found.get(facet), list):
            tidied[facet] = [_tidied_value(value) for value in found[facet]]
    if isinstance(found.get("task"), str):
        tidied["task"] = _clean(_NOT_IN_TASK, _ascii(found["task"]), MAX_TASK_PHRASE)
    return tidied


def _tidied_value(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    tidied = dict(value)
    if isinstance(value.get("label"), str):
        tidied["label"] = _label(value["label"])
    if isinstance(value.get("quote"), str):  # bytes that are no text decode to more characters
        tidied["quote"] = _NOT_IN_QUOTE.sub(" ", value["quote"])[:MAX_QUOTE]
    return tidied


def _label(label: str) -> str:
    return _clean(_NOT_IN_LABEL, _ascii(label).lower().replace("_", " "), MAX_LABEL)


def _ascii(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def _clean(foreign: re.Pattern[str], text: str, longest: int) -> str:
    words = _SPACES.sub(" ", foreign.sub(" ", text)).strip(" ,'-")
    if len(words) > longest:
        words = words[: longest + 1].rsplit(" ", 1)[0][:longest]
    return words
