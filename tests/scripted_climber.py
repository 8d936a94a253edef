"""A language model with scripted answers that groups by topic; each step can be replaced."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scripted_model import ScriptedModel, completion

from vitw_ray.inference.embedder import Hashing
from vitw_ray.inference.language_model import Completion, ModelFailure, Reading
from vitw_ray.inference.question import Question
from vitw_ray.taxonomy.climbing.steps import ClimbContext
from vitw_ray.taxonomy.naming.group_requests import BoundedModel
from vitw_ray.taxonomy.naming.member_naming import Named
from vitw_ray.taxonomy.neighbourhoods import KMeansSettings

Script = Callable[[str, Question, int], Any]
"""Maps the text between the fences, the question and the attempt to the model's answer: text, an
object to be written as JSON, or a failure."""


def lists(text: str) -> dict[str, list[str]]:
    """The lines under each heading, without dashes and numbers."""
    blocks = (block.split("\n") for block in text.strip().split("\n\n"))
    return {heading[:-1]: [line.split(" ", 1)[1] for line in lines] for heading, *lines in blocks}


def names(text: str, heading: str) -> list[str]:
    """The names under a heading, without descriptions."""
    return [line.split(":")[0] for line in lists(text).get(heading, [])]


def topic(name: str) -> str:
    """The topic of a group in these tests: the first word of its name."""
    return name.split()[0].capitalize()


def numbers_of(question: Question) -> list[int]:
    """The bounds in a question's name."""
    return [int(part) for part in question.name.split("_")[1:]]


def name_by_topic(text: str, question: Question, attempt: int) -> Any:
    inside = lists(text)["Values inside"][0].capitalize()
    return {"description": "Values of one kind.", "name": f"{inside} {'too' * attempt}".strip()}


def propose_topics(text: str, question: Question, attempt: int) -> Any:
    fewest, most = numbers_of(question)
    topics = list(dict.fromkeys(topic(name) for name in names(text, "Groups")))
    topics += [f"Nothing {'at all ' * n}here" for n in range(fewest - len(topics))]
    return {
        "groups": [
            {"description": f"Whatever is about {one}.", "name": f"{one} of every kind"}
            for one in topics[:most]
        ]
    }


def keep_one_of_each(text: str, question: Question, attempt: int) -> Any:
    _, fewest, most = numbers_of(question)
    proposals = names(text, "Proposals")
    first = [n for n, name in enumerate(proposals, 1) if proposals.index(name) == n - 1]
    return {"kept": first[: max(most, fewest)]}


def put_under_its_topic(text: str, question: Question, attempt: int) -> Any:
    (group,), wider = names(text, "Group"), names(text, "Wider groups")
    fits = [n for n, name in enumerate(wider, 1) if topic(name) == topic(group)]
    return {"because": "Both are about the same.", "number": (fits or [1])[0]}


SENSIBLE: dict[str, Script] = {
    "group": name_by_topic,
    "propose": propose_topics,
    "deduplicate": keep_one_of_each,
    "assign": put_under_its_topic,
}


class Climber(ScriptedModel):
    """Records the texts and answers of each step."""

    def __init__(self, **scripts: Script) -> None:
        self.scripts = SENSIBLE | scripts
        self.shown: dict[str, list[str]] = {step: [] for step in SENSIBLE}
        self.said: dict[str, list[Any]] = {step: [] for step in SENSIBLE}
        super().__init__(self._answer)

    def _answer(self, reading: Reading, question: Question, attempt: int) -> Completion:
        step = question.name.split("_")[0]
        self.shown[step].append(reading.text)
        answer = self.scripts[step](reading.text, question, attempt)
        self.said[step].append(answer)
        if isinstance(answer, ModelFailure):
            raise answer
        return completion(answer if isinstance(answer, str) else json.dumps(answer))


def embed(texts: Sequence[str]) -> np.ndarray:
    """Vectors that are similar within a topic."""
    hashing = Hashing()
    rows = hashing.encode([topic(text) for text in texts]) + 0.3 * hashing.encode(texts)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def climb_context(model: ScriptedModel, *, seed: int = 0, room: int = 10_000) -> ClimbContext:
    """The context of a climb."""
    return ClimbContext(
        BoundedModel(model, at_once=8), embed, KMeansSettings(seed, iterations=10), room
    )


def groups_of(topics: int, each: int) -> list[Named]:
    """Named groups: `each` for each of `topics` topics."""
    words = [f"{a}{b}" for a in "bdfgklmnprst" for b in ("ab", "eb", "ib", "ob", "ub")]
    return [
        (f"{one.capitalize()} {other}", f"Values of {one} such as {other}.")
        for one in words[:topics]
        for other in words[-each:]
    ]
