"""A language model with scripted answers, for tests that need no real one."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vitw_ray.inference.language_model import Completion, Reading
from vitw_ray.inference.question import Question, conversation_text
from vitw_ray.records import Message

FULL = {
    "subjectivity": 4,
    "task": "decide about a move",
    "human_values": [{"label": "family ties", "explicit": True}],
    "ai_values": [{"label": "honesty", "explicit": False}],
    "response_type": "mild_support",
}


def completion(text: str, *, cut: bool = False) -> Completion:
    return Completion(text, cut, prompt_tokens=100, output_tokens=10, cached_tokens=64)


def answered(fields: Mapping[str, Any] = FULL) -> Completion:
    return completion(json.dumps(fields))


class ScriptedModel:
    """Answers with what `reply(reading, question, attempt)` returns or raises."""

    def __init__(self, reply: Callable[[Reading, Question, int], Completion]) -> None:
        self.reply = reply
        self.asked: list[tuple[str, int]] = []
        self.in_flight = self.most_in_flight = 0

    async def open(self) -> None:
        pass

    def read(self, messages: Sequence[Message]) -> Reading:
        return Reading(tuple(messages), 0.25, text=conversation_text(messages))

    def read_text(self, text: str) -> Reading:
        return Reading(text=text)

    async def ask(self, reading: Reading, question: Question, attempt: int) -> Completion:
        self.asked.append((question.name, attempt))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(0)
            return self.reply(reading, question, attempt)
        finally:
            self.in_flight -= 1

    def describe(self) -> Mapping[str, Any]:
        return {"model": "scripted"}

    def close(self) -> None:
        pass
