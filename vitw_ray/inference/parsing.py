"""Parse a model's output into the fields of an answer.

With constrained decoding the output is exactly the JSON object. Servers may wrap it in a code fence
or a sentence, put reasoning before it, or write labels in capitals. This is tolerated; a missing
field or a field of the wrong type is not.
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
from vitw_ray.facets import FACETS
from vitw_ray.inference.choices import code_in
from vitw_ray.inference.question import MAX_QUOTE, Question

_NOT_IN_LABEL = re.compile(rf"[^{LABEL_CHARACTERS}]+")
_NOT_IN_TASK = re.compile(rf"[^{TASK_PHRASE_CHARACTERS}]+")
_NOT_IN_QUOTE = re.compile(r'["\\\x00-\x1f\x7f]')
_SPACES = re.compile(r"\s+")


class InvalidAnswer(Exception):
    """The output is not a valid answer; the exception never contains the output."""


def parse(text: str, question: Question) -> dict[str, Any]:
    """Fields of an answer, validated by the question's pydantic model.

    Raises:
        InvalidAnswer: there is no JSON object, or it does not match the model.
    """
    if question.codes:
        code = code_in(_without_thoughts(text), question.codes)
        if code is None:
            raise InvalidAnswer
        return {question.name: code}
    try:
        found = json.loads(_object_in(text))
    except ValueError:
        raise InvalidAnswer from None
    if not isinstance(found, dict):
        raise InvalidAnswer
    for fields in (_normalised(found), found):  # normalising must not invalidate a valid answer
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
