"""Requests about clusters: many at once, and what is not of the form is asked once more."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from vitw_ray.inference.attempts import ATTEMPTS
from vitw_ray.inference.language_model import LanguageModel, ModelFailure
from vitw_ray.inference.parsing import InvalidAnswer, parse
from vitw_ray.inference.question import Question

INVALID = "invalid"
Fields = dict[str, Any]
"""An answer of the form that its question asks for."""


class BoundedModel:
    """A model that is open, and never asked more than so much at once."""

    def __init__(self, model: LanguageModel, *, at_once: int) -> None:
        self.model = model
        self._free = asyncio.Semaphore(at_once)

    async def ask(self, text: str, question: Question, attempt: int = 0) -> Fields | str:
        """What the model answers, or the short code of why that is nothing."""
        async with self._free:
            try:
                completion = await self.model.ask(self.model.read_text(text), question, attempt)
            except ModelFailure as failure:
                return failure.code
        try:
            return parse(completion.text, question)
        except InvalidAnswer:
            return INVALID


@dataclass
class RequestCounts:
    """What became of the requests of one step.

    Attributes:
        requests: texts that were asked about.
        asked_again: those whose first answer could not stand.
        fallbacks: those that had no second one either, and were settled without the model.
        refused: answers that could not stand, by the short code of why.
    """

    requests: int = 0
    asked_again: int = 0
    fallbacks: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def details(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            "requests": self.requests,
            "asked_again": self.asked_again,
            "fallbacks": self.fallbacks,
            "refused": dict(sorted(self.refused.items())),
        }


async def ask_twice(
    asked: BoundedModel, requests: Sequence[tuple[str, Question]], tally: RequestCounts
) -> list[Fields | None]:
    """Answers to all texts, in their order; None where neither attempt gave one."""

    async def ask_one(text: str, question: Question) -> Fields | None:
        tally.requests += 1
        for attempt in range(ATTEMPTS):
            tally.asked_again += attempt == 1
            answer = await asked.ask(text, question, attempt)
            if not isinstance(answer, str):
                return answer
            tally.refused[answer] += 1
        tally.fallbacks += 1
        return None

    return await asyncio.gather(*(ask_one(text, question) for text, question in requests))
