"""The vocabulary of the lexicon: values, tasks and cues, from the JSON files in this folder."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from vitw_ray.extraction.lexicon.phrases import Phrases

FILES = Path(__file__).parent

Domain = Literal["Practical", "Epistemic", "Social", "Protective", "Personal"]
"""The five domains of values (paper, 3.1)."""
TaskKind = Literal[
    "code", "math", "fact", "text", "market", "creative", "advice", "opinion", "chat", "harm",
    "interview",
]  # fmt: skip
Speaker = Literal["assistant", "user"]
SPEAKERS: tuple[Speaker, ...] = ("assistant", "user")


@dataclass(frozen=True, slots=True)
class ValueEntry:
    """A value label, and the evidence for it."""

    label: str
    domain: Domain
    description: str
    names: tuple[str, ...]  # words that name it, for sentences in which a speaker professes a value
    assistant: tuple[str, ...]  # phrases in the assistant's own messages
    user: tuple[str, ...]  # phrases in the user's own messages
    signals: Mapping[str, float]  # probability that the assistant shows it, if the signal is 1
    context: Literal["harm"] | None  # the user's phrases count only with a harmful request
    # Share of ordinary conversations with such a phrase (ours: measured on 4,104 public ones, at
    # least 0.01).
    background: Mapping[Speaker, float]


@dataclass(frozen=True, slots=True)
class TaskEntry:
    """A task phrase, with example requests and their subjectivity (1-4)."""

    task: str
    kind: TaskKind
    subjectivity: int
    requests: tuple[str, ...]
    wants: tuple[str, ...]  # value labels of a user who insists on such a request


@dataclass(frozen=True)
class Vocabulary:
    """All entries, and an index of the phrases of each speaker.

    Keys of the index: the index of a value in `values`, or the name of a cue.
    """

    values: tuple[ValueEntry, ...]
    tasks: tuple[TaskEntry, ...]
    phrases: Mapping[Speaker, Phrases[int | str]]
    names: Phrases[int]  # key: index of the value
    position: Mapping[str, int]  # value label -> index


@cache
def vocabulary() -> Vocabulary:
    """Read the three files (once per process)."""
    values = tuple(ValueEntry(**_tuples(row)) for row in _rows("values.json"))
    tasks = tuple(TaskEntry(**_tuples(row)) for row in _rows("tasks.json"))
    cues = _rows("cues.json")
    return Vocabulary(
        values,
        tasks,
        {speaker: _index(speaker, values, cues) for speaker in SPEAKERS},
        Phrases((name, i) for i, value in enumerate(values) for name in value.names),
        {value.label: position for position, value in enumerate(values)},
    )


def _rows(name: str) -> list[dict[str, Any]]:
    return json.loads((FILES / name).read_text(encoding="utf-8"))


def _tuples(row: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(field) if isinstance(field, list) else field for key, field in row.items()}


def _index(
    speaker: Speaker, values: tuple[ValueEntry, ...], cues: list[dict[str, Any]]
) -> Phrases[int | str]:
    of_values: list[tuple[str, int | str]] = [
        (phrase, position)
        for position, value in enumerate(values)
        for phrase in (value.assistant if speaker == "assistant" else value.user)
    ]
    of_cues: list[tuple[str, int | str]] = [
        (phrase, cue["cue"])
        for cue in cues
        if cue["speaker"] == speaker
        for phrase in cue["phrases"]
    ]
    return Phrases(of_values + of_cues)
