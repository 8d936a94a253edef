"""A question to a language model: the text around a conversation, and the form of the answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel

from vitw_ray.records import Message

FENCE = "===================="


MAX_QUOTE = 120  # characters (ours: twelve words)


@dataclass(frozen=True)
class Question:
    """One request: what stands before and after the conversation, and what an answer looks like.

    `before` is the same for every conversation. `answer` is the pydantic model of the answer;
    `schema` is its JSON schema, which constrains the decoding.
    """

    name: str
    before: str
    after: str
    answer: type[BaseModel]

    @property
    def schema(self) -> dict[str, Any]:
        """JSON schema of the answer."""
        return _schema(self.answer)


@cache
def _schema(answer: type[BaseModel]) -> dict[str, Any]:
    schema = answer.model_json_schema()
    for form in (schema, *schema.get("$defs", {}).values()):
        form.pop("description", None)  # a class's docstring, which is for readers of the code
    return schema


def conversation_turns(messages: Sequence[Message]) -> list[tuple[str, str]]:
    """Each turn as (mark, content): what an asked model sees between the fences.

    A line of content that looks like a mark or a fence is set off by a bar, so that no speaker can
    end the conversation or speak as the other.
    """
    return [(turn_mark(message.role), set_off(message.content)) for message in messages]


def turn_mark(role: str) -> str:
    """The line above a turn."""
    return f"\n\n[{role.upper()}]\n"


def set_off(content: str) -> str:
    """Content as it is shown."""
    if "[" not in content and FENCE not in content:
        return content
    lines = content.split("\n")
    return "\n".join(f"| {line}" if _imitates(line) else line for line in lines)


def _imitates(line: str) -> bool:
    start = line.strip()
    return start.startswith(FENCE) or start.upper() in _MARKS


_MARKS = frozenset(turn_mark(role).strip() for role in ("user", "assistant", "system", "tool"))


def conversation_text(messages: Sequence[Message]) -> str:
    """All turns as one text."""
    return "".join(mark + content for mark, content in conversation_turns(messages))


def opening(question: Question) -> str:
    """What precedes the first turn's mark; ends the part that all conversations share."""
    return f"{question.before}\n\n{FENCE}"


def closing(question: Question) -> str:
    """What follows the last turn."""
    return f"\n\n{FENCE}\n\n{question.after}"
