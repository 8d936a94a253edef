"""In the actor: the head reads first, and says which conversations the model need not read.

What was screened out is committed before the model reads the rest of the unit, so that an audited
conversation never has an answer without its decision. A decision is a function of the conversation
alone; a conversation that was not screened out before a restart is not screened out after it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitw_ray import cluster
from vitw_ray.extraction.answers import Answer, Extracted
from vitw_ray.extraction.committed import find_answers
from vitw_ray.extraction.screen.audit import is_audited
from vitw_ray.extraction.screen.features import features_of
from vitw_ray.extraction.screen.head import Head
from vitw_ray.extraction.screen.ranges import Ranges, in_sample
from vitw_ray.extraction.segments import AnswerFolder, SegmentWriter
from vitw_ray.inference.embedder import load_embedder
from vitw_ray.keys import Keyed
from vitw_ray.records import Conversation

OBJECTIVE = 2  # the level of a screened conversation (paper, A.2: mostly objective)
COMMIT_ROWS, COMMIT_SECONDS = 4096, 3600.0  # ours: in effect one segment a unit


@dataclass(frozen=True, kw_only=True)
class Screening:
    """What an actor needs to screen. Sent to actors.

    Attributes:
        decided: what was screened out.
        head: whose score decides.
        threshold: conversations below it are screened out.
        embedder: name of the embedder that computes the features.
        level: the subjectivity that a screened conversation gets, below the gate.
        sample: rows that the model reads in any case.
    """

    decided: AnswerFolder
    head: Head
    threshold: float
    embedder: str
    level: int
    sample: Ranges


class Screener:
    """Holds the embedder and the head. Thread-safe."""

    def __init__(self, screening: Screening, keyed: Keyed, epoch: int) -> None:
        self._screening, self._keyed, self._epoch = screening, keyed, epoch
        self._embedder = load_embedder(screening.embedder)

    def for_the_model(
        self,
        unit: cluster.Unit,
        keys: Sequence[bytes],
        places: np.ndarray,
        conversations: Sequence[Conversation],
        wanted: Sequence[int],
    ) -> list[int]:
        """Screen a unit; commits what is screened out.

        Args:
            unit: its rows.
            keys: of its answers.
            places: of its conversations.
            conversations: of it.
            wanted: positions of those that have no answer yet.

        Returns:
            Positions that the model is to read: not screened out, or audited.
        """
        # Also from before a restart.
        known = ~find_answers(self._screening.decided, keys, places).missing
        rows = range(unit["start"], unit["stop"])
        sampled = in_sample(self._screening.sample, unit["part"], rows)
        new = [n for n in wanted if not (known[n] or sampled[n])]
        out = {n for n in wanted if known[n]} | self._screen_out(keys, places, conversations, new)
        return [n for n in wanted if n not in out or is_audited(self._keyed, keys[n])]

    def _screen_out(
        self,
        keys: Sequence[bytes],
        places: np.ndarray,
        conversations: Sequence[Conversation],
        new: Sequence[int],
    ) -> set[int]:
        features = features_of(self._embedder, [conversations[n] for n in new])
        scores = self._screening.head.scores(features)[:, 0]
        below = [
            n for n, score in zip(new, scores, strict=True) if score < self._screening.threshold
        ]
        answer = Extracted(Answer(subjectivity=self._screening.level))
        segment = SegmentWriter(self._screening.decided, self._epoch, COMMIT_ROWS, COMMIT_SECONDS)
        for n in below:
            segment.add(keys[n], int(places[n]), answer)
        segment.commit()
        return set(below)


def objective_level(subjective_from: int) -> int:
    """The level of a screened conversation: mostly objective, and in any case below the gate."""
    return min(OBJECTIVE, subjective_from - 1)
