"""How the fields of an answer are written as lines, and what a reader is told of it."""

import string
from collections.abc import Sequence

from vitw_ray.config import ExtractionConfig
from vitw_ray.extraction.closed import LEVELS
from vitw_ray.facets import AI_VALUES, Facet
from vitw_ray.inference.lines import EXPLICIT, Line, Mark

LEVEL_LINE = Line(
    field="subjectivity", kind="code", codes=tuple((str(level), level) for level in LEVELS)
)


def letters_of(facet: Facet) -> tuple[tuple[str, str], ...]:
    """One letter for each code of a facet."""
    return tuple(zip(string.ascii_uppercase, facet.codes, strict=False))


def marks_of(config: ExtractionConfig) -> tuple[Mark, ...]:
    """What the long questions ask about each value."""
    asked: list[Mark] = ["explicit"]
    if config.salience:
        asked.append("salience")
    if config.evidence:
        asked.append("quote")
    return tuple(asked)


def line_of(config: ExtractionConfig, facet: Facet, marks: Sequence[Mark]) -> Line:
    """The line of one facet."""
    if facet.kind == "code":
        return Line(field=facet.field, kind="code", codes=letters_of(facet))
    if facet.kind == "phrase":
        return Line(field=facet.field, kind="phrase")
    fewest = 1 if facet is AI_VALUES and not config.explicit_only else 0  # a reply shows something
    return Line(
        field=facet.field, kind="values", marks=tuple(marks), fewest=fewest, most=facet.most
    )


def entry_form(marks: Sequence[Mark]) -> str:
    """How one value is written, in words."""
    form = "label" + EXPLICIT * ("explicit" in marks)
    form += " salience" * ("salience" in marks) + ' "quote"' * ("quote" in marks)
    asterisk = " (the asterisk only where it is `explicit`)" if "explicit" in marks else ""
    return f"`{form}`{asterisk}"
