"""A question to a language model: the text around a conversation, and the answer's schema."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel

from vitw_ray.inference.lines import Line, pattern
from vitw_ray.records import ROLES, Message

FENCE = "===================="


@dataclass(frozen=True)
class Question:
    """The text before and after the conversation, and the model of the answer.

    `before` is the same for every conversation. `answer` is the pydantic model of the answer;
    `schema` is its JSON schema, which constrains decoding.

    A closed question has `codes`, one of which is the answer. It is asked for the probabilities of
    its codes (`Completion.code_logprobs`). `opening` is what an answer starts with before the code;
    an engine is given it, so that a code comes next.

    A question with `lines` is answered in lines instead of JSON (`lines.py`). `ends_with` has what
    the first line says where there is no second one.
    """

    name: str
    before: str
    after: str
    answer: type[BaseModel]
    codes: tuple[str, ...] = ()
    opening: str = ""
    lines: tuple[Line, ...] = ()
    ends_with: tuple[str, ...] = ()

    @property
    def pattern(self) -> str:
        """Regular expression of an answer in lines; empty for JSON."""
        return pattern(self.lines, self.ends_with) if self.lines else ""

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
    """Escape the lines of `content` that look like a mark or a fence.

    A line ends wherever Unicode ends one, and what is not seen, or is written in another form of
    the same letters, does not hide a mark.
    """
    if not _MAY_IMITATE.search(_seen(content)):
        return content
    lines = _LINES.findall(content)
    return "".join(f"| {line}" if _IMITATION.match(_seen(line)) else line for line in lines)


def _seen(text: str) -> str:
    """The text in compatible letters, without accents and what is not seen; brackets are square."""
    if text.isascii():
        return text.translate(_CONTROLS)
    plain = unicodedata.normalize("NFKD", text).translate(_CONTROLS | _BRACKETS)
    return "".join(c for c in plain if c.isascii() or unicodedata.category(c) not in _NOT_SEEN)


_ENDS = "\n\r\v\f\x1c-\x1e\x85\u2028\u2029"
_LINES = re.compile(rf"[^{_ENDS}]*(?:\r\n|[{_ENDS}]|$)")
_NOT_SEEN = frozenset(("Cf", "Cn", "Co", "Me", "Mn"))
_CONTROLS = dict.fromkeys((*range(9), *range(0xE, 0x1C), 0x1F, 0x7F, 0x115F, 0x1160, 0x3164))
_BRACKETS = {
    **dict.fromkeys(map(ord, "\u3010\u3014\u3016\u27e6\u2772\u2045"), "["),
    **dict.fromkeys(map(ord, "\u3011\u3015\u3017\u27e7\u2773\u2046"), "]"),
}
_ROLE = "|".join(ROLES)
_MARK = rf"\[\s*(?:{_ROLE})\s*\]"
_MAY_IMITATE = re.compile(rf"{FENCE}|{_MARK}", re.IGNORECASE)
# behind what is no word and no bar; text may follow a mark that has no colon
_IMITATION = re.compile(rf"(?:[^\w|\[]|_)*(?:{FENCE}|{_MARK}(?!\s*\w))", re.IGNORECASE)


def conversation_text(messages: Sequence[Message]) -> str:
    """All turns as one text."""
    return "".join(mark + content for mark, content in conversation_turns(messages))


def opening(question: Question) -> str:
    """The text before the first turn's mark; it is the same for all conversations."""
    return f"{question.before}\n\n{FENCE}"


def closing(question: Question) -> str:
    """The text after the last turn."""
    return f"\n\n{FENCE}\n\n{question.after}"
