"""In the actor: the head reads first, and says which conversations the model need not read.

What was screened out is committed before the model reads the rest of the unit, so that an audited
conversation never has an answer without its decision. A decision is a function of the conversation
alone; a conversation that was not screened out before a restart is not screened out after it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from vitw_ray import cluster
from vitw_ray.extraction.answers import Answer, Extracted
from vitw_ray.extraction.screen.audit import is_audited
from vitw_ray.extraction.screen.features import features_of
from vitw_ray.extraction.screen.head import Head
from vitw_ray.extraction.screen.ranges import Ranges, in_sample
from vitw_ray.extraction.screen.stored import decided_folder
from vitw_ray.extraction.segments import SegmentWriter, as_keys, read_index
from vitw_ray.inference.embedder import load_embedder
from vitw_ray.keys import Keyed
from vitw_ray.records import Conversation
from vitw_ray.storage import Storage

OBJECTIVE = 2  # the level of a screened conversation (paper, A.2: mostly objective)
COMMIT_ROWS, COMMIT_SECONDS = 4096, 3600.0  # ours: in effect one segment a unit


@dataclass(frozen=True, kw_only=True)
class Screening:
    """What an actor needs to screen. Sent to actors.

    Attributes:
        folder: of the screen, in the run folder.
        head: whose score decides.
        threshold: conversations below it are screened out.
        embedder: name of the embedder that computes the features.
        level: the subjectivity that a screened conversation gets, below the gate.
        sample: rows that the model reads in any case.
    """

    folder: str
    head: Head
    threshold: float
    embedder: str
    level: int
    sample: Ranges


class Screener:
    """Holds the embedder and the head. Thread-safe."""

    def __init__(self, screening: Screening, storage: Storage, keyed: Keyed, epoch: int) -> None:
        self._screening, self._keyed = screening, keyed
        decided = decided_folder(screening.folder)
        self._decided = read_index(storage, decided)  # also from before a restart
        self._storage, self._epoch = storage, epoch
        self._embedder = load_embedder(screening.embedder)

    def for_the_model(
        self,
        unit: cluster.Unit,
        keys: Sequence[bytes],
        conversations: Sequence[Conversation],
        wanted: Sequence[int],
    ) -> list[int]:
        """Screen a unit; commits what is screened out.

        Args:
            unit: its rows.
            keys: of its answers.
            conversations: of it.
            wanted: positions of those that have no answer yet.

        Returns:
            Positions that the model is to read: not screened out, or audited.
        """
        known = self._decided.find(as_keys(keys)) >= 0
        rows = range(unit["start"], unit["stop"])
        sampled = in_sample(self._screening.sample, unit["part"], rows)
        new = [n for n in wanted if not (known[n] or sampled[n])]
        out = {n for n in wanted if known[n]} | self._screen_out(keys, conversations, new)
        return [n for n in wanted if n not in out or is_audited(self._keyed, keys[n])]

    def _screen_out(
        self, keys: Sequence[bytes], conversations: Sequence[Conversation], new: Sequence[int]
    ) -> set[int]:
        features = features_of(self._embedder, [conversations[n] for n in new])
        scores = self._screening.head.scores(features)[:, 0]
        below = [
            n for n, score in zip(new, scores, strict=True) if score < self._screening.threshold
        ]
        answer = Extracted(Answer(subjectivity=self._screening.level))
        segment = SegmentWriter(
            self._storage,
            decided_folder(self._screening.folder),
            self._epoch,
            COMMIT_ROWS,
            COMMIT_SECONDS,
        )
        for n in below:
            segment.add(keys[n], answer)
        segment.commit()
        return set(below)


def objective_level(subjective_from: int) -> int:
    """The level of a screened conversation: mostly objective, and in any case below the gate."""
    return min(OBJECTIVE, subjective_from - 1)
