"""The extractor: transcript -> turns -> situation -> numbers -> heads, one conversation a time."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from vitw_ray.config import ExtractionConfig, RunConfig
from vitw_ray.extraction.answers import Answer, Extracted, Value
from vitw_ray.extraction.lexicon.evidence import Turn, read_turns
from vitw_ray.extraction.lexicon.features import Reading
from vitw_ray.extraction.lexicon.heads import SAME_COSINE, choose, labels_of, trained
from vitw_ray.extraction.lexicon.judgement import level_of, response_type, with_explicit
from vitw_ray.extraction.lexicon.measured import Meter
from vitw_ray.extraction.lexicon.vocabulary import Speaker, vocabulary
from vitw_ray.inference.embedder import Embedder, load_embedder
from vitw_ray.inference.transcript import estimate, transcript
from vitw_ray.records import Conversation

MOST_VALUES = 6  # ours: labelled conversations have 1 to 6 values
STRICT = 1.5  # ours: about a third fewer values of the labelled conversations
FEWEST_VALUES: Mapping[Speaker, int] = {"assistant": 1, "user": 0}  # a reply shows something


class LexiconExtractor:
    """Reads conversations with a lexicon; deterministic, and independent of the batch."""

    def __init__(
        self,
        config: ExtractionConfig,
        device: Literal["cpu", "gpu"] = "cpu",
        embedder: Embedder | None = None,
    ) -> None:
        """Load the lexicon and embed it (takes seconds).

        Args:
            config: Only `transcript_tokens` and `strict` are used.
            device: Device of the embedder.
            embedder: Replaces all-MiniLM-L6-v2, for tests.
        """
        self._heads, rarity = trained()
        self._budget_tokens = config.transcript_tokens
        self._stricter = STRICT if config.strict else 1.0
        self._vocabulary = vocabulary()
        embedder = embedder or load_embedder("minilm", device)
        self._meter = Meter(self._vocabulary, rarity, embedder)
        self._names = [value.label for value in self._vocabulary.values]
        self._labels = labels_of(self._vocabulary, embedder)
        self._same = self._labels.names @ self._labels.names.T >= SAME_COSINE

    def extract(self, conversations: Sequence[Conversation]) -> Iterable[tuple[int, Extracted]]:
        """Read each conversation independently.

        Errors: `lexicon_no_text` if neither user nor assistant wrote any text, `lexicon_failed`
        after any exception.
        """
        for number, conversation in enumerate(conversations):
            yield number, self._extract_one(conversation)

    def describe(self) -> Mapping[str, Any]:
        """Size of the lexicon."""
        return {"values": len(self._vocabulary.values)}

    def _extract_one(self, conversation: Conversation) -> Extracted:
        try:
            read = transcript(conversation.messages, self._budget_tokens)
            turns = read_turns(read.messages, self._vocabulary)
            if not turns:
                return Extracted(None, error="lexicon_no_text")
            answer = self._answer(turns)
            tokens = sum(estimate(message.content) for message in read.messages)
        except Exception:  # contract of an extractor: one bad row must not fail its batch
            return Extracted(None, error="lexicon_failed")
        return Extracted(answer, prompt_tokens=tokens, truncated_share=read.truncated_share)

    def _answer(self, turns: Sequence[Turn]) -> Answer:
        situation, signals, reading = self._meter.measured(turns)
        row = self._heads.columns.row(reading)
        return Answer(
            subjectivity=level_of(self._heads.level_chances(row)),
            task=situation.task.task,
            human_values=self._values("user", turns, reading, row),
            ai_values=self._values("assistant", turns, reading, row),
            response_type=response_type(
                float(self._heads.answered(row)),
                float(self._heads.resists(row)),
                self._heads.strength(row),
                signals,
            ),
        )

    def _values(
        self, speaker: Speaker, turns: Sequence[Turn], reading: Reading, row: np.ndarray
    ) -> tuple[Value, ...]:
        if all(turn.speaker != speaker for turn in turns):
            return ()
        chances = self._heads.value_chances(speaker, reading, row, self._labels)
        cut = self._heads.values[speaker].cut * self._stricter
        positions = choose(chances, cut, MOST_VALUES, self._same, FEWEST_VALUES[speaker])
        return with_explicit(self._names, positions, turns, speaker)


def make_extractor(config: RunConfig) -> LexiconExtractor:
    """The extractor of a run; loads its embedder."""
    return LexiconExtractor(config.extraction, config.execution.device)
