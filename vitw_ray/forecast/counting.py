"""Rows and conversations of the input, from the pieces that were looked at."""

import math
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from vitw_ray.config import ConversationsConfig
from vitw_ray.forecast.looking import Looked, Seen

Z = 1.96  # 95 %


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number, and half of its 95 % interval; 0 where it was counted."""

    value: float
    margin: float = 0.0

    def times(self, factor: float) -> "Estimate":
        """Both, scaled."""
        return Estimate(self.value * factor, self.margin * abs(factor))


def product(a: Estimate, b: Estimate) -> Estimate:
    """Of two numbers that were estimated apart: relative margins add in squares."""
    value = a.value * b.value
    return Estimate(value, math.hypot(a.margin * b.value, b.margin * a.value))


@dataclass(frozen=True)
class Counts:
    """Rows of the input, conversations among them, and those that the limits leave."""

    rows: Estimate
    conversations: Estimate
    kept: Estimate
    notes: tuple[str, ...]


def count(looked: Looked, config: ConversationsConfig) -> Counts:
    """Count the rows of an input."""
    rows = total(looked, lambda seen: seen.rows)
    conversations = total(looked, lambda seen: seen.conversations)
    if looked.complete:
        kept, notes = Estimate(float(_kept(looked.columns, config))), []
    else:
        kept = conversations
        notes = ["versions, growing histories and repeats are not subtracted: rows meet in the run"]
        if any(piece.error for piece in looked.seen):
            notes.append(
                "files that cannot be entered in the middle were read from their start: where later"
                " rows differ, so do these figures"
            )
        if config.max_per_account is not None:
            notes.append("--max-per-account is not applied: accounts meet in the run")
    if config.sample is not None and kept.value > config.sample:
        kept = Estimate(float(config.sample), 0.0)
    return Counts(rows, conversations, kept, tuple(notes))


def total(looked: Looked, of: Callable[[Seen], float]) -> Estimate:
    """What all pieces of the input hold together, by what those that were read hold for a byte."""
    seen = looked.seen
    found, read = sum(map(of, seen)), sum(piece.size for piece in seen)
    if looked.complete or not read:
        return Estimate(float(found))
    per_byte = found / read
    factor = looked.size / read
    spread = sum((of(piece) - per_byte * piece.size) ** 2 for piece in seen)
    unseen = max(0.0, 1 - read / looked.size)
    error = factor * math.sqrt(len(seen) / max(len(seen) - 1, 1) * spread * unseen)
    if len(seen) == 1 and unseen:  # nothing to compare it with
        error = found * factor
    inside = factor * math.sqrt(sum((piece.error * of(piece)) ** 2 for piece in seen))
    error = math.hypot(error, inside)
    return Estimate(found * factor, Z * error)


def mean(looked: Looked, of: Callable[[dict[str, Any]], float]) -> Estimate:
    """Mean over the conversations of the input, by those that were read."""
    sums, weights = [], []
    values = [of(columns) for columns in looked.columns]
    for piece in looked.seen:
        each = piece.rows / piece.read if piece.read else 0.0  # rows that one read stands for
        sums.append(each * sum(map(of, piece.columns)))
        weights.append(each * len(piece.columns))
    if not sum(weights):
        return Estimate(0.0)
    value = sum(sums) / sum(weights)
    if looked.complete:
        return Estimate(value)
    errors = [of_piece - value * n for of_piece, n in zip(sums, weights, strict=True)]
    spread = math.sqrt(len(errors) / max(len(errors) - 1, 1) * sum(e * e for e in errors))
    alone = statistics.pstdev(values) / math.sqrt(len(values))  # as if each stood alone
    return Estimate(value, Z * max(spread / sum(weights), alone))


def _kept(rows: Sequence[dict[str, Any]], config: ConversationsConfig) -> int:
    """Conversations that are left of all rows, as stage 1 counts them."""
    latest = {row["conversation_id"]: row for row in rows if not row["invented"]}
    kept = list(latest.values())
    alike: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["invented"]:
            if config.identical_rows == "keep" or row["conversation_id"] not in alike:
                kept.append(row)
            alike[row["conversation_id"]] = row
    if config.growing_histories == "longest":
        begun = {
            (row["between"], beginning) for row in rows for beginning in row["spoken"].beginnings
        }
        kept = [row for row in kept if (row["between"], row["spoken"].whole) not in begun]
    if config.max_per_account is None:
        return len(kept)
    by_account = Counter(row["account_id"] for row in kept)
    unknown = by_account.pop(None, 0)
    return unknown + sum(min(n, config.max_per_account) for n in by_account.values())
