"""The questions put to a language model about a conversation, and the form of its answers.

The wording is in `prompts/`, one file per facet; the form is a pydantic model and its JSON schema.
Which facets there are, and of which kind, is in `facets.py`.

One pass (the default) asks for all facets in one request. The instructions come first and are the
same for every conversation, so an engine computes them once; the conversation and a short cue
follow. The schema puts `subjectivity` first and ends the answer there below the gate. The paper's
separate questions (1.2, 1.3) put the conversation first, since it is what they share.
"""

import textwrap
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from string import Template
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel, StringConstraints, create_model

from vitw_ray.config import ExtractionConfig
from vitw_ray.extraction.answers import Label, TaskPhrase
from vitw_ray.facets import AI_VALUES, FACETS, Facet
from vitw_ray.inference.question import MAX_QUOTE, Question

PROMPTS = Path(__file__).parent / "prompts"
PROMPT_WIDTH = 100  # characters per line (ours: as the files are written)
LEVELS = (1, 2, 3, 4)

Quote = Annotated[str, StringConstraints(pattern=rf'^[^"\\\x00-\x1f\x7f]{{0,{MAX_QUOTE}}}$')]
"""Words of a conversation, in any script. A pattern and not a length, as for labels."""
Salience = Annotated[int, Field(ge=1, le=5)]


def questions_for(config: ExtractionConfig) -> tuple[Question, ...]:
    """The questions of a run, in the order in which they are asked.

    Either one question for everything, or `subjectivity` and then one question per facet, which are
    asked only about conversations at or above the gate.
    """
    if config.questions == "one_pass":
        return (_one_pass(config),)
    level = _separate("subjectivity", [_prompt("subjectivity")], Literal[LEVELS])
    return (level, *(_about(config, facet) for facet in FACETS))


def _one_pass(config: ExtractionConfig) -> Question:
    return Question(
        name="one_pass",
        before=_joined(
            _prompt("reader"),
            _prompt("subjectivity"),
            *(_definition(config, facet) for facet in FACETS),
            *_value_marks(config),
            _one_pass_form(config.subjective_from),
            _prompt("conversation"),
        ),
        after=_prompt("cue"),
        answer=_gated_answer(config),
    )


def _one_pass_form(gate: int) -> str:
    *first, last = (f"`{facet.field}`" for facet in FACETS)
    form = Template(_prompt("one_pass_form"))
    named = form.safe_substitute(facets=f"{', '.join(first)} and {last}")
    return Template(textwrap.fill(named, PROMPT_WIDTH)).substitute(gate=gate)


def _about(config: ExtractionConfig, facet: Facet) -> Question:
    marks = _value_marks(config) if facet.kind == "values" else []
    return _separate(facet.field, [_definition(config, facet), *marks], _type_of(config, facet))


def _separate(field: str, wording: list[str], type_: Any) -> Question:
    form = Template(_prompt("separate_form")).substitute(field=field)
    return Question(
        name=field,
        before=_joined(_prompt("reader"), _prompt("conversation")),
        after=_joined(*wording, form, _prompt("cue")),
        answer=_form(field, {field: type_}),
    )


def _definition(config: ExtractionConfig, facet: Facet) -> str:
    explicit_only = facet is AI_VALUES and config.explicit_only
    return _prompt("explicit_only" if explicit_only else facet.field)


def _value_marks(config: ExtractionConfig) -> list[str]:
    marks = [_prompt("explicit")]
    if config.salience:
        marks.append(_prompt("salience"))
    if config.evidence:
        marks.append(_prompt("evidence"))
    return marks


def _gated_answer(config: ExtractionConfig) -> type[BaseModel]:
    """An answer that ends at `subjectivity` below the gate, and has all fields from there on."""
    gate = config.subjective_from
    fields = {facet.field: _type_of(config, facet) for facet in FACETS}
    full = _form("subjective", {"subjectivity": Literal[LEVELS[gate - 1 :]], **fields})
    if gate == 1:
        return full
    short = _form("objective", {"subjectivity": Literal[LEVELS[: gate - 1]]})
    return RootModel[short | full]


def _type_of(config: ExtractionConfig, facet: Facet) -> Any:
    if facet.kind == "phrase":
        return TaskPhrase
    if facet.kind == "code":
        return Literal[facet.codes]
    marks: dict[str, Any] = {"label": Label, "explicit": bool}
    if config.salience:
        marks["salience"] = Salience
    if config.evidence:
        marks["quote"] = Quote
    return Annotated[list[_form("value", marks)], Field(max_length=facet.most)]


def _form(name: str, fields: Mapping[str, Any]) -> type[BaseModel]:
    """A closed object whose fields are all required, in this order."""
    required: Any = {field: (type_, ...) for field, type_ in fields.items()}
    return create_model(name, __config__=ConfigDict(extra="forbid"), **required)


def _joined(*parts: str) -> str:
    return "\n\n".join(parts)


@cache
def _prompt(name: str) -> str:
    return (PROMPTS / f"{name}.md").read_text(encoding="utf-8").strip()
