"""How many conversations a certificate may read, so that it stays within its share of the tokens.

Before anything is read, the cost of each way is estimated from what the run itself spent: its
tokens per request, and how many requests each way makes without a gate. The dearest way then reads
a few conversations, which corrects the estimate of all. The ways are read one after another, the
dearest first; if one costs more, the sample shrinks for the rest. Every way reads the beginning of
one list, so the conversations that all have read are known.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from vitw_ray.config import ExtractionConfig
from vitw_ray.errors import ConfigError
from vitw_ray.extraction.questions import questions_for
from vitw_ray.extractor_kinds import EXTRACTORS

CHARS_PER_TOKEN = 4  # of English prompts
MARGIN = 1.1  # ours: answers and retries vary
PILOT = 50  # ours: conversations that show what the dearest way costs
FEWEST = 50  # ours: with fewer conversations hardly any headline can be told
CALIBRATION_TOKENS = 64 * 300  # conversations of the calibration set, and tokens of each


@dataclass(frozen=True)
class Spent:
    """What the run spent on its reader."""

    conversations: int
    subjective: int
    prompt_tokens: int
    output_tokens: int

    @property
    def tokens(self) -> int:
        """Read and written."""
        return self.prompt_tokens + self.output_tokens


@dataclass(frozen=True)
class Cost:
    """Tokens of one way: once, and for each conversation."""

    once: float
    each: float


def cost_of(spent: Spent, own: ExtractionConfig, way: ExtractionConfig) -> Cost:
    """Estimate what a reading costs, `way` being its settings; a reader without a model is free."""
    if not EXTRACTORS[way.extractor].has_model:
        return Cost(0.0, 0.0)
    asked = questions_for(way).all
    around = sum(len(question.before) + len(question.after) for question in asked) / CHARS_PER_TOKEN
    if not EXTRACTORS[own.extractor].has_model:
        transcript, written = spent.prompt_tokens / max(spent.conversations, 1), 40.0 * len(asked)
    else:
        transcript, written = _per_request(spent, own)
        written *= len(asked)
    each = len(asked) * transcript + around + written
    once = CALIBRATION_TOKENS * len(asked) if way.questions == "short" else 0
    return Cost(once, each)


def _per_request(spent: Spent, own: ExtractionConfig) -> tuple[float, float]:
    """Tokens of a transcript and of an answer, as the run had them."""
    questions = questions_for(own)
    then = spent.subjective * len(questions.then)
    requests = max(spent.conversations * len(questions.first) + then, 1)
    shares = ((questions.first, 1.0), (questions.then, spent.subjective / spent.conversations))
    around = sum(
        share * sum(len(q.before) + len(q.after) for q in part) / CHARS_PER_TOKEN
        for part, share in shares
    )
    per_conversation = max(spent.prompt_tokens / spent.conversations - around, 0.0)
    transcript = max(per_conversation * spent.conversations / requests, 16.0)
    full = 2.0 if own.questions == "one_pass" else 1.0  # most answers end at the level
    return transcript, full * spent.output_tokens / requests


@dataclass
class Budget:
    """What is left to spend, and how many conversations the ways that follow may read.

    Attributes:
        tokens: that may be spent.
        most: conversations that may still be read by all; it falls once something was read.
        sample: conversations that the ways that follow read.
        used: tokens that were spent.
        factor: what conversations cost over what was estimated.
    """

    tokens: float
    most: int
    sample: int = 0
    used: float = 0.0
    factor: float = MARGIN

    def fit(self, costs: Sequence[Cost]) -> int:
        """The sample with which the rest of the ways stay within the budget."""
        once, each = (sum(getattr(cost, name) for cost in costs) for name in ("once", "each"))
        self.sample = self.most
        if each:
            left = self.tokens - self.used - once
            self.sample = max(min(self.most, int(left / (each * self.factor))), 0)
        return self.sample

    def correct(self, cost: Cost, conversations: int, tokens: int) -> None:
        """Learn from a pilot what conversations cost; its answers are used again."""
        if conversations and cost.each:
            self.factor = MARGIN * tokens / (conversations * cost.each)

    def spend(self, cost: Cost, tokens: int) -> None:
        """Count a reading; what it cost more than estimated, the others will too."""
        self.used += tokens + cost.once
        if self.sample and cost.each:
            self.factor = max(self.factor, tokens / (self.sample * cost.each))
        self.most = self.sample

    def refuse_few(self, share: float) -> None:
        """Refuse a sample from which nothing could be told.

        Raises:
            ConfigError: the budget allows fewer than `FEWEST` conversations.
        """
        if self.sample < FEWEST:
            raise ConfigError(
                f"--budget {share:g} of the run's tokens is enough for {self.sample} conversations,"
                f" and fewer than {FEWEST} can tell nothing",
                "raise --budget, or certify a longer run",
            )


def with_way(own: ExtractionConfig, settings: dict[str, object]) -> ExtractionConfig:
    """The settings of a way as a configuration."""
    changes = {**settings, "screen": False, "screen_heads": None}
    return replace(own, **changes)  # pyright: ignore[reportArgumentType]
