"""Signs of a reader that does not read: what its answers have in common, whatever they are about.

Answers are counted first (`tally`), and counts add up, so that actors can send them. A sign is a
share of answers whose whole 95 % interval (Wilson) lies above what is tolerated: with few answers a
share has to be larger to count.

The tolerated shares are ours. `CHECK` is for the 64 conversations of the calibration set, of which
32 are subjective and all differ, so the truth is known: every level has 25 %, the commonest
response type 25 %, no list of AI values is empty, no two tasks or lists are the same. A share is
tolerated up to the point where a reader that errs a lot may still be reading. With all 64 answers
the lower end is 0.94, with 32 it is 0.89. `WATCH` is for traffic, whose truth is unknown: an
assistant for one purpose has one task, and support chats may all be objective.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vitw_ray.extraction.answers import Answer, Extracted, Value
from vitw_ray.facets import AI_VALUES, FACETS, RESPONSE_TYPE, TASK
from vitw_ray.inference.question import Question
from vitw_ray.intervals import wilson
from vitw_ray.paper import SUBJECTIVE_FROM

Tally = Counter[tuple[str, ...]]
"""Counts over answers. Labels and tasks are in it as hashes."""

LEVEL = "subjectivity"
FEWEST = 8  # ours: of fewer answers nothing is said; a language has 8 subjective ones
CHECK: Mapping[str, float] = {
    "constant_level": 0.8,  # truth 0.25; a sign from 58 of 64 answers on
    "constant_side": 0.8,  # subjective or not; truth 0.5
    "constant_response": 0.6,  # truth 0.25; from 25 of 32 on, and 8 of 8 in one language
    "empty_lists": 0.2,  # truth 0; from 12 of 32 on
    "copied_task": 0.1,  # truth 0; from 7 of 32 on
    "copied_label": 0.25,  # truth under 0.1: an example may also be right
    "one_task": 0.15,  # truth 0.03; from 9 of 32 on
    "one_label": 0.5,  # truth 0.16; from 22 of 32 lists on
    "same_list": 0.15,  # truth 0.03
    "not_english": 0.1,  # of all labels; 0.001 of the labels that the authors published
    "errors": 0.1,  # from 12 of 64 on
}
WATCH: Mapping[str, float] = {
    **CHECK,
    "constant_level": 0.97,
    "constant_side": 0.97,
    "constant_response": 0.9,
    "empty_lists": 0.3,
    "one_task": 0.5,
    "one_label": 0.7,
    "same_list": 0.5,
}
# Endings and small words of Spanish, Portuguese, Italian, French and German that English labels
# lack. Chinese cannot be written in the alphabet of labels.
_FOREIGN = re.compile(
    r"\b(?:de|del|los|las|el|por|para|sin|y|e|da|dei|des|du|et|und|der|von|zu|mit|fuer)\b(?!-)"
    r"|(?:[iea]dad|[lrs]tad|(?<!er)(?<!spi)cion|miento|(?<!st)(?<!bon)anza|encia|eza|(?<!ch)ismo"
    r"|keit|heit|schaft|(?<!yo)(?<!l)ung|lich)\b"
)
_QUOTED = re.compile(r'"([^"\n]{3,80})"')


@dataclass(frozen=True, slots=True)
class Sign:
    """One sign: `share` of the answers, of which `threshold` is tolerated.

    `language` is None for all answers. The share of the sign `chance` is a kappa.
    """

    name: str
    facet: str
    share: float
    threshold: float
    language: str | None = None


def examples_in(questions: Sequence[Question]) -> frozenset[str]:
    """What the prompt quotes: phrases that a reader may copy instead of reading."""
    texts = (f"{question.before}\n{question.after}" for question in questions)
    quoted = {found.lower() for text in texts for found in _QUOTED.findall(_joined(text))}
    codes = {code.lower() for question in questions for code in question.codes}
    return frozenset(quoted - codes - Answer.model_fields.keys() - Value.model_fields.keys())


def tally(found: Iterable[Extracted], gate: int, examples: Collection[str]) -> Tally:
    """Count what the signs are made from."""
    counts = Tally()
    for one in found:
        counts["answers",] += 1
        if one.answer is None:
            counts["errors",] += 1
            continue
        counts["read",] += 1
        level = one.answer.subjectivity
        counts["level", str(level)] += 1
        if gate > 1:  # else every answer is on one side
            counts["side", str(level >= gate)] += 1
        if level >= max(gate, SUBJECTIVE_FROM):  # below, no facet need be found
            counts.update(_facets(one.answer, examples))
    return counts


def _facets(answer: Answer, examples: Collection[str]) -> Iterable[tuple[str, ...]]:
    yield ("full",)
    for facet in FACETS:
        field, found = facet.field, getattr(answer, facet.field)
        if facet.kind == "code":
            yield "code", field, str(found)
        elif facet.kind == "phrase" and found:
            yield "phrases", field
            yield "phrase", field, _hash(found.lower())
            if found.lower() in examples:
                yield "copied", field
        elif facet.kind == "values":
            yield from _list(field, sorted({value.label for value in found}), examples)


def _list(
    field: str, labels: Sequence[str], examples: Collection[str]
) -> Iterable[tuple[str, ...]]:
    if not labels:
        yield "empty", field
        return
    yield "lists", field
    yield "list", field, _hash("\n".join(labels))
    if any(label in examples for label in labels):
        yield "copied", field
    for label in labels:
        yield "labels", field
        yield "label", field, _hash(label)
        if is_foreign(label):
            yield "foreign", field


def is_foreign(label: str) -> bool:
    """Whether a label looks like another language than English."""
    return _FOREIGN.search(label) is not None


def signs_of(
    counts: Tally, tolerated: Mapping[str, float], language: str | None = None
) -> list[Sign]:
    """The signs that the counts show. A sign without an entry in `tolerated` is not looked for."""
    most = _most(counts)
    read, full = counts["read",], counts["full",]
    shares: list[tuple[str, str, int, int]] = [
        ("errors", LEVEL, counts["errors",], counts["answers",]),
        ("constant_level", LEVEL, most["level",], read),
        ("constant_side", LEVEL, most["side",], read),
        ("constant_response", RESPONSE_TYPE.field, most["code", RESPONSE_TYPE.field], full),
        ("empty_lists", AI_VALUES.field, counts["empty", AI_VALUES.field], full),
        *(_of_task(counts, most)),
    ]
    for facet in FACETS:
        if facet.kind == "values":
            field, lists = facet.field, counts["lists", facet.field]
            shares += [
                ("copied_label", field, counts["copied", field], lists),
                ("one_label", field, most["label", field], lists),
                ("same_list", field, most["list", field], lists),
                ("not_english", field, counts["foreign", field], counts["labels", field]),
            ]
    return [
        Sign(name, facet, round(part / whole, 3), tolerated[name], language)
        for name, facet, part, whole in shares
        if whole >= FEWEST and name in tolerated and float(wilson(part, whole)[0]) > tolerated[name]
    ]


def _of_task(counts: Tally, most: Tally) -> list[tuple[str, str, int, int]]:
    field = TASK.field
    phrases = counts["phrases", field]
    return [
        ("copied_task", field, counts["copied", field], phrases),
        ("one_task", field, most["phrase", field], phrases),
    ]


def chance(scores: Iterable[Mapping[str, Any]]) -> list[Sign]:
    """A sign if the reader cannot be told from one that guesses which are subjective.

    That is so if the interval of kappa reaches 0. A reader that guesses passes in 2.5 % of cases;
    one with a true kappa of 0.4 is stopped in 3 % (its standard error is 0.115 with 64 answers).
    """
    return [
        Sign("chance", LEVEL, one["value"], 0.0)
        for one in scores
        if one["facet"] == "subjective" and one["low"] is not None and one["low"] <= 0
    ]


def _most(counts: Tally) -> Tally:
    """(kind, ..., item) -> count, as (kind, ...) -> the largest count of an item."""
    most = Tally()
    for key, count in counts.items():
        if len(key) > 1:
            most[key[:-1]] = max(most[key[:-1]], count)
    return most


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _joined(text: str) -> str:
    """Single line breaks become spaces: a quotation may be wrapped."""
    return re.sub(r"(?<!\n)\n(?!\n)", " ", text)
