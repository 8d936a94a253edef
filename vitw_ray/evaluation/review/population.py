"""The conversations of a run in cells of what may decide how well they were read.

One pass over `extractions` and `conversations`, part after part. Of each cell stay its counts and
the ids with the lowest hashes, of which a sample of any stratum of cells can be drawn.
"""

import heapq
import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vitw_ray.comparison.readers.readings import GROUP_OF
from vitw_ray.conversations.sampling import sample_hash
from vitw_ray.errors import OutputError
from vitw_ray.evaluation.review.reviewed_run import ReviewedRun
from vitw_ray.wording import plain

UNKNOWN = "unknown"
NOT_SUBJECTIVE, NO_RESPONSE = "not subjective", "no response type"
SURE = 0.8  # ours: of a confidence from 0.5 to 1
LENGTHS = ((1_000, "short"), (6_000, "medium"), (math.inf, "long"))  # ours: characters, below
BATCH_ROWS = 1024

CHARACTERS_PER_MINUTE = 1_200  # ours: about 240 English words
MINUTES_PER_CONVERSATION = 1.0  # ours: to decide and to type
LEAST_DOUBT = 0.1  # ours: a reader that is always sure errs in 1 % (standard deviation 0.1)
DOUBT_SUBJECTIVE = 0.4  # ours: an error rate of 20 %; there is more to get wrong
DOUBT_UNKNOWN = 0.3  # ours: an error rate of 10 %


class Cell(NamedTuple):
    """A combination of the properties that strata are made of, most important first."""

    answer: str
    confidence: str
    assistant: str
    language: str
    length: str


@dataclass
class CellCounts:
    """What is known of the conversations of a cell."""

    conversations: int = 0
    doubt: float = 0.0
    """Sum of the standard deviations of the reader's error that are to be expected."""
    minutes: float = 0.0
    """Sum of the time that labelling is expected to take."""
    lowest: list[tuple[int, str]] = field(default_factory=list)
    """Hash and id of those with the lowest hashes, as a heap with the highest first."""

    def add(self, identity: str, doubt: float, characters: int, seed: int, most: int) -> None:
        """Count a conversation; keep it while it is among the `most` lowest."""
        self.conversations += 1
        self.doubt += doubt
        self.minutes += MINUTES_PER_CONVERSATION + characters / CHARACTERS_PER_MINUTE
        entry = (-sample_hash(identity, seed), identity)
        if len(self.lowest) < most:
            heapq.heappush(self.lowest, entry)
        else:
            heapq.heappushpop(self.lowest, entry)


@dataclass(frozen=True)
class Population:
    """The cells of a run, and the rows that are no part of it."""

    cells: dict[Cell, CellCounts]
    left_out: dict[str, int]
    """Error code of the reader -> rows."""

    @property
    def conversations(self) -> int:
        """Conversations that were read without error."""
        return sum(counts.conversations for counts in self.cells.values())


def population_of(run: ReviewedRun, seed: int, most: int) -> Population:
    """Count the conversations of a run that were read without error.

    Args:
        run: a run that has its `private/`.
        seed: of the hash that orders conversations.
        most: ids that are kept of each cell.

    Raises:
        OutputError: the tables are gone, or do not hold the same conversations.
    """
    cells: dict[Cell, CellCounts] = {}
    left_out: dict[str, int] = {}
    lengths = _Lengths(run)
    columns = ("conversation_id", "model", "language", "is_subjective", "confidence")
    for batch in run.batches("extractions", (*columns, "response_type", "error"), BATCH_ROWS):
        for row in batch.to_pylist():
            characters = lengths.pop(row["conversation_id"])
            if row["error"] is not None:
                left_out[row["error"]] = left_out.get(row["error"], 0) + 1
                continue
            cell = Cell(
                answer_of(row["is_subjective"], row["response_type"]),
                confidence_of(row["confidence"]),
                row["model"] or UNKNOWN,
                row["language"] or UNKNOWN,
                next(name for below, name in LENGTHS if characters < below),
            )
            doubt = doubt_of(row["is_subjective"], row["confidence"])
            counts = cells.setdefault(cell, CellCounts())
            counts.add(row["conversation_id"], doubt, characters, seed, most)
    return Population(cells, dict(sorted(left_out.items())))


def answer_of(is_subjective: bool, response_type: str | None) -> str:
    """What the reader said, in short: one of five classes."""
    if not is_subjective:
        return NOT_SUBJECTIVE
    return plain(GROUP_OF[response_type]) if response_type else NO_RESPONSE


def confidence_of(confidence: float | None) -> str:
    """How sure the reader was."""
    if confidence is None:
        return UNKNOWN
    return "sure" if confidence >= SURE else "unsure"


def doubt_of(is_subjective: bool, confidence: float | None) -> float:
    """Standard deviation of the reader's error that is to be expected of a conversation."""
    by_confidence = math.sqrt(confidence * (1 - confidence)) if confidence is not None else None
    if is_subjective:
        return max(DOUBT_SUBJECTIVE, by_confidence or 0.0)
    return DOUBT_UNKNOWN if by_confidence is None else max(LEAST_DOUBT, by_confidence)


class _Lengths:
    """Characters of conversations, read on in the order of the table as they are asked for."""

    def __init__(self, run: ReviewedRun) -> None:
        self._batches = run.batches("conversations", ("conversation_id", "messages"), BATCH_ROWS)
        self._known: dict[str, int] = {}
        self._run = run

    def pop(self, identity: str) -> int:
        while identity not in self._known:
            batch = next(self._batches, None)
            if batch is None:
                raise OutputError(
                    f"a conversation of extractions is not in conversations ({self._run.address})",
                    "run the command of that run again, which makes both tables anew",
                )
            self._known |= zip(
                batch.column("conversation_id").to_pylist(), characters(batch), strict=True
            )
        return self._known.pop(identity)


def characters(batch: pa.RecordBatch) -> list[int]:
    """Characters of each conversation of a batch."""
    messages = batch.column("messages")
    contents = messages.flatten().field("content")
    sums = np.zeros(batch.num_rows, np.int64)
    lengths = pc.call_function("utf8_length", [contents])
    np.add.at(sums, messages.value_parent_indices().to_numpy(), lengths.to_numpy())
    return sums.tolist()
