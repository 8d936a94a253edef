"""The `simulated` extractor: random answers at no cost, for benchmarks and dry runs.

An answer depends only on the messages: their hash is the seed. Rates are the published ones, label
frequencies are proportional to 1/rank, and each task favours three labels, so that later stages get
realistic data. An answer contains no information about the conversation.
"""

import hashlib
import os
import secrets
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any

from vitw_ray.config import ExtractionConfig, RunConfig
from vitw_ray.extraction.answers import Answer, Extracted, Value
from vitw_ray.facets import RESPONSE_TYPES
from vitw_ray.records import Conversation, Message

CALL_LOG = "VITW_RAY_CALL_LOG"
BATCH_ROWS = 32  # conversations per batch (ours: the most that a kill can lose)


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(text.strip().replace("\n", "; ").split("; "))


TASKS = _phrases(
    """
answer a factual question; answer a health question; assess a business idea; book a journey
brainstorm names; build a budget; check a contract for pitfalls; comment on a poem
compare two products; compose a song; convert data between formats; debate a policy
debug a program; describe a painting; design a database; design a game; discuss a moral dilemma
discuss a novel; draft a cover letter; draft a speech; edit an essay; evaluate a job offer
explain a legal term; explain a theorem; find a gift; give career advice; give parenting advice
give relationship advice; help with grief; interpret a dream; learn a language
make a study plan; optimise a query; organise an event; outline a thesis; plan a garden
plan a menu; plan a trip; plan a workout; play a character; practise an interview
prepare a lesson; prepare a negotiation; prove a statement; reflect on a conflict; review code
rewrite an email; set up a server; solve an equation; suggest a hobby; summarise an article
support somebody under stress; talk about history; talk about religion; translate a letter
weigh a purchase; write a review; write a screenplay; write a short story; write marketing copy
"""
)

LABELS = _phrases(  # in the order of their frequency
    """
helpfulness; professionalism; transparency; clarity; thoroughness; efficiency; authenticity
technical excellence; accuracy; analytical rigor; adaptability; intellectual honesty
accessibility; pragmatism; precision; academic rigor; responsibility; service orientation
intellectual rigor; clear communication; technical precision; objectivity; user experience
empathy; honesty; practical utility; user autonomy; practicality; accountability
systematic organization; inclusivity; reliability; educational clarity; academic integrity
cultural sensitivity; collaboration; simplicity; harm prevention; personal growth
attention to detail; educational value; fairness; effectiveness; emotional authenticity
organization; code quality; safety; ethical boundaries; creativity; privacy
balanced perspective; user empowerment; epistemic humility; professional boundaries
independence; social responsibility; risk management; cultural respect; scientific rigor
legal compliance; family; strategic thinking; work-life balance; proactiveness
intellectual curiosity; sustainability; thrift; user-centricity; emotional intelligence
emotional wellbeing; security consciousness; maintainability; continuous improvement
emotional support; human dignity; expertise; factual accuracy; respect; humor
knowledge sharing; personal autonomy; systematic thinking; consent; cultural preservation
loyalty; constructive feedback; ethical integrity; informed decision-making
constructive dialogue; tradition; financial prudence; evidence-based practice
community building; artistic integrity; compassion; critical thinking; constructive engagement
environmental stewardship; historical accuracy; humility; emotional validation; gratitude
healthy boundaries; privacy protection; growth mindset; originality; creative collaboration
mutual respect; patience; playfulness; child welfare; resilience; dignity; justice
artistic expression; curiosity; optimism; encouragement; moderation; human agency; ambition
open-mindedness
"""
)

# Of subjective conversations, in the order of RESPONSE_TYPES (paper, 2).
_RESPONSE_ENDS = tuple(accumulate((0.282, 0.145, 0.096, 0.066, 0.024, 0.030, 0.357)))
_LEVEL_ENDS = (0.35, 0.56, 0.86, 1.0)  # of levels 1-4: 44 % are subjective (paper, 1.1)
_LABEL_ENDS = tuple(accumulate(1 / (rank + 1) for rank in range(len(LABELS))))
_EXPLICIT_SHARE = 0.2  # ours
_FAVOURED_SHARE = 0.3  # ours: share of labels drawn from the three that a task favours
_CHARS_PER_TOKEN = 4  # ours: the usual estimate for English

# Validated once and shared by all answers, as the model is frozen.
_VALUES = tuple(
    tuple(Value(label=label, explicit=explicit) for explicit in (False, True)) for label in LABELS
)


class SimulatedExtractor:
    """Answers at once or after `simulated_seconds_per_row`; for levels 1-2, with the level only.

    Tests that count work set the environment variable VITW_RAY_CALL_LOG to a folder. Every batch
    then appends, before it answers, one line per conversation (the hash of its messages, in hex) to
    a file that no other extractor writes. A line means that work was started, not that it finished.
    """

    def __init__(self, config: ExtractionConfig) -> None:
        self._seconds_per_row = config.simulated_seconds_per_row
        self._budget_tokens = config.transcript_tokens
        folder = os.environ.get(CALL_LOG)
        self._log = Path(folder) / f"{os.getpid()}-{secrets.token_hex(4)}.txt" if folder else None

    def extract(self, conversations: Sequence[Conversation]) -> Iterable[tuple[int, Extracted]]:
        """One simulated answer per conversation, in order, batch by batch."""
        for start in range(0, len(conversations), BATCH_ROWS):
            yield from enumerate(self._batch(conversations[start : start + BATCH_ROWS]), start)

    def describe(self) -> Mapping[str, Any]:
        """The simulated time per conversation."""
        return {"seconds_per_row": self._seconds_per_row}

    def _batch(self, conversations: Sequence[Conversation]) -> list[Extracted]:
        digests = [_digest(conversation.messages) for conversation in conversations]
        if self._log and digests:
            with self._log.open("ab", buffering=0) as log:  # one write of whole lines, O_APPEND
                log.write("".join(f"{digest.hex()}\n" for digest in digests).encode())
        if self._seconds_per_row:
            time.sleep(self._seconds_per_row * len(conversations))
        return [
            self._extracted(conversation, digest)
            for conversation, digest in zip(conversations, digests, strict=True)
        ]

    def _extracted(self, conversation: Conversation, digest: bytes) -> Extracted:
        answer = _made_up(digest)
        chars = sum(len(message.content) for message in conversation.messages)
        tokens = -(-chars // _CHARS_PER_TOKEN)
        shown = min(tokens, self._budget_tokens)
        return Extracted(
            answer,
            prompt_tokens=shown,
            output_tokens=len(answer.model_dump_json(exclude_none=True)) // _CHARS_PER_TOKEN,
            truncated_share=1 - shown / tokens if tokens else 0.0,
        )


def _digest(messages: Sequence[Message]) -> bytes:
    """16 bytes that depend on the roles, the texts and the boundaries between texts."""
    digest = hashlib.blake2b(digest_size=16)
    for message in messages:
        text = message.content.encode("utf-8", "surrogatepass")
        digest.update(f"{message.role} {len(text)} ".encode() + text)
    return digest.digest()


def _made_up(digest: bytes) -> Answer:
    r = Random(int.from_bytes(digest, "big")).random
    level = 1 + bisect_right(_LEVEL_ENDS, r())
    if level < 3:
        return Answer(subjectivity=level)
    task = int(r() * len(TASKS))
    response_type = RESPONSE_TYPES[bisect_right(_RESPONSE_ENDS, r(), 0, 6)]
    human_count = 0 if response_type == "no_values" else 1 + int(r() * 3)
    return Answer(
        subjectivity=level,
        task=TASKS[task],
        human_values=_values(task, human_count, r),
        ai_values=_values(task, int(r() * 7), r),
        response_type=response_type,
    )


def _values(task: int, count: int, r: Callable[[], float]) -> tuple[Value, ...]:
    """Distinct labels: some that the task favours, the others drawn by frequency."""
    drawn: dict[int, Value] = {}
    while len(drawn) < count:
        if r() < _FAVOURED_SHARE:
            label = (7 * task + 31 * int(r() * 3)) % len(LABELS)
        else:
            label = bisect_right(_LABEL_ENDS, r() * _LABEL_ENDS[-1], 0, len(LABELS) - 1)
        drawn.setdefault(label, _VALUES[label][r() < _EXPLICIT_SHARE])
    return tuple(drawn.values())


def make_extractor(config: RunConfig) -> SimulatedExtractor:
    """The extractor of a run."""
    return SimulatedExtractor(config.extraction)
