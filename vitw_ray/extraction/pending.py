"""Finds the rows that have no answer yet, before an actor is started for them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitw_ray import cluster
from vitw_ray.extraction.assemble import Decided, answer_keys, as_conversations
from vitw_ray.extraction.committed import find_answers, segments_of
from vitw_ray.extraction.screen.audit import is_audited
from vitw_ray.extraction.segments import AnswerFolder, places_of
from vitw_ray.progress import Progress
from vitw_ray.run_folder import read_part
from vitw_ray.stages import StageContext

_READ = ("conversation_id", "messages")


@dataclass(frozen=True)
class Pending:
    """Positions, in each part, of the conversations that have no answer or a failed one.

    Attributes:
        rows: those that are to be answered.
        left_out: those that a screen has left out.
    """

    rows: list[Sequence[int]]
    left_out: list[Sequence[int]]


def pending_rows(
    context: StageContext, answers: AnswerFolder, key: str, decided: Decided | None = None
) -> Pending:
    """Find them. Without any answer nothing is read.

    Args:
        context: the stage.
        answers: of the reader.
        key: of the reader.
        decided: by a screen, if there is one.
    """
    table = context.tables["conversations"]
    found = Pending([range(part.rows) for part in table.files], [()] * len(table.files))
    if not answers.is_new or decided is not None:
        finder = Finder(context, answers, key, decided)
        units = [{"part": number} for number in range(len(table.files))]
        with Progress("extractions: looks for answers that are there", table.rows) as progress:
            for part, rows, left_out in cluster.stream(units, finder):
                progress.add(table.files[part].rows)
                found.rows[part], found.left_out[part] = rows, left_out
    return found


class Finder:
    """Finds the pending rows of one part."""

    def __init__(
        self,
        context: StageContext,
        answers: AnswerFolder,
        key: str,
        decided: Decided | None = None,
    ) -> None:
        self.storage, self.keyed = context.storage, context.keyed
        self.parts = context.tables["conversations"].files
        self.answers, self.decided, self.key = answers, decided, key.encode()

    def __call__(self, unit: cluster.Unit) -> tuple[int, np.ndarray, np.ndarray]:
        """The part that the unit names, its rows to be answered, and those that are left out."""
        part = self.parts[unit["part"]]
        ids = read_part(self.storage, part, ["conversation_id"])
        places = places_of(ids["conversation_id"].to_pylist())
        if self.decided is None and not segments_of(self.answers, places):
            everything = np.arange(part.rows, dtype=np.int32)
            return unit["part"], everything, everything[:0]
        table = read_part(self.storage, part, _READ)
        keys = answer_keys(self.keyed, self.key, as_conversations(table))
        found = np.flatnonzero(find_answers(self.answers, keys, places).unanswered)
        found = found.astype(np.int32)
        out = np.zeros(len(found), bool)
        if self.decided is not None:
            wanted = [keys[n] for n in found]
            audited = np.array([is_audited(self.keyed, key) for key in wanted], bool)
            out = ~find_answers(self.decided.answers, wanted, places[found]).missing & ~audited
        return unit["part"], found[~out], found[out]
