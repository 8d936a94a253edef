"""Labelled conversations: the calibration set of the package, and a file of the user's own.

The calibration set has 64 invented conversations, 16 each in English, Spanish, German and Chinese.
Half of them are subjective. Some hold what misleads a careless reader: values in quotations, denied
values, values that only the other speaker has, and instructions to whoever reads them.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vitw_ray.errors import InputError
from vitw_ray.extraction.answers import Answer, TaskPhrase, Value
from vitw_ray.extraction.extractors import CALIBRATION_SET
from vitw_ray.facets import ResponseType
from vitw_ray.given_file import read_given
from vitw_ray.keys import content_key, message_bytes
from vitw_ray.records import Conversation, Message

_READABLE = "give a file of JSON lines that every node can read"
_FIX = "give one JSON object per line with messages, subjectivity (1-4) and, from level 3 on, the"
_FIX += " facets: task, human_values, ai_values, response_type"


@dataclass(frozen=True, slots=True)
class Labelled:
    """A conversation and what a careful reader finds in it."""

    conversation: Conversation
    answer: Answer
    language: str | None


class _Message(BaseModel):
    role: Literal["user", "assistant", "system", "tool"]
    content: str


class _Row(BaseModel):
    """One line of a file."""

    model_config = ConfigDict(extra="ignore")

    messages: Annotated[list[_Message], Field(min_length=1)]
    subjectivity: Annotated[int, Field(ge=1, le=4)]
    language: str | None = None
    task: TaskPhrase | None = None
    human_values: tuple[Value, ...] = ()
    ai_values: tuple[Value, ...] = ()
    response_type: ResponseType | None = None


@cache
def calibration_set() -> tuple[Labelled, ...]:
    """The conversations of the package."""
    return tuple(_labelled(CALIBRATION_SET.read_bytes(), "calibration", "the calibration set"))


def own_labelled(address: str) -> tuple[Labelled, ...]:
    """The user's labelled conversations.

    Args:
        address: JSON lines, local or s3://, also compressed (.gz).

    Raises:
        InputError: the file is missing or empty, or a row is no labelled conversation.
    """
    content = read_given(address, "--labelled", _READABLE)
    return tuple(_labelled(content, "labelled", f"--labelled {address}"))


def own_digest(address: str) -> str:
    """Hash of the user's labelled conversations; raises as `own_labelled` does."""
    rows = [(message_bytes(one.conversation.messages).hex(), one) for one in own_labelled(address)]
    return content_key(
        {"rows": [(text, one.language, one.answer.model_dump()) for text, one in rows]}
    )


def _labelled(content: bytes, name: str, source: str) -> Iterator[Labelled]:
    lines = [line for line in content.splitlines() if line.strip()]
    if not lines:
        raise InputError(f"{source} holds no conversation", _FIX)
    for number, line in enumerate(lines, 1):
        row = _row(line, f"{source}, row {number}")
        messages = tuple(Message(message.role, message.content) for message in row.messages)
        answer = Answer(
            subjectivity=row.subjectivity,
            task=row.task,
            human_values=row.human_values,
            ai_values=row.ai_values,
            response_type=row.response_type,
        )
        yield Labelled(Conversation(f"{name}-{number:04d}", messages), answer, row.language)


def _row(line: bytes, place: str) -> _Row:
    """Parse one line; a message names the field and never quotes the line."""
    try:
        row = _Row.model_validate(json.loads(line))
    except ValidationError as error:
        field = ".".join(map(str, error.errors()[0]["loc"])) or "the object"
        raise InputError(f"{place}: {field} is missing or not valid", _FIX) from None
    except ValueError:
        raise InputError(f"{place} is not valid JSON", _FIX) from None
    return row
