"""Concurrent requests about clusters, with a retry for invalid answers."""

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
"""A valid answer: field names and values."""


class BoundedModel:
    """An open model with a limit on concurrent requests."""

    def __init__(self, model: LanguageModel, *, at_once: int) -> None:
        self.model = model
        self._free = asyncio.Semaphore(at_once)

    async def ask(self, text: str, question: Question, attempt: int = 0) -> Fields | str:
        """The model's answer, or a short code if there is no valid one."""
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
    """Outcome counts of the requests of one step.

    Attributes:
        requests: number of requests, without retries.
        asked_again: requests that were retried after an invalid first answer.
        fallbacks: requests without a valid answer, decided without the model.
        refused: invalid answers by short code.
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
    model: BoundedModel, requests: Sequence[tuple[str, Question]], counts: RequestCounts
) -> list[Fields | None]:
    """Answers to all requests, in order; None if no attempt gave a valid answer."""

    async def ask_one(text: str, question: Question) -> Fields | None:
        counts.requests += 1
        for attempt in range(ATTEMPTS):
            counts.asked_again += attempt == 1
            answer = await model.ask(text, question, attempt)
            if not isinstance(answer, str):
                return answer
            counts.refused[answer] += 1
        counts.fallbacks += 1
        return None

    return await asyncio.gather(*(ask_one(text, question) for text, question in requests))
