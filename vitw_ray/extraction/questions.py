"""The questions put to a language model about a conversation, and the form of its answers.

The wording is in `prompts/`, one folder per set of prompts and one file per question. Beside it are
the same sets in other words (`short_1`), for readings that show what hangs on the wording. The form
is a pydantic model and its JSON schema. Which facets there are, and of which kind, is in
`facets.py`.

Short questions (the default) put the conversation first, so an engine computes it once, and ask one
thing at a time: closed questions, of which the probabilities are taken, about the level and the
response type, and an open one about each other facet. `docs/readers.md` has the measurements.

One pass asks for all facets in one request. The instructions come first and are the same for every
conversation; the conversation and a cue follow. The schema puts `subjectivity` first and ends the
answer there below the gate. The paper's separate questions (1.2, 1.3) are asked after the
conversation, one request per facet, in the wording of the one pass.
"""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from string import Template
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel, StringConstraints, create_model

from vitw_ray.config import ExtractionConfig
from vitw_ray.extraction.answers import Label, TaskPhrase
from vitw_ray.extraction.closed import LEVEL_CODES, LEVELS, RESPONSE_CODES
from vitw_ray.extraction.line_form import (
    LEVEL_LINE,
    entry_form,
    letters_of,
    line_of,
    marks_of,
)
from vitw_ray.facets import AI_VALUES, FACETS, RESPONSE_TYPE, Facet
from vitw_ray.inference.lines import MAX_QUOTE, Line
from vitw_ray.inference.question import Question

PROMPTS = Path(__file__).parent / "prompts"
LONG, SHORT = "instructions_first", "short"  # sets of prompts
LINES = "lines"  # what is said of the form of answers in lines
OPENINGS = {"rating": '{"subjectivity": ', "kind": "", "values": "", "works": ""}
"""What an answer starts with, where it is not an object with the question's name. Measured: the
spelling of an answer changes how well its probabilities order conversations."""
PROMPT_WIDTH = 100  # characters per line (ours: as the files are written)

Quote = Annotated[str, StringConstraints(pattern=rf'^[^"\\\x00-\x1f\x7f]{{0,{MAX_QUOTE}}}$')]
"""Words of a conversation, in any script. A pattern and not a length, as for labels."""
Salience = Annotated[int, Field(ge=1, le=5)]


@dataclass(frozen=True)
class QuestionSet:
    """Everything that a run asks, in the order in which it is asked.

    Attributes:
        first: what decides the level: one question with the field `subjectivity`, or closed ones.
        then: what is asked about conversations at or above the gate.
    """

    first: tuple[Question, ...]
    then: tuple[Question, ...] = ()

    @property
    def all(self) -> tuple[Question, ...]:
        """Both parts."""
        return self.first + self.then

    @property
    def closed(self) -> tuple[str, ...]:
        """Names of the closed questions."""
        return tuple(question.name for question in self.all if question.codes)


def questions_for(config: ExtractionConfig) -> QuestionSet:
    """The questions of a run."""
    if config.questions == "short":
        return QuestionSet(
            tuple(_closed(config, name, codes) for name, codes in LEVEL_CODES.items()),
            (
                *(_open(config, facet) for facet in FACETS if facet is not RESPONSE_TYPE),
                *(_closed(config, name, codes) for name, codes in RESPONSE_CODES.items()),
            ),
        )
    if config.questions == "one_pass":
        return QuestionSet((_one_pass(config),))
    wording = [_prompt(config, "subjectivity")]
    level = _separate(config, "subjectivity", wording, Literal[LEVELS], LEVEL_LINE)
    return QuestionSet((level,), tuple(_about(config, facet) for facet in FACETS))


def _closed(config: ExtractionConfig, name: str, codes: tuple[str, ...]) -> Question:
    opening = OPENINGS.get(name, f'{{"{name}": "')
    form = _form(name, {name: Literal[codes]})
    question = _short(config, name, _prompt(config, name, SHORT), form)
    return replace(question, codes=codes, opening=opening)


def _open(config: ExtractionConfig, facet: Facet) -> Question:
    explicit_only = facet is AI_VALUES and config.explicit_only
    wording = _prompt(config, "explicit_only" if explicit_only else facet.field, SHORT)
    type_ = _type_of(config, facet)
    parts = [wording]
    if facet.kind == "values":
        type_ = _short_list(config, facet)
        marks = [name for name in ("salience", "evidence") if getattr(config, name)]
        strict = ["strict"] if config.strict else []
        parts += (_prompt(config, name, SHORT) for name in (*strict, *marks))
        in_lines = config.answer_form == "lines"
        parts.append(_list_lines(config, facet) if in_lines else _list_form(config, facet, marks))
    else:
        parts.append(_form_of(config, facet.field, SHORT))
    form = _form(facet.field, {facet.field: type_})
    question = _short(config, facet.field, "\n".join(parts), form)
    line = line_of(config, facet, marks_of(config)[1:])  # whether it is explicit is not asked
    return _in_form(config, question, line)


def _in_form(config: ExtractionConfig, question: Question, *lines: Line) -> Question:
    return replace(question, lines=lines) if config.answer_form == "lines" else question


def _list_form(config: ExtractionConfig, facet: Facet, marks: Sequence[str]) -> str:
    fewest, most = _list_length(facet, config)
    return Template(_form_of(config, "list", SHORT)).substitute(
        field=facet.field, entries=f"{fewest} to {most} {_entries(marks)}"
    )


def _list_lines(config: ExtractionConfig, facet: Facet) -> str:
    fewest, most = _list_length(facet, config)
    marks = marks_of(config)[1:]
    form = f" in the form {entry_form(marks)}" if marks else ""
    return Template(_form_of(config, "list", SHORT)).substitute(
        entries=f"{fewest} to {most} values{form}", none="" if fewest else ", or a hyphen for none"
    )


def _list_length(facet: Facet, config: ExtractionConfig) -> tuple[int, int]:
    """Fewest and most values that a short question asks for.

    A reply always shows something; what a user holds and what an assistant declares may be nothing.
    """
    if facet is AI_VALUES and not config.explicit_only:
        return (1 if config.strict else 2), 5
    return 0, 3


def _entries(marks: Sequence[str]) -> str:
    if not marks:
        return "values"
    *first, last = (f'"{_FIELD_NAMES.get(name, name)}"' for name in ("label", *marks))
    return f"objects with {', '.join(first)} and {last}"


def _short_list(config: ExtractionConfig, facet: Facet) -> Any:
    """Labels alone, where nothing else is asked for: a small model copies names of fields.

    Whether a value is explicit is then found in the speaker's words (`asking`).
    """
    marks: dict[str, Any] = {"label": Label}
    if config.salience:
        marks["salience"] = Salience
    if config.evidence:
        marks["quote"] = Quote
    entry = _form("value", marks) if len(marks) > 1 else Label
    return _list_of(entry, config, facet)


def _list_of(entry: Any, config: ExtractionConfig, facet: Facet) -> Any:
    fewest = 1 if facet is AI_VALUES and not config.explicit_only else 0  # a reply shows something
    return Annotated[list[entry], Field(min_length=fewest, max_length=facet.most)]


def _short(config: ExtractionConfig, name: str, wording: str, answer: type[BaseModel]) -> Question:
    opening = (_prompt(config, part, SHORT) for part in ("reader", "conversation"))
    return Question(
        name=name,
        before=_joined(*opening),
        after=f"{_prompt(config, 'cue', SHORT)} {wording}",
        answer=answer,
    )


def _one_pass(config: ExtractionConfig) -> Question:
    question = Question(
        name="one_pass",
        before=_joined(
            _prompt(config, "reader"),
            _prompt(config, "subjectivity"),
            *(_definition(config, facet) for facet in FACETS),
            *_value_marks(config),
            _one_pass_form(config),
            *([_writing(config, FACETS)] if config.answer_form == "lines" else []),
            _prompt(config, "conversation"),
        ),
        after=_cue(config),
        answer=_gated_answer(config),
    )
    below = tuple(str(level) for level in LEVELS if level < config.subjective_from)
    lines = (line_of(config, facet, marks_of(config)) for facet in FACETS)
    return _in_form(config, replace(question, ends_with=below), LEVEL_LINE, *lines)


def _one_pass_form(config: ExtractionConfig) -> str:
    *first, last = (f"`{facet.field}`" for facet in FACETS)
    form = Template(_form_of(config, "one_pass"))
    named = form.safe_substitute(facets=f"{', '.join(first)} and {last}")
    filled = Template(textwrap.fill(named, PROMPT_WIDTH))
    return filled.substitute(gate=config.subjective_from)


def _writing(config: ExtractionConfig, facets: Sequence[Facet]) -> str:
    """How lists and codes are written in lines, where there are any."""
    parts = []
    if any(facet.kind == "values" for facet in facets):
        form = Template(_form_of(config, "values"))
        parts.append(form.substitute(entry=entry_form(marks_of(config))))
    for facet in facets:
        if facet.kind == "code":
            letters = ", ".join(f"{letter} {code}" for letter, code in letters_of(facet))
            form = Template(_form_of(config, "code"))
            parts.append(form.substitute(field=facet.field, letters=letters))
    return textwrap.fill(" ".join(parts), PROMPT_WIDTH)


def _about(config: ExtractionConfig, facet: Facet) -> Question:
    marks = _value_marks(config) if facet.kind == "values" else []
    wording = [_definition(config, facet), *marks]
    if config.answer_form == "lines" and facet.kind != "phrase":
        wording.append(_writing(config, [facet]))
    line = line_of(config, facet, marks_of(config))
    return _separate(config, facet.field, wording, _type_of(config, facet), line)


def _separate(
    config: ExtractionConfig, field: str, wording: list[str], type_: Any, line: Line
) -> Question:
    form = Template(_form_of(config, "separate")).substitute(field=field)
    question = Question(
        name=field,
        before=_joined(_prompt(config, "reader"), _prompt(config, "conversation")),
        after=_joined(*wording, form, _cue(config)),
        answer=_form(field, {field: type_}),
    )
    return _in_form(config, question, line)


def _definition(config: ExtractionConfig, facet: Facet) -> str:
    explicit_only = facet is AI_VALUES and config.explicit_only
    return _prompt(config, "explicit_only" if explicit_only else facet.field)


def _value_marks(config: ExtractionConfig) -> list[str]:
    asked = [name for name in ("strict", "salience", "evidence") if getattr(config, name)]
    return [_prompt(config, name) for name in ("explicit", *asked)]


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
    return _list_of(_form("value", marks), config, facet)


_FIELD_NAMES = {"evidence": "quote"}  # settings whose field in an answer has another name


def _form(name: str, fields: Mapping[str, Any]) -> type[BaseModel]:
    """A closed object whose fields are all required, in this order."""
    required: Any = {field: (type_, ...) for field, type_ in fields.items()}
    return create_model(name, __config__=ConfigDict(extra="forbid"), **required)


def _joined(*parts: str) -> str:
    return "\n\n".join(parts)


def _prompt(config: ExtractionConfig, name: str, of: str = LONG) -> str:
    return _read(f"{of}_{config.paraphrase}" if config.paraphrase else of, name)


def _form_of(config: ExtractionConfig, name: str, of: str = LONG) -> str:
    """What is said of the form of an answer; of lines it is said in one way in all wordings."""
    if config.answer_form == "lines":
        return _read(LINES, name)
    return _prompt(config, f"{name}_form", of)


def _cue(config: ExtractionConfig) -> str:
    return _read(LINES, "cue") if config.answer_form == "lines" else _prompt(config, "cue")


@cache
def _read(folder: str, name: str) -> str:
    return (PROMPTS / folder / f"{name}.md").read_text(encoding="utf-8").strip()
