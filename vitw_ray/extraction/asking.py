"""Ask a language model the questions of a run, and parse its replies into an `Answer`.

A reply that does not have the requested form is requested once more, with a larger token limit.
After that, and whenever the model itself fails, the conversation becomes a row with an error code.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from vitw_ray.extraction.answers import Answer, Extracted, Value
from vitw_ray.facets import FACETS
from vitw_ray.inference.attempts import ATTEMPTS
from vitw_ray.inference.language_model import Completion, LanguageModel, ModelFailure, Reading
from vitw_ray.inference.parsing import InvalidAnswer, parse
from vitw_ray.inference.question import Question
from vitw_ray.records import Message


class _Costs:
    """Token counts, summed over all requests about one conversation."""

    def __init__(self) -> None:
        self.prompt_tokens = self.output_tokens = self.cached_tokens = 0

    def add(self, completion: Completion) -> None:
        self.prompt_tokens += completion.prompt_tokens
        self.output_tokens += completion.output_tokens
        self.cached_tokens += completion.cached_tokens


async def extract_one(
    model: LanguageModel, reading: Reading, questions: Sequence[Question], gate: int
) -> Extracted:
    """Ask about one conversation. Questions after the first need a level at or above the gate.

    Error codes: `cut_answer` and `invalid_answer` after the last attempt, and those that the model
    reports (`time_out`, `refused`, `engine_died`, ...).
    """
    costs = _Costs()
    answer, error = None, None
    first, *others = questions
    try:
        fields = await _ask(model, reading, first, costs)
        if others and fields["subjectivity"] >= gate:
            # Concurrently, while the engine still has the conversation in its prefix cache.
            asked = await asyncio.gather(
                *(_ask(model, reading, question, costs) for question in others),
                return_exceptions=True,
            )
            for found in asked:
                if isinstance(found, BaseException):
                    raise found
                fields |= found
        answer = _answer(fields, reading)
    except ModelFailure as failure:
        error = failure.code
    return Extracted(
        answer,
        error,
        prompt_tokens=costs.prompt_tokens,
        output_tokens=costs.output_tokens,
        truncated_share=reading.truncated_share,
        cached_tokens=costs.cached_tokens,
    )


async def _ask(
    model: LanguageModel, reading: Reading, question: Question, costs: _Costs
) -> dict[str, Any]:
    code = ""
    for attempt in range(ATTEMPTS):
        completion = await model.ask(reading, question, attempt)
        costs.add(completion)
        try:
            return parse(completion.text, question)
        except InvalidAnswer:
            code = "cut_answer" if completion.cut else "invalid_answer"
    raise ModelFailure(code)


def _answer(fields: Mapping[str, Any], reading: Reading) -> Answer:
    facets: dict[str, Any] = {}
    for facet in FACETS:
        found = fields.get(facet.field)
        if facet.kind == "values":
            found = as_values(found or (), reading.messages, facet.speaker)
        facets[facet.field] = found
    try:
        return Answer(subjectivity=fields["subjectivity"], **facets)
    except ValidationError:
        raise ModelFailure("invalid_answer") from None


def as_values(
    found: Sequence[dict[str, Any]], messages: Sequence[Message], role: str
) -> tuple[Value, ...]:
    """Values of one speaker, each label once. A quote is reduced to `grounded` and not kept."""
    spoken = _plain(" ".join(message.content for message in messages if message.role == role))
    values: dict[str, Value] = {}
    for value in found:
        quote = value.get("quote")
        values.setdefault(
            value["label"],
            Value(
                label=value["label"],
                explicit=value["explicit"],
                grounded=None if quote is None else _stands_in(_plain(quote), spoken),
                salience=value.get("salience"),
            ),
        )
    return tuple(values.values())


def _stands_in(quote: str, spoken: str) -> bool:
    if quote.isascii():  # match whole words; other scripts may not separate words
        quote, spoken = f" {quote} ", f" {spoken} "
    return bool(quote.strip()) and quote in spoken


def _plain(text: str) -> str:
    """Letters and digits only, case-folded, one space between words: the form quotes compare in."""
    return " ".join(re.sub(r"[\W_]+", " ", text.casefold()).split())
