"""Finds the rows that have no answer yet, before an actor is started for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vitw_ray import cluster
from vitw_ray.extraction.assemble import Decided, answer_keys, as_conversations
from vitw_ray.extraction.screen.audit import is_audited
from vitw_ray.extraction.segments import AnswerIndex, as_keys
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
    context: StageContext, index: AnswerIndex, key: str, decided: Decided | None = None
) -> Pending:
    """Find them. Without any answer nothing is read.

    Args:
        context: the stage.
        index: the reader's answers.
        key: of the reader.
        decided: by a screen, if there is one.
    """
    table = context.tables["conversations"]
    found = Pending([range(part.rows) for part in table.files], [()] * len(table.files))
    if not index.failed.all() or decided is not None:
        finder = _Finder(context, cluster.put_shared((index, decided)), key)
        units = [{"part": number} for number in range(len(table.files))]
        with Progress("extractions: looks for answers that are there", table.rows) as progress:
            for part, rows, left_out in cluster.stream(units, finder):
                progress.add(table.files[part].rows)
                found.rows[part], found.left_out[part] = rows, left_out
    return found


class _Finder:
    """Finds the pending rows of one part."""

    def __init__(self, context: StageContext, shared: Any, key: str) -> None:
        self.storage, self.keyed = context.storage, context.keyed
        self.parts = context.tables["conversations"].files
        self.shared, self.key = [shared], key.encode()

    def __call__(self, unit: cluster.Unit) -> tuple[int, np.ndarray, np.ndarray]:
        table = read_part(self.storage, self.parts[unit["part"]], _READ)
        keys = answer_keys(self.keyed, self.key, as_conversations(table))
        index, decided = cluster.get_shared(self.shared[0])
        found = unanswered(index, keys).astype(np.int32)
        out = np.zeros(len(found), bool)
        if decided is not None:
            wanted = [keys[n] for n in found]
            audited = [is_audited(self.keyed, key) for key in wanted]
            out = (decided.index.find(as_keys(wanted)) >= 0) & ~np.array(audited, bool)
        return unit["part"], found[~out], found[out]


def unanswered(index: AnswerIndex, keys: Sequence[bytes]) -> np.ndarray:
    """Positions of the keys that have no answer, or a failed one."""
    places = index.find(as_keys(keys))
    return np.flatnonzero([place < 0 or index.failed[place] for place in places])
