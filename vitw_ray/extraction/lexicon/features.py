"""What is measured in one conversation, as numbers: the input of the trained heads.

Only what can be seen inside the conversation counts: nothing tells where it comes from.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vitw_ray.extraction.lexicon.evidence import Turn
from vitw_ray.extraction.lexicon.signals import Replies
from vitw_ray.extraction.lexicon.situation import Situation
from vitw_ray.extraction.lexicon.vocabulary import SPEAKERS, Speaker, Vocabulary
from vitw_ray.extraction.lexicon.words import WordVectors

ROWS = ("request", "reply", "user words", "assistant words")
_ENOUGH = 0.2  # of evidence for a value of the user, in the first guess
_MOST_HITS = 3  # ours: further phrases of a value add nothing


@dataclass(frozen=True)
class Reading:
    """Numbers by name, four unit vectors (see `ROWS`), and evidence for each value label."""

    numbers: Mapping[str, float]
    rows: np.ndarray  # shape (len(ROWS), dim)
    evidence: Mapping[Speaker, np.ndarray]  # by cues and phrases (0-1), shape (values,)
    hits: Mapping[Speaker, np.ndarray]  # phrases found, shape (values,)


class Measure:
    """Makes a `Reading` of what was found in a conversation."""

    def __init__(self, vocabulary: Vocabulary, words: WordVectors) -> None:
        self._words = words
        self._size = len(vocabulary.values)
        domains = sorted({value.domain for value in vocabulary.values})
        self._domains = {
            domain: np.array([value.domain == domain for value in vocabulary.values])
            for domain in domains
        }

    def reading(
        self,
        turns: Sequence[Turn],
        situation: Situation,
        replies: Replies,
        signals: Mapping[str, float],
        chances: Mapping[Speaker, Mapping[int, float]],
    ) -> Reading:
        """Collect the numbers; what is absent has no name, and counts as 0."""
        by_speaker: dict[Speaker, list[Turn]] = {
            speaker: [turn for turn in turns if turn.speaker == speaker] for speaker in SPEAKERS
        }
        evidence: dict[Speaker, np.ndarray] = {
            speaker: self._spread(chances[speaker]) for speaker in SPEAKERS
        }
        hits: dict[Speaker, np.ndarray] = {
            speaker: np.minimum(
                self._spread(Counter(hit.value for turn in own for hit in turn.hits)), _MOST_HITS
            )
            for speaker, own in by_speaker.items()
        }
        numbers = {f"signal {name}": value for name, value in signals.items()}
        numbers |= {f"kind {kind}": weight for kind, weight in situation.kinds.items()}
        numbers |= _of_situation(situation, replies)
        numbers |= first_guess(
            situation.interview,
            situation.harm,
            replies,
            bool(evidence["user"].max() >= _ENOUGH),
            signals.get("doubts", 0.0) > 0,
        )
        for speaker, own in by_speaker.items():
            numbers |= _of_turns(speaker, own)
            numbers |= self._of_evidence(speaker, evidence[speaker])
        words = [
            self._words.vector(turn.text for turn in by_speaker[speaker])
            for speaker in ("user", "assistant")
        ]
        rows = np.array([situation.request_row, situation.reply_row, *words])
        return Reading(numbers, rows, evidence, hits)

    def _spread(self, found: Mapping[int, float]) -> np.ndarray:
        row = np.zeros(self._size)
        row[list(found)] = list(found.values())
        return row

    def _of_evidence(self, speaker: Speaker, evidence: np.ndarray) -> dict[str, float]:
        strengths = {
            f"{speaker} evidence {domain}": 1 - float(np.prod(1 - evidence[members]))
            for domain, members in self._domains.items()
        }
        return {f"{speaker} evidence": float(evidence.max()), **strengths}


def first_guess(
    interview: bool, harm: float, replies: Replies, shows_value: bool, doubts: bool
) -> dict[str, float]:
    """A guess at the response by rules; the heads correct it."""
    if interview:
        resists = False  # an interviewer affirms
    elif replies.refuse >= 0.5:
        resists = True
    elif harm > 0.5:
        resists = replies.comply < 0.5
    elif not shows_value:
        return {}
    else:
        resists = doubts
    return {"rule resists": float(resists), "rule supports": float(not resists)}


def _of_situation(situation: Situation, replies: Replies) -> dict[str, float]:
    return {
        "harm": situation.harm,
        "harm margin": 5 * situation.harm_margin,  # cosines differ by 0.2 or so
        "level": situation.level,
        "interview": float(situation.interview),
        "harm turns": float(min(situation.harm_turns, 2)),
        "replies refuse": replies.refuse,
        "replies deflect": replies.deflect,
        "replies warn": replies.warn,
        "replies comply": replies.comply,
        "replies eager": replies.eager,
    }


def _of_turns(speaker: Speaker, own: Sequence[Turn]) -> dict[str, float]:
    count = max(len(own), 1)
    cues = Counter(cue for turn in own for cue in turn.cues)
    return {
        f"{speaker} asks": sum(turn.asks for turn in own) / count,
        **{f"{speaker} cue {cue}": found / count for cue, found in cues.items()},
    }
