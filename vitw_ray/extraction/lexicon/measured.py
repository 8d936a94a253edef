"""Turns -> situation, signals, evidence, and the reading of the heads."""

from collections.abc import Mapping, Sequence

from vitw_ray.extraction.lexicon.evidence import Turn
from vitw_ray.extraction.lexicon.features import Measure, Reading
from vitw_ray.extraction.lexicon.judgement import Judge
from vitw_ray.extraction.lexicon.signals import read_replies, read_signals
from vitw_ray.extraction.lexicon.situation import Catalogue, Situation
from vitw_ray.extraction.lexicon.vocabulary import Speaker, Vocabulary
from vitw_ray.extraction.lexicon.words import WordVectors
from vitw_ray.inference.embedder import Embedder


class Meter:
    """Measures conversations; knows the vocabulary, and nothing that was learned but words."""

    def __init__(
        self, vocabulary: Vocabulary, rarity: Mapping[str, float], embedder: Embedder
    ) -> None:
        """Embed tasks and words (takes seconds)."""
        self._catalogue = Catalogue(vocabulary, embedder)
        self._judge = Judge(vocabulary)
        self._measure = Measure(vocabulary, WordVectors(rarity, embedder))

    def measured(self, turns: Sequence[Turn]) -> tuple[Situation, Mapping[str, float], Reading]:
        """What the heads read, and what it was made of."""
        situation = self._catalogue.situation(turns)
        replies = read_replies(turns)
        signals = read_signals(turns, situation, replies)
        chances: dict[Speaker, Mapping[int, float]] = {
            "assistant": self._judge.ai_values(turns, situation, signals),
            "user": self._judge.human_values(turns, situation),
        }
        reading = self._measure.reading(turns, situation, replies, signals, chances)
        return situation, signals, reading
