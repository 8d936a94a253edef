"""Read one input file into sorted runs: parse, validate and hash every row.

Rows excluded by the settings are rejected with a reason, as unreadable rows are.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from vitw_ray import cluster
from vitw_ray.config import ConversationsConfig
from vitw_ray.conversations.fields import Parsed, RowRejected
from vitw_ray.conversations.grouping import grouped
from vitw_ray.conversations.runs import RunWriter
from vitw_ray.conversations.sampling import sample_hash
from vitw_ray.conversations.shapes import SHAPES, parse
from vitw_ray.conversations.sources import Reject, iter_rows
from vitw_ray.keys import Keyed, canonical_json
from vitw_ray.stages import StageContext


@dataclass(frozen=True)
class RowMaker:
    """Turns a parsed row into the columns of a run."""

    config: ConversationsConfig
    keyed: Keyed

    def columns(self, parsed: Parsed, shape: str) -> tuple[dict[str, Any], int]:
        """The row's columns of `RUN`, and its number of characters.

        Raises:
            RowRejected: the row is well-formed but excluded by the settings.
        """
        config = self.config
        chars = sum(len(content) for _, content in parsed["messages"])
        if chars > config.max_conversation_chars:
            raise RowRejected("too_long")
        if config.created_from or config.created_until:
            _check_date(parsed["created_at"], config.created_from, config.created_until)
        row: dict[str, Any] = {
            name: parsed.get(name)
            for name in ("conversation_id", "prompt_id", "model", "language", "created_at")
        }
        row["source"] = parsed["source"] or config.source_name or shape
        row["messages"] = [{"role": role, "content": text} for role, text in parsed["messages"]]
        account = parsed["account"]
        row["account_id"] = account and self.keyed.hex("account", account.encode(), 8)
        created = row["created_at"]
        stamp = created.astimezone(UTC).isoformat() if created else None
        content = canonical_json({**row, "created_at": stamp})
        row["content"] = self.keyed.digest("content", content)
        if row["conversation_id"] is None:
            row["conversation_id"] = self.keyed.hex("id", canonical_json(row["messages"]), 12)
        row["draw"] = sample_hash(row["conversation_id"], config.sample_seed)
        return row, chars


def _check_date(created: datetime | None, first: date | None, last: date | None) -> None:
    if created is None:
        raise RowRejected("date_missing")
    day = created.astimezone(UTC).date()
    if (first and day < first) or (last and day > last):
        raise RowRejected("outside_dates")


class FileReader:
    """Reads one input file into runs."""

    def __init__(self, context: StageContext, runs: str) -> None:
        self.storage, self.runs = context.storage, runs
        self.inputs, self.shapes = context.inputs, context.shapes
        self.row = RowMaker(context.config.conversations, context.keyed)

    def __call__(self, unit: cluster.Unit) -> cluster.Unit:
        """Write the runs of one file; return their paths and the number of rows read."""
        file = self.inputs[unit["file"]]
        shape = self.shapes[file.name]
        writer = RunWriter(self.storage, self.runs)
        rows = 0
        for number, raw in grouped(SHAPES[shape], iter_rows(file, shape)):
            rows += 1
            place = {"file": file.name, "row": number}
            if isinstance(raw, Reject):
                writer.add({**place, "reason": raw.reason}, 0)
                continue
            try:
                parsed = parse(shape, raw)
                columns, chars = self.row.columns(parsed, SHAPES[shape].name)
            except RowRejected as rejected:
                writer.add({**place, "reason": rejected.reason}, 0)
                continue
            writer.add({**columns, **place}, chars)
        writer.flush()
        return {"name": file.name, "rows": rows, "runs": writer.paths}
