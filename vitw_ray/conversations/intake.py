"""Read input files, or ranges of them, into sorted runs: parse, validate and hash every row.

Rows excluded by the settings are rejected with a reason, as unreadable rows are.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from vitw_ray import cluster
from vitw_ray.config import ConversationsConfig
from vitw_ray.conversations.fields import Parsed, RowRejected
from vitw_ray.conversations.grouping import grouped
from vitw_ray.conversations.histories import OpeningWriter
from vitw_ray.conversations.identity import Identities
from vitw_ray.conversations.reading_units import Span
from vitw_ray.conversations.runs import RunWriter
from vitw_ray.conversations.sampling import sample_hash
from vitw_ray.conversations.shapes import SHAPES, parse
from vitw_ray.conversations.sources import Reject, iter_rows
from vitw_ray.keys import Keyed
from vitw_ray.stages import StageContext

COLUMNS = ("conversation_id", "prompt_id", "model", "language", "created_at", "updated_at")
"""Columns of a run that are taken from the parsed row as they are."""


class RowMaker:
    """Turns a parsed row into the columns of a run."""

    def __init__(self, config: ConversationsConfig, keyed: Keyed) -> None:
        self.config, self.keyed = config, keyed
        self.identities = Identities(keyed)

    def columns(self, parsed: Parsed, shape: str) -> dict[str, Any]:
        """The row's columns of `RUN`, and those that `OpeningWriter` needs.

        Raises:
            RowRejected: the row is well-formed but excluded by the settings.
        """
        config, messages = self.config, parsed["messages"]
        chars = sum(len(content) for _, content in messages)
        if chars > config.max_conversation_chars:
            raise RowRejected("too_long")
        if config.created_from or config.created_until:
            _check_date(parsed["created_at"], config.created_from, config.created_until)
        row: dict[str, Any] = {name: parsed.get(name) for name in COLUMNS}
        row["source"] = parsed["source"] or config.source_name or shape
        account = parsed["account"]
        row["account_id"] = account and self.keyed.hex("account", account.encode(), 8)
        spoken = self.identities.spoken(messages)
        plain = [_stamp(value) for value in row.values()]
        content = self.identities.content(plain, spoken)
        row["content"] = int.from_bytes(content[:8], "little", signed=True)
        row["invented"] = row["conversation_id"] is None
        if row["invented"]:
            row["conversation_id"] = self.identities.invented(content)
        if row["prompt_id"] is None and SHAPES[shape].several:
            row["prompt_id"] = self.identities.prompt(messages)
        row["draw"] = sample_hash(row["conversation_id"], config.sample_seed)
        row["messages"] = [{"role": role, "content": text} for role, text in messages]
        row["chars"], row["turns"] = chars, len(messages)
        row["spoken"] = spoken
        row["between"] = self.identities.between(row["account_id"], row["model"])
        return row


def _stamp(value: Any) -> Any:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value


def _check_date(created: datetime | None, first: date | None, last: date | None) -> None:
    if created is None:
        raise RowRejected("date_missing")
    day = created.astimezone(UTC).date()
    if (first and day < first) or (last and day > last):
        raise RowRejected("outside_dates")


class FileReader:
    """Reads the spans of a unit into runs."""

    def __init__(self, context: StageContext, runs: str) -> None:
        self.storage, self.runs = context.storage, runs
        self.inputs, self.shapes = context.inputs, context.shapes
        self.row = RowMaker(context.config.conversations, context.keyed)

    def __call__(self, unit: cluster.Unit) -> cluster.Unit:
        """Write the runs of a unit; return their paths, and what was counted."""
        found = _Unit(
            RunWriter(self.storage, f"{self.runs}/rows"),
            OpeningWriter(self.storage, f"{self.runs}/openings"),
        )
        spans = [Span(*values) for values in unit["spans"]]
        shape = self.shapes[self.inputs[spans[0].file].name]
        groups = [spans] if SHAPES[shape].joins_files else [[span] for span in spans]
        rows = [n for group in groups for n in self._read(group, found)]
        found.writer.flush()
        found.openings.flush()
        return {
            "spans": [
                (self.inputs[span.file].name, span.row, n)
                for span, n in zip(spans, rows, strict=True)
            ],
            "good": found.good,
            "runs": found.writer.paths,
            "size": found.writer.size,
            "openings": found.openings.paths,
            "opening_size": found.openings.size,
            "repaired": found.repaired,
            "lost": found.lost,
            "further_answers": found.further_answers,
        }

    def _read(self, spans: Sequence[Span], found: "_Unit") -> list[int]:
        """Read spans whose rows may belong together; return the number of rows of each."""
        files = [self.inputs[span.file] for span in spans]
        shape = self.shapes[files[0].name]
        raws = (
            ((n, number), raw)
            for n, (file, span) in enumerate(zip(files, spans, strict=True))
            for number, raw in iter_rows(file, shape, span)
        )
        rows = [0] * len(spans)
        before = None
        for (n, number), raw in grouped(SHAPES[shape], raws):
            is_further = (n, number) == before  # answer of the same row
            found.further_answers += is_further
            rows[n] += not is_further
            before = n, number
            place = {"file": files[n].name, "row": number}
            if isinstance(raw, Reject):
                found.writer.add({**place, "reason": raw.reason})
                continue
            try:
                parsed = parse(shape, raw)
                columns = self.row.columns(parsed, SHAPES[shape].name)
            except RowRejected as rejected:
                found.writer.add({**place, "reason": rejected.reason})
                continue
            found.repaired.update(parsed["repairs"])
            found.lost.update(SHAPES[shape].came_out_null(raw, parsed))
            spoken, between = columns.pop("spoken"), columns.pop("between")
            columns |= place
            found.writer.add(columns)
            found.openings.add(columns, spoken, between)
            found.good += 1
        return rows


@dataclass
class _Unit:
    """What the spans of a unit are written to, and what is counted."""

    writer: RunWriter
    openings: OpeningWriter
    good: int = 0
    repaired: Counter[str] = field(default_factory=Counter)  # by kind
    lost: Counter[str] = field(default_factory=Counter)  # by field
    further_answers: int = 0  # beside the first one of a row
