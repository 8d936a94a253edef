"""Tokens and requests of a conversation, from some that are rendered through the run's prompts.

The conversations that are counted give tokens per character; all conversations that were looked at
give characters. A conversation beyond `--transcript-tokens` counts as what is left of it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from vitw_ray.config import ExtractionConfig
from vitw_ray.extraction.questions import QuestionSet
from vitw_ray.forecast.counting import Estimate, Z, mean
from vitw_ray.forecast.looking import Looked
from vitw_ray.inference.question import Question, closing, conversation_text, opening
from vitw_ray.inference.token_counts import PromptTokens
from vitw_ray.inference.transcript import estimate, transcript
from vitw_ray.records import Message

COUNTED = 64  # ours: conversations that are rendered and counted
SUBJECTIVE = 0.44  # the paper, 1.2: 308,210 of 700,000 conversations
TEMPLATE_TOKENS = 20  # ours: of a chat template, where no tokenizer counts it
WRITTEN: Mapping[tuple[str, str], float] = {
    ("short", "json"): 53.1,
    ("short", "lines"): 29.2,
    ("one_pass", "json"): 116.0,
    ("one_pass", "lines"): 37.8,
    ("separate", "json"): 118.0,
    ("separate", "lines"): 34.9,
}
"""Tokens of all answers about a subjective conversation, as a good reader would write them:
labelled answers in Qwen's tokenizer (`benchmarks/results/answers-quick.json`)."""
LEVEL_JSON, LEVEL_LINE = 8, 2  # ours: tokens of an answer that is a level alone


class Counter(Protocol):
    """Counts the tokens of questions about a conversation."""

    def count(
        self, messages: Sequence[Message], questions: Sequence[Question], *, is_new: bool = True
    ) -> PromptTokens:
        """See `PromptCounter.count`."""
        ...


class RoughCounter:
    """Where no tokenizer is at hand: a quarter of the bytes are tokens."""

    def __init__(self, config: ExtractionConfig) -> None:
        self._budget = config.transcript_tokens

    def count(
        self, messages: Sequence[Message], questions: Sequence[Question], *, is_new: bool = True
    ) -> PromptTokens:
        """Estimate, as if the conversation and all heads were kept in the prefix cache."""
        cut = transcript(messages, self._budget, estimate)
        body = estimate(conversation_text(cut.messages))
        prompt = computed = 0
        for question in questions:
            head = estimate(opening(question)) + TEMPLATE_TOKENS
            tail = estimate(closing(question) + question.opening)
            prompt += head + body + tail
            computed += tail + (body if is_new else 0)
            is_new = False
        return PromptTokens(body, prompt, computed)


@dataclass(frozen=True)
class Trial:
    """What reading some conversations with the real reader showed.

    Attributes:
        rows: conversations that were read.
        failed: of them, without an answer.
        subjective: of them, at or above the gate.
        start_s: seconds until the reader was ready.
        check_s: seconds for the calibration set; 0 if it is not read.
        seconds: for the rows.
        prompt_tokens: that were sent, second attempts included.
        output_tokens: that were written.
        expected_prompt: what would be sent without second attempts.
        expected_computed: of that, what an engine computes.
        problem: why a run with this reader would stop.
    """

    rows: int
    failed: int
    subjective: int
    start_s: float
    check_s: float
    seconds: float
    prompt_tokens: int
    output_tokens: int
    expected_prompt: float
    expected_computed: float
    problem: str | None = None

    @property
    def share(self) -> float:
        """Of subjective conversations."""
        return self.subjective / self.rows

    @property
    def repeats(self) -> float:
        """Tokens sent over tokens sent if no question had to be asked twice."""
        return self.prompt_tokens / self.expected_prompt if self.expected_prompt else 1.0


@dataclass(frozen=True)
class PerConversation:
    """Means over the conversations of an input.

    Attributes:
        prompt: tokens that are sent.
        computed: of them, tokens that an engine computes.
        answer: tokens that it writes.
        requests: question -> share of conversations about which it is asked.
        counted: conversations whose tokens were counted.
        spread: standard deviation over mean of a conversation's computed tokens.
        share: of subjective conversations.
    """

    prompt: Estimate
    computed: Estimate
    answer: Estimate
    requests: Mapping[str, float]
    counted: int
    spread: float
    share: float


def per_conversation(
    looked: Looked,
    config: ExtractionConfig,
    questions: QuestionSet,
    counter: Counter,
    trial: Trial | None = None,
    counted: int = COUNTED,
) -> PerConversation:
    """Count some conversations, and carry over to all that were looked at.

    Args:
        looked: the input.
        config: how the reader is asked.
        questions: of the run.
        counter: of tokens.
        trial: replaces the assumed answers by those of the reader.
        counted: conversations to count, at most.
    """
    examples = looked.examples(counted)
    bodies = [counter.count(messages, ()).body for messages in examples]
    body = _body(looked, examples, bodies, config.transcript_tokens)
    assumed = SUBJECTIVE if config.subjective_from > 1 else 1.0
    share = trial.share if trial else assumed
    share_margin = Z * math.sqrt(share * (1 - share) / trial.rows) if trial else 0.0
    empty: Sequence[Message] = ()
    first = counter.count(empty, questions.first)
    then = counter.count(empty, questions.then, is_new=False)
    asked = len(questions.first) + share * len(questions.then)
    prompt = first.prompt + share * then.prompt + asked * body.value
    repeats = trial.repeats if trial else 1.0
    per_then = then.prompt + len(questions.then) * body.value
    computed = first.computed + share * then.computed + body.value
    return PerConversation(
        prompt=Estimate(
            repeats * prompt,
            repeats * math.hypot(asked * body.margin, share_margin * per_then),
        ),
        computed=Estimate(repeats * computed, repeats * body.margin),
        answer=_answer(config, questions, share, trial),
        requests={
            **dict.fromkeys((question.name for question in questions.first), 1.0),
            **dict.fromkeys((question.name for question in questions.then), share),
        },
        counted=len(examples),
        spread=_spread(bodies, computed),
        share=share,
    )


def expected(
    counter: Counter, messages: Sequence[Message], questions: QuestionSet, subjective: bool
) -> tuple[int, int]:
    """Tokens of the prompts about one conversation, and of these what is computed."""
    first = counter.count(messages, questions.first)
    if not subjective or not questions.then:
        return first.prompt, first.computed
    then = counter.count(messages, questions.then, is_new=False)
    return first.prompt + then.prompt, first.computed + then.computed


def _body(
    looked: Looked, examples: Sequence[Sequence[Message]], bodies: Sequence[int], budget: int
) -> Estimate:
    """Mean tokens of a conversation, as far as a prompt holds it."""
    chars = [_chars(messages) for messages in examples]
    if not sum(chars):
        return Estimate(0.0)
    whole = [(n, tokens) for n, tokens in zip(chars, bodies, strict=True) if tokens < 0.9 * budget]
    in_whole, tokens = (sum(values) for values in zip(*whole, strict=True)) if whole else (0, 0)
    most = budget * in_whole / tokens if tokens else max(chars)  # characters that a prompt holds
    held = [min(n, most) for n in chars]
    ratio = sum(bodies) / sum(held)
    if looked.complete and len(examples) == len(looked.columns):
        return Estimate(sum(bodies) / len(bodies))
    errors = [tokens - ratio * n for tokens, n in zip(bodies, held, strict=True)]
    unseen = 1 - len(examples) / len(looked.columns) if looked.complete else 1.0
    of_ratio = math.sqrt(unseen * sum(e * e for e in errors) / max(len(errors) - 1, 1))
    lengths = mean(looked, lambda columns: min(_length(columns), most))
    of_ratio *= Z / math.sqrt(len(errors)) * lengths.value / (sum(held) / len(held))
    return Estimate(ratio * lengths.value, math.hypot(of_ratio, ratio * lengths.margin))


def _chars(messages: Sequence[Message]) -> int:
    return sum(len(message.content) for message in messages)


def _length(columns: Mapping[str, Any]) -> int:
    return int(columns["chars"])


def _answer(
    config: ExtractionConfig, questions: QuestionSet, share: float, trial: Trial | None
) -> Estimate:
    """Tokens that are written about a conversation."""
    if trial is not None:
        return Estimate(trial.output_tokens / trial.rows)
    level = LEVEL_LINE if config.answer_form == "lines" else LEVEL_JSON
    closed = sum(bool(question.codes) for question in questions.first)
    objective = closed or level
    full = WRITTEN[config.questions, config.answer_form]
    return Estimate(objective * (1 - share) + (objective * bool(closed) + full) * share)


def _spread(bodies: Sequence[int], computed: float) -> float:
    if len(bodies) < 2 or not computed:
        return 0.0
    middle = sum(bodies) / len(bodies)
    return math.sqrt(sum((b - middle) ** 2 for b in bodies) / (len(bodies) - 1)) / computed
