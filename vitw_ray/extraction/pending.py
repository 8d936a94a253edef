"""Finds the rows that have no answer yet, before an actor is started for them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from vitw_ray import cluster
from vitw_ray.extraction.assemble import answer_keys, as_conversations
from vitw_ray.extraction.segments import AnswerIndex, as_keys
from vitw_ray.progress import Progress
from vitw_ray.run_folder import read_part
from vitw_ray.stages import StageContext

_READ = ("conversation_id", "messages")


def pending_rows(context: StageContext, index: AnswerIndex, key: str) -> list[Sequence[int]]:
    """Positions, in each part, of the conversations that have no answer or a failed one.

    Without any answer nothing is read.
    """
    table = context.tables["conversations"]
    pending: list[Sequence[int]] = [range(part.rows) for part in table.files]
    if not index.failed.all():
        finder = _Finder(context, cluster.put_shared(index), key)
        units = [{"part": number} for number in range(len(pending))]
        with Progress("extractions: looks for answers that are there", table.rows) as progress:
            for part, rows in cluster.stream(units, finder):
                progress.add(len(pending[part]))
                pending[part] = rows
    return pending


class _Finder:
    """Finds the pending rows of one part."""

    def __init__(self, context: StageContext, index: Any, key: str) -> None:
        self.storage, self.keyed = context.storage, context.keyed
        self.parts = context.tables["conversations"].files
        self.index, self.key = [index], key.encode()

    def __call__(self, unit: cluster.Unit) -> tuple[int, np.ndarray]:
        table = read_part(self.storage, self.parts[unit["part"]], _READ)
        keys = answer_keys(self.keyed, self.key, as_conversations(table))
        found = unanswered(cluster.get_shared(self.index[0]), keys)
        return unit["part"], found.astype(np.int32)


def unanswered(index: AnswerIndex, keys: Sequence[bytes]) -> np.ndarray:
    """Positions of the keys that have no answer, or a failed one."""
    places = index.find(as_keys(keys))
    return np.flatnonzero([place < 0 or index.failed[place] for place in places])
