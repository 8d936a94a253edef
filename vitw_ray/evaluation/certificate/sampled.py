"""The sampled conversations, what each reading said of them, and the cells of a headline.

Tasks and assistants are those of the run in every specification: the certificate varies how values
and responses are read, not how tasks are grouped.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitw_ray.comparison.readers.readings import Reading
from vitw_ray.evaluation.certificate.headlines import Headline
from vitw_ray.evaluation.certificate.measuring import Cells, Integers, Mask
from vitw_ray.facets import RESPONSE_TYPES
from vitw_ray.inference.embedder import Embedder, embed_unique
from vitw_ray.labels.normalize import fold_case, fold_hyphens, singular
from vitw_ray.report.resistance import RESISTANCE

SAME_LABEL = 0.8  # ours: cosine from which another spelling counts as a label of the run
LabelOf = Mapping[str, Mapping[str, str]]
"""Facet -> label as a reader wrote it -> label of the run."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Sampled conversations: rows are in the order of `ids`."""

    ids: tuple[str, ...]
    accounts: tuple[str | None, ...]
    models: tuple[str | None, ...]
    tasks: tuple[str | None, ...]

    def __len__(self) -> int:
        """Number of conversations."""
        return len(self.ids)

    def first(self, n: int) -> "Sample":
        """The first of them."""
        return Sample(self.ids[:n], self.accounts[:n], self.models[:n], self.tasks[:n])

    @property
    def task_codes(self) -> Integers:
        """A number for each task; -1: none."""
        codes = {task: code for code, task in enumerate(sorted({t for t in self.tasks if t}))}
        return np.array([codes.get(task or "", -1) for task in self.tasks])


@dataclass(frozen=True, eq=False)
class Answers:
    """What one reading said, a row per conversation of the sample."""

    level: NDArray[np.int64]
    """1-4; 0 where it was not read."""
    values: Mapping[str, tuple[frozenset[str], ...]]
    response: NDArray[np.int64]
    """Position in `RESPONSE_TYPES`, -1 where there is none."""

    def first(self, n: int) -> "Answers":
        """Those about the first conversations."""
        values = {facet: sets[:n] for facet, sets in self.values.items()}
        return Answers(self.level[:n], values, self.response[:n])

    def of_others(self, order: Integers, order_of_response: Integers) -> "Answers":
        """AI values of one other conversation, and the response type of another one."""
        shown = self.values["ai_values"]
        values = {**self.values, "ai_values": tuple(shown[n] for n in order)}
        return Answers(self.level, values, self.response[order_of_response])


def answers_of(reading: Reading, places: Sequence[int], label_of: LabelOf) -> Answers:
    """The answers of a reading without a gate, at some of its rows."""
    level = np.where(reading.valid, reading.codes["subjectivity"] + 1, 0)
    values = {
        facet: tuple(frozenset(names[raw] for raw in lists[n] if raw in names) for n in places)
        for facet, names in label_of.items()
        for lists in [reading.labels[facet]]
    }
    chosen = np.asarray(places)
    return Answers(level[chosen], values, reading.codes["response_type"][chosen])


def label_map(
    raw: Mapping[str, set[str]], kept: Mapping[str, Sequence[str]], embedder: Embedder | None
) -> LabelOf:
    """The run's label for each spelling, by form, then by meaning where there is an embedder.

    Args:
        raw: by facet, the labels as readers wrote them.
        kept: by facet, the labels of the run.
        embedder: finds the nearest label; None: spellings alone.
    """
    found: dict[str, dict[str, str]] = {}
    for facet, spellings in raw.items():
        known = {_form(label): label for label in sorted(kept[facet], reverse=True)}
        mine = {one: known[form] for one in spellings if (form := _form(one)) in known}
        others = sorted(spellings - mine.keys())
        if embedder is not None and others and kept[facet]:
            labels = sorted(kept[facet])
            cosines = embed_unique(embedder, others) @ embed_unique(embedder, labels).T
            nearest = cosines.argmax(axis=1)
            mine |= {
                one: labels[place]
                for one, place, cosine in zip(others, nearest, cosines.max(axis=1), strict=True)
                if cosine >= SAME_LABEL
            }
        found[facet] = mine
    return found


def _form(label: str) -> str:
    return singular(fold_hyphens(fold_case(label)))


def cells_of(headline: Headline, sample: Sample, answers: Answers, gate: int) -> Cells:
    """What a headline needs of a reading, of which the conversations from a gate on count."""
    base = answers.level >= gate
    everywhere = np.ones(len(sample), bool)
    task = sample.task_codes
    if headline.facet == "response_types":
        shown = np.isin(answers.response, [RESPONSE_TYPES.index(kind) for kind in RESISTANCE])
    else:
        shown = _has(answers, headline.facet, headline.label)
    other, within = everywhere, everywhere
    if headline.claim == "most_common":
        other = _has(answers, headline.facet, _rival(answers, headline, base))
    elif headline.claim == "differs":
        models = np.array([model or "" for model in sample.models])
        other = models == headline.over
        within = other | (models == headline.versus)
    elif headline.over is not None:
        other = _other(headline, sample, answers)
    return Cells(base, shown, other, within, task)


def _rival(answers: Answers, headline: Headline, base: Mask) -> str:
    """The most common other label of a reading: another one may lead than in the run."""
    shown = answers.values[headline.facet]
    counts = Counter(label for place in np.flatnonzero(base) for label in shown[place])
    del counts[headline.label]
    return min(counts, key=lambda label: (-counts[label], label), default=headline.versus or "")


def _other(headline: Headline, sample: Sample, answers: Answers) -> Mask:
    """Conversations with the task, response type or human value of a headline."""
    over = headline.over or ""
    if headline.over_facet == "tasks":
        return np.array([task == over for task in sample.tasks], bool)
    if headline.over_facet == "response_types":
        return answers.response == RESPONSE_TYPES.index(over)
    return _has(answers, headline.over_facet or "", over)


def _has(answers: Answers, facet: str, label: str) -> Mask:
    return np.array([label in labels for labels in answers.values[facet]], bool)
