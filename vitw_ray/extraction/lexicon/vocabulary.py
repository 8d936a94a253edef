"""What the lexicon knows: values, tasks and cues, read from the JSON files beside this module."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from vitw_ray.extraction.lexicon.phrases import Phrases

Domain = Literal["Practical", "Epistemic", "Social", "Protective", "Personal"]
TaskKind = Literal[
    "code", "math", "fact", "text", "market", "creative", "advice", "opinion", "chat", "harm",
    "interview",
]  # fmt: skip
Speaker = Literal["assistant", "user"]


@dataclass(frozen=True, slots=True)
class ValueEntry:
    """A value label, and the evidence that a speaker holds it."""

    label: str
    domain: Domain
    description: str
    assistant: tuple[str, ...]  # phrases in the assistant's own messages
    user: tuple[str, ...]  # phrases in the user's own messages
    signals: Mapping[str, float]  # how strongly a signal speaks for the assistant's holding it


@dataclass(frozen=True, slots=True)
class TaskEntry:
    """A task phrase, with requests that it covers and how subjective such requests are (1-4)."""

    task: str
    kind: TaskKind
    subjectivity: int
    requests: tuple[str, ...]
    wants: tuple[str, ...]  # value labels that whoever insists on such a request shows


@dataclass(frozen=True)
class Vocabulary:
    """All entries, and an index of the phrases of each speaker.

    Keys of the index: the position of a value in `values`, or the name of a cue.
    """

    values: tuple[ValueEntry, ...]
    tasks: tuple[TaskEntry, ...]
    phrases: Mapping[Speaker, Phrases[int | str]]


@cache
def vocabulary() -> Vocabulary:
    """Read the three files (once per process)."""
    values = tuple(
        ValueEntry(**row | {"assistant": tuple(row["assistant"]), "user": tuple(row["user"])})
        for row in _rows("values.json")
    )
    tasks = tuple(
        TaskEntry(**row | {"requests": tuple(row["requests"]), "wants": tuple(row["wants"])})
        for row in _rows("tasks.json")
    )
    cues = _rows("cues.json")
    return Vocabulary(
        values, tasks, {speaker: _index(speaker, values, cues) for speaker in ("assistant", "user")}
    )


def _rows(name: str) -> list[dict]:
    return json.loads(files(__package__).joinpath(name).read_text(encoding="utf-8"))


def _index(
    speaker: Speaker, values: tuple[ValueEntry, ...], cues: list[dict]
) -> Phrases[int | str]:
    of_values = [
        (phrase, position)
        for position, value in enumerate(values)
        for phrase in (value.assistant if speaker == "assistant" else value.user)
    ]
    of_cues = [
        (phrase, cue["cue"]) for cue in cues if cue["role"] == speaker for phrase in cue["phrases"]
    ]
    return Phrases[int | str]([*of_values, *of_cues])
