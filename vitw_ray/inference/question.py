"""A question to a language model: the text around a conversation, and the answer's schema."""

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
    """The text before and after the conversation, and the model of the answer.

    `before` is the same for every conversation. `answer` is the pydantic model of the answer;
    `schema` is its JSON schema, which constrains decoding.

    A closed question has `codes`, one of which is the answer. It is asked for the probabilities of
    its codes (`Completion.code_logprobs`). `opening` is what an answer starts with before the code;
    an engine is given it, so that a code comes next.
    """

    name: str
    before: str
    after: str
    answer: type[BaseModel]
    codes: tuple[str, ...] = ()
    opening: str = ""

    @property
    def schema(self) -> dict[str, Any]:
        """JSON schema of the answer."""
        return _schema(self.answer)


@cache
def _schema(answer: type[BaseModel]) -> dict[str, Any]:
    schema = answer.model_json_schema()
    for part in (schema, *schema.get("$defs", {}).values()):
        part.pop("description", None)  # the class docstring, which is not meant for the model
    return schema


def conversation_turns(messages: Sequence[Message]) -> list[tuple[str, str]]:
    """Each turn as (mark, content), as the model sees it between the fences.

    A content line that looks like a mark or a fence is prefixed with a bar, so that no speaker can
    end the conversation or impersonate the other.
    """
    return [(turn_mark(message.role), set_off(message.content)) for message in messages]


def turn_mark(role: str) -> str:
    """The line above a turn."""
    return f"\n\n[{role.upper()}]\n"


def set_off(content: str) -> str:
    """Escape the lines of `content` that look like a mark or a fence."""
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
    """The text before the first turn's mark; it is the same for all conversations."""
    return f"{question.before}\n\n{FENCE}"


def closing(question: Question) -> str:
    """The text after the last turn."""
    return f"\n\n{FENCE}\n\n{question.after}"
