"""Readers whose answers to the calibration set are known: good, noisy, constant, and others."""

import random
from collections.abc import Callable, Sequence

from vitw_ray.config import Execution, ExtractionConfig, RunConfig
from vitw_ray.extraction.answers import Answer, Extracted, Value
from vitw_ray.extraction.calibration.labelled import Labelled, calibration_set
from vitw_ray.facets import RESPONSE_TYPES
from vitw_ray.records import Conversation

TRUTH = {one.conversation.messages: one for one in calibration_set()}
Reply = Callable[[Labelled], Answer | None]


class Reader:
    """An extractor that answers what `reply` says of the truth; None is an error."""

    def __init__(self, reply: Reply) -> None:
        self.reply, self.read = reply, 0

    def extract(self, conversations: Sequence[Conversation]):
        for number, conversation in enumerate(conversations):
            self.read += 1
            answer = self.reply(TRUTH[conversation.messages])
            yield number, Extracted(answer, error=None if answer else "server_unreachable")

    def describe(self):
        return {"model": "known"}


def config(**settings) -> RunConfig:
    """A run with a model that is never loaded."""
    names = ("questions", "explicit_only", "max_error_share", "subjective_from")
    extraction = {name: settings.pop(name) for name in names if name in settings}
    return RunConfig(
        extraction=ExtractionConfig(extractor="openai", model="known", **extraction),
        execution=Execution(**settings),
    )


def truth(one: Labelled) -> Answer:
    return one.answer


def noisy(share: float, seed: int = 0) -> Reply:
    """The truth; with probability `share` another answer to each question."""
    rng = random.Random(seed)
    full = [one.answer for one in calibration_set() if one.answer.subjectivity >= 3]

    def reply(one: Labelled) -> Answer:
        answer, other = one.answer, rng.choice(full)
        level = rng.randint(1, 4) if rng.random() < share else answer.subjectivity
        if level < 3:
            return Answer(subjectivity=level)
        mine = answer if answer.subjectivity >= 3 else other
        return Answer(
            subjectivity=level,
            task=other.task if rng.random() < share else mine.task,
            human_values=other.human_values if rng.random() < share else mine.human_values,
            ai_values=other.ai_values if rng.random() < share else mine.ai_values,
            response_type=(
                rng.choice(RESPONSE_TYPES) if rng.random() < share else mine.response_type
            ),
        )

    return reply


def values(*labels: str) -> tuple[Value, ...]:
    return tuple(Value(label=label, explicit=False) for label in labels)


def constant(one: Labelled) -> Answer:
    return Answer(
        subjectivity=3,
        task="help the user",
        ai_values=values("helpfulness"),
        response_type="mild_support",
    )


def but(**fields) -> Reply:
    """The truth, but for some facets of its subjective answers."""

    def reply(one: Labelled) -> Answer:
        subjective = one.answer.subjectivity >= 3
        return one.answer.model_copy(update=fields) if subjective else one.answer

    return reply
