"""What a language model is asked about a conversation, and in which form it answers.

The wording is in `prompts/`; the form is a pydantic model and its JSON schema. One pass asks for
all facets at once: instructions first, the same for every conversation, so that an engine computes
them once; then the conversation; then a short cue. Its schema puts `subjectivity` first and ends
the answer there when nothing more is wanted. The paper's separate questions (1.2, 1.3) put the
conversation first, so that it is what they share.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from string import Template
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel, StringConstraints, create_model

from vitw_ray.config import ExtractionConfig
from vitw_ray.extraction.answers import MAX_AI_VALUES, MAX_HUMAN_VALUES, Label, TaskPhrase
from vitw_ray.inference.question import MAX_QUOTE, Question
from vitw_ray.records import ResponseType

PROMPTS = Path(__file__).parent / "prompts"
FACET_FIELDS = ("task", "human_values", "ai_values", "response_type")
LEVELS = (1, 2, 3, 4)

Quote = Annotated[str, StringConstraints(pattern=rf'^[^"\\\x00-\x1f\x7f]{{0,{MAX_QUOTE}}}$')]
"""Words of a conversation, in any script; a pattern and not a length, as for labels."""
Salience = Annotated[int, Field(ge=1, le=5)]


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


def _joined(*parts: str) -> str:
    return "\n\n".join(parts)


@cache
def _prompt(name: str) -> str:
    return (PROMPTS / f"{name}.md").read_text(encoding="utf-8").strip()
