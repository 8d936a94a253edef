"""The extractor: transcript -> turns -> situation -> judgement, one conversation at a time."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from vitw_ray.config import ExtractionConfig, RunConfig
from vitw_ray.extraction.answers import Answer, Extracted
from vitw_ray.extraction.lexicon.evidence import read_turns
from vitw_ray.extraction.lexicon.judgement import Judge, response_type, subjectivity
from vitw_ray.extraction.lexicon.signals import read_replies, read_signals
from vitw_ray.extraction.lexicon.situation import Catalogue
from vitw_ray.extraction.lexicon.vocabulary import vocabulary
from vitw_ray.inference.embedder import Embedder, embed_unique, load_embedder
from vitw_ray.inference.transcript import estimate, transcript
from vitw_ray.records import Conversation


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
            config: Only `transcript_tokens` is used.
            device: Device of the embedder.
            embedder: Replaces all-MiniLM-L6-v2, for tests.
        """
        self._budget_tokens = config.transcript_tokens
        self._vocabulary = vocabulary()
        embedder = embedder or load_embedder("minilm", device)
        self._catalogue = Catalogue(self._vocabulary, embedder)
        labels = [value.label for value in self._vocabulary.values]
        self._judge = Judge(self._vocabulary, embed_unique(embedder, labels))

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
            situation = self._catalogue.situation(turns)
            replies = read_replies(turns)
            signals = read_signals(turns, situation, replies)
            human_values = self._judge.human_values(turns, situation)
            answer = Answer(
                subjectivity=subjectivity(turns, situation),
                task=situation.task.task,
                human_values=human_values,
                ai_values=self._judge.ai_values(turns, situation, signals),
                response_type=response_type(situation, replies, signals, bool(human_values)),
            )
            tokens = sum(estimate(message.content) for message in read.messages)
        except Exception:  # contract of an extractor: one bad row must not fail its batch
            return Extracted(None, error="lexicon_failed")
        return Extracted(answer, prompt_tokens=tokens, truncated_share=read.truncated_share)


def make_extractor(config: RunConfig) -> LexiconExtractor:
    """The extractor of a run; loads its embedder."""
    return LexiconExtractor(config.extraction, config.execution.device)
