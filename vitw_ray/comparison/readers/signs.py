"""Signs that a reader does not read: its answers hardly depend on the conversation.

`signs` is all that the leaderboard asks of this module.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vitw_ray.agreement.estimates import MISSING
from vitw_ray.comparison.readers.compared import spelling
from vitw_ray.comparison.readers.readings import CLOSED, Reading
from vitw_ray.intervals import wilson

LEAST = 20  # ours: with fewer answers a share says nothing
CONSTANT_SHARE = 0.80  # ours: 20 equal answers of 20 pass it; people give one at most 0.6
EMPTY_SHARE = 0.10  # ours: people find an AI value in nearly every subjective conversation
TASK_SHARE = 0.10  # ours: tasks of real conversations differ
LABEL_SHARE = 0.50  # ours: the paper's most frequent AI value is in 23 % (1.4)
REPEATED_SHARE = 0.05  # ours: a label twice in one list is a loop of the decoder


@dataclass(frozen=True, slots=True)
class Sign:
    """A share of `answers` answers whose 95 % interval lies above a limit.

    It names no label and no task: they may be private.
    """

    name: str
    facet: str
    share: float
    limit: float
    answers: int


def signs(reading: Reading) -> list[Sign]:
    """All signs that a reading shows."""
    return [
        sign
        for sign in _all(reading)
        if sign.answers >= LEAST and wilson(sign.share * sign.answers, sign.answers)[0] > sign.limit
    ]


def _all(reading: Reading) -> Iterator[Sign]:
    for facet in CLOSED:
        codes = reading.codes[facet.name]
        codes = codes[codes != MISSING]
        if codes.size:
            share = float(np.bincount(codes).max() / codes.size)
            yield Sign("one_answer", facet.name, share, CONSTANT_SHARE, codes.size)
    rows = np.flatnonzero(reading.subjective)
    tasks = [task for n in rows if (task := reading.tasks[n]) is not None]
    yield Sign("one_task", "task", _commonest(tasks), TASK_SHARE, len(tasks))
    for facet, lists in reading.labels.items():
        of_rows = [[spelling(label) for label in lists[n]] for n in rows]
        labels = [label for found in of_rows for label in set(found)]
        if facet == "ai_values":  # a user may bring no value at all
            empty = sum(not found for found in of_rows) / max(len(of_rows), 1)
            yield Sign("empty_lists", facet, empty, EMPTY_SHARE, len(of_rows))
        filled = [found for found in of_rows if found]
        often = _commonest(labels) * len(labels) / max(len(filled), 1)
        yield Sign("one_label", facet, often, LABEL_SHARE, len(filled))
        repeated = sum(len(set(found)) < len(found) for found in filled) / max(len(filled), 1)
        yield Sign("repeated_labels", facet, repeated, REPEATED_SHARE, len(filled))


def _commonest(answers: Sequence[str]) -> float:
    """Share of the most frequent answer."""
    return max(Counter(answers).values(), default=0) / max(len(answers), 1)
