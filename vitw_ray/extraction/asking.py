"""Ask a language model the questions of a run, and parse its replies into an `Answer`.

A reply that does not have the requested form is requested once more, with a larger token limit.
After that, and whenever the model itself fails, the conversation becomes a row with an error code.
"""

import asyncio
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from typing import Any

from pydantic import ValidationError

from vitw_ray.extraction.answers import Answer, Extracted, Value
from vitw_ray.extraction.closed import Calibration, plain_level, plain_response
from vitw_ray.extraction.questions import QuestionSet
from vitw_ray.facets import FACETS, ResponseType
from vitw_ray.inference.attempts import ATTEMPTS
from vitw_ray.inference.language_model import Completion, LanguageModel, ModelFailure, Reading
from vitw_ray.inference.lines import without_end
from vitw_ray.inference.parsing import InvalidAnswer, parse
from vitw_ray.inference.question import Question
from vitw_ray.paper import SUBJECTIVE_FROM
from vitw_ray.records import Message

STEM = 5  # letters by which two forms of a word are one (ours: kappa 0.32 with labelled values)
GIVEN = 0.9  # ours: probability of a code that a server gives without saying how likely it was


class _Costs:
    """What all requests about one conversation cost, and what their answers lost."""

    def __init__(self) -> None:
        self.prompt_tokens = self.output_tokens = self.cached_tokens = 0
        self.repairs = Counter[str]()

    def add(self, completion: Completion) -> None:
        self.prompt_tokens += completion.prompt_tokens
        self.output_tokens += completion.output_tokens
        self.cached_tokens += completion.cached_tokens


async def extract_one(
    model: LanguageModel,
    reading: Reading,
    questions: QuestionSet,
    gate: int,
    calibration: Calibration | None = None,
) -> Extracted:
    """Ask about one conversation. The second part of the questions needs a level from the gate on.

    Args:
        model: answers the questions.
        reading: the conversation, prepared by the model.
        questions: what to ask.
        gate: lowest level of subjectivity at which the second part is asked.
        calibration: how closed answers are read; None: as the model answers.

    Error codes: `cut_answer` and `invalid_answer` after the last attempt, and those that the model
    reports (`time_out`, `refused`, `engine_died`, ...).
    """
    costs = _Costs()
    answer, error, confidence = None, None, None
    try:
        fields, logprobs = await _ask_first(model, reading, questions.first, costs)
        if logprobs and calibration is None:
            fields["subjectivity"] = plain_level(logprobs, gate)
        elif logprobs and calibration is not None:
            fields["subjectivity"], confidence = calibration.level(logprobs, gate)
        if questions.then and fields["subjectivity"] >= gate:
            found, more = await _ask_all(model, reading, questions.then, costs)
            fields |= found
            if more:
                fields["response_type"] = _response({**logprobs, **more}, calibration)
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
        confidence=confidence if error is None else None,
        labels_dropped=costs.repairs["label_dropped"],
        lists_cut=costs.repairs["list_cut"],
    )


async def read_fully(
    model: LanguageModel, reading: Reading, questions: QuestionSet
) -> tuple[Extracted, dict[str, tuple[float, ...]]]:
    """Ask everything about one conversation, whatever its level; for labelled ones.

    Returns:
        The answer as the model gives it, and the log-probabilities of its closed answers.
    """
    costs = _Costs()
    answer, error, logprobs = None, None, {}
    try:
        fields, logprobs = await _ask_first(model, reading, questions.all, costs)
        if logprobs:
            fields["subjectivity"] = plain_level(logprobs, SUBJECTIVE_FROM)
            fields["response_type"] = plain_response(logprobs)
        answer = _answer(fields, reading)
    except ModelFailure as failure:
        error, logprobs = failure.code, {}
    return Extracted(
        answer,
        error,
        prompt_tokens=costs.prompt_tokens,
        output_tokens=costs.output_tokens,
        truncated_share=reading.truncated_share,
        cached_tokens=costs.cached_tokens,
    ), logprobs


def _response(
    logprobs: Mapping[str, tuple[float, ...]], calibration: Calibration | None
) -> ResponseType:
    return calibration.response_type(logprobs) if calibration else plain_response(logprobs)


async def _ask_first(
    model: LanguageModel, reading: Reading, questions: Sequence[Question], costs: _Costs
) -> tuple[dict[str, Any], dict[str, tuple[float, ...]]]:
    """As `_ask_all`, of a conversation that the engine has not seen: one question goes ahead.

    It puts the conversation into the engine's prefix cache, where the others find it.
    """
    fields, logprobs = await _ask_all(model, reading, questions[:1], costs)
    more_fields, more_logprobs = await _ask_all(model, reading, questions[1:], costs)
    return fields | more_fields, logprobs | more_logprobs


async def _ask_all(
    model: LanguageModel, reading: Reading, questions: Sequence[Question], costs: _Costs
) -> tuple[dict[str, Any], dict[str, tuple[float, ...]]]:
    """Ask concurrently; the fields of open answers, and the log-probabilities of closed ones."""
    fields: dict[str, Any] = {}
    logprobs: dict[str, tuple[float, ...]] = {}
    asked = await asyncio.gather(
        *(_ask(model, reading, question, costs) for question in questions), return_exceptions=True
    )
    for question, found in zip(questions, asked, strict=True):
        if isinstance(found, BaseException):
            raise found
        if question.codes:
            logprobs[question.name] = found[1]
        else:
            fields |= found[0]
    return fields, logprobs


async def _ask(
    model: LanguageModel, reading: Reading, question: Question, costs: _Costs
) -> tuple[dict[str, Any], tuple[float, ...]]:
    """Fields of the answer, and the log-probabilities of the codes of a closed question."""
    code = ""
    for attempt in range(ATTEMPTS):
        completion = await model.ask(reading, question, attempt)
        costs.add(completion)
        try:
            fields = parse(_written(completion, question, costs), question, costs.repairs)
            return fields, completion.code_logprobs or _as_given(question, fields)
        except InvalidAnswer:
            code = "cut_answer" if completion.cut else "invalid_answer"
    raise ModelFailure(code)


def _written(completion: Completion, question: Question, costs: _Costs) -> str:
    """The text of an answer; where it was cut, unlike JSON, lines may look whole."""
    if not (completion.cut and question.lines):
        return completion.text
    kept = without_end(completion.text, question.lines)
    if not kept:
        raise InvalidAnswer
    costs.repairs["list_cut"] += 1
    return kept


def _as_given(question: Question, fields: Mapping[str, Any]) -> tuple[float, ...]:
    """Log-probabilities that stand for an answer without any: the code that was given."""
    others = max(len(question.codes) - 1, 1)
    given = fields.get(question.name)
    return tuple(
        math.log(GIVEN if code == given else (1 - GIVEN) / others) for code in question.codes
    )


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
    found: Sequence[dict[str, Any] | str], messages: Sequence[Message], role: str
) -> tuple[Value, ...]:
    """Values of one speaker, each label once. A quote is reduced to `grounded` and not kept.

    A label that comes without `explicit` is explicit if the speaker uses its words.
    """
    spoken = _plain(" ".join(message.content for message in messages if message.role == role))
    starts = {word[:STEM] for word in spoken.split()}
    values: dict[str, Value] = {}
    for named in found:
        value: Mapping[str, Any] = {"label": named} if isinstance(named, str) else named
        quote = value.get("quote")
        values.setdefault(
            value["label"],
            Value(
                label=value["label"],
                explicit=value.get("explicit", _says(starts, value["label"])),
                grounded=None if quote is None else _stands_in(_plain(quote), spoken),
                salience=value.get("salience"),
            ),
        )
    return tuple(values.values())


def _says(starts: Set[str], label: str) -> bool:
    """Whether a speaker uses all words of a label, in whatever form; short words do not count."""
    words = [word for word in _plain(label).split() if len(word) >= STEM - 1]
    return bool(words) and all(word[:STEM] in starts for word in words)


def _stands_in(quote: str, spoken: str) -> bool:
    if quote.isascii():  # match whole words; other scripts may not separate words
        quote, spoken = f" {quote} ", f" {spoken} "
    return bool(quote.strip()) and quote in spoken


def _plain(text: str) -> str:
    """Letters and digits only, case-folded, one space between words: the form quotes compare in."""
    return " ".join(re.sub(r"[\W_]+", " ", text.casefold()).split())
