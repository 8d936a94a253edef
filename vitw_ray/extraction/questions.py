"""What a language model is asked about a conversation, and in which form it answers.

The wording is in `prompts/`; the form is a pydantic model and its JSON schema. One pass asks for
all facets at once: instructions first, the same for every conversation, so that an engine computes
them once; then the conversation; then a short cue. Its schema puts `subjectivity` first and ends
the answer there when nothing more is wanted. The paper's separate questions (1.2, 1.3) put the
conversation first, so that it is what they share.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Template
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel, StringConstraints, create_model

from vitw_ray.config import ExtractionConfig
from vitw_ray.extraction.answers import MAX_AI_VALUES, MAX_HUMAN_VALUES, Label, TaskPhrase
from vitw_ray.records import Message, ResponseType

PROMPTS = Path(__file__).parent / "prompts"
FENCE = "===================="
FACET_FIELDS = ("task", "human_values", "ai_values", "response_type")
LEVELS = (1, 2, 3, 4)

MAX_QUOTE = 120  # characters (ours: twelve words)
Quote = Annotated[str, StringConstraints(pattern=rf'^[^"\\\x00-\x1f\x7f]{{0,{MAX_QUOTE}}}$')]
"""Words of a conversation, in any script; a pattern and not a length, as for labels."""
Salience = Annotated[int, Field(ge=1, le=5)]


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
    return answer.model_json_schema()


def questions_for(config: ExtractionConfig) -> tuple[Question, ...]:
    """The questions of a run, in the order in which they are asked.

    Either the one-pass question alone, or `subjectivity` and then the four others, which are put
    only to conversations at or above the gate.
    """
    if config.questions == "one_pass":
        return (_one_pass(config),)
    return tuple(_separate(config, field) for field in ("subjectivity", *FACET_FIELDS))


def _one_pass(config: ExtractionConfig) -> Question:
    form = Template(_prompt("one_pass_form")).substitute(gate=config.subjective_from)
    return Question(
        name="one_pass",
        before=_joined(
            _prompt("reader"),
            _prompt("subjectivity"),
            *(_definition(config, field) for field in FACET_FIELDS),
            *_value_marks(config),
            form,
            _prompt("conversation"),
        ),
        after=_prompt("cue"),
        answer=_gated_answer(config),
    )


def _separate(config: ExtractionConfig, field: str) -> Question:
    marks = _value_marks(config) if field in ("human_values", "ai_values") else []
    form = Template(_prompt("separate_form")).substitute(field=field)
    return Question(
        name=field,
        before=_joined(_prompt("reader"), _prompt("conversation")),
        after=_joined(_definition(config, field), *marks, form, _prompt("cue")),
        answer=_form(field, {field: _type_of(config, field)}),
    )


def _definition(config: ExtractionConfig, field: str) -> str:
    explicit_only = field == "ai_values" and config.explicit_only
    return _prompt("explicit_only" if explicit_only else field)


def _value_marks(config: ExtractionConfig) -> list[str]:
    marks = [_prompt("explicit")]
    if config.salience:
        marks.append(_prompt("salience"))
    if config.evidence:
        marks.append(_prompt("evidence"))
    return marks


def _gated_answer(config: ExtractionConfig) -> type[BaseModel]:
    """An answer that ends at `subjectivity` below the gate, and is complete from there on."""
    gate = config.subjective_from
    fields = {field: _type_of(config, field) for field in FACET_FIELDS}
    full = _form("subjective", {"subjectivity": Literal[LEVELS[gate - 1 :]], **fields})
    if gate == 1:
        return full
    short = _form("objective", {"subjectivity": Literal[LEVELS[: gate - 1]]})
    return RootModel[short | full]


def _type_of(config: ExtractionConfig, field: str) -> Any:
    if field == "subjectivity":
        return Literal[LEVELS]
    if field == "task":
        return TaskPhrase
    if field == "response_type":
        return ResponseType
    marks: dict[str, Any] = {"label": Label, "explicit": bool}
    if config.salience:
        marks["salience"] = Salience
    if config.evidence:
        marks["quote"] = Quote
    most = MAX_AI_VALUES if field == "ai_values" else MAX_HUMAN_VALUES
    return Annotated[list[_form("value", marks)], Field(max_length=most)]


def _form(name: str, fields: Mapping[str, Any]) -> type[BaseModel]:
    """A closed object whose fields are all required, in this order."""
    required: Any = {field: (type_, ...) for field, type_ in fields.items()}
    return create_model(name, __config__=ConfigDict(extra="forbid"), **required)


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


def _joined(*parts: str) -> str:
    return "\n\n".join(parts)


@cache
def _prompt(name: str) -> str:
    return (PROMPTS / f"{name}.md").read_text(encoding="utf-8").strip()
