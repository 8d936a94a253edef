"""Sorted runs of rows, and the choice of the rows to keep within one hash range.

Each input file is written as sorted runs (`hash_runs`) of good and bad rows. `divide` splits the
rows of one hash range into `conversations` and `rejects`; each reject has a reason.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from vitw_ray.hash_runs import write_sorted_run
from vitw_ray.keys import id_hash
from vitw_ray.records import CONVERSATIONS, REJECTS
from vitw_ray.storage import Storage

RUN_ROWS = 8192  # ours: typically about 50 MB of chat text
RUN_CHARS = 64_000_000  # ours: limit that keeps long conversations from filling the memory

RUN = pa.schema(
    [
        pa.field("hash", pa.int64(), nullable=False),
        *(CONVERSATIONS.field(i).with_nullable(True) for i in range(len(CONVERSATIONS))),
        pa.field("file", pa.string(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("reason", pa.string()),  # not null: a reject
        pa.field("content", pa.binary(16)),  # HMAC of the whole row
        pa.field("draw", pa.uint64()),  # hash used to draw the sample
    ]
)
INDEX = pa.schema(
    [
        RUN.field(name)
        for name in ("hash", "conversation_id", "account_id", "model", "content", "draw", "reason")
    ]
)
"""The columns of `RUN` needed to draw a sample."""


class RunWriter:
    """Buffers the rows of one input file and writes them as sorted runs."""

    def __init__(self, storage: Storage, folder: str) -> None:
        self._storage = storage
        self._folder = folder
        self._rows: list[dict[str, Any]] = []
        self._chars = 0
        self.paths: list[str] = []

    def add(self, row: dict[str, Any], chars: int) -> None:
        """Add a row with the columns of `RUN`; `hash` is set here."""
        identity = row.get("conversation_id") if row.get("reason") is None else None
        row["hash"] = id_hash(identity or f"{row['file']}\0{row['row']}")
        self._rows.append(row)
        self._chars += chars
        if len(self._rows) >= RUN_ROWS or self._chars >= RUN_CHARS:
            self.flush()

    def flush(self) -> None:
        """Write the buffered rows. File names are unique per attempt, so retries do not mix."""
        if not self._rows:
            return
        table = pa.Table.from_pylist(self._rows, schema=RUN)
        self.paths.append(write_sorted_run(self._storage, self._folder, table))
        self._rows, self._chars = [], 0


@dataclass(frozen=True)
class Cutoffs:
    """The sampling rule: a row is kept if its hash is at most the cutoff of its group."""

    by_account: Mapping[str, int] = field(default_factory=dict)
    by_group: Mapping[str, int] | None = None  # None: no sample is drawn
    balanced: bool = False  # True: one group per assistant; False: all rows are one group

    def group(self, model: str | None) -> str:
        """The sampling group of a row."""
        return (model or "") if self.balanced else ""


def survivors(table: pa.Table) -> np.ndarray:
    """Which good rows stay after deduplication by id; the smallest content HMAC wins.

    Returns:
        Boolean array (rows).
    """
    good = table["reason"].is_null().to_numpy()
    rows = np.flatnonzero(good)
    identity = table.select(["conversation_id", "content"]).filter(pa.array(good))
    ordered = identity.append_column("place", pa.array(rows)).sort_by(
        [("conversation_id", "ascending"), ("content", "ascending")]
    )
    ids = np.array(ordered["conversation_id"].to_pylist(), dtype=object)
    first = np.ones(len(ids), dtype=bool)
    first[1:] = ids[1:] != ids[:-1]
    keep = np.zeros(table.num_rows, dtype=bool)
    keep[ordered["place"].to_numpy()[first]] = True
    return keep


def draws(table: pa.Table, keep: np.ndarray, cutoffs: Cutoffs) -> tuple[np.ndarray, np.ndarray]:
    """Which surviving rows exceed their account's cap, and which are not in the sample.

    Returns:
        Two boolean arrays (rows), disjoint.
    """
    capped = np.zeros(len(keep), dtype=bool)
    unsampled = np.zeros(len(keep), dtype=bool)
    if not cutoffs.by_account and cutoffs.by_group is None:
        return capped, unsampled
    places = np.flatnonzero(keep)
    subset = table.select(["draw", "account_id", "model"]).take(pa.array(places))
    for place, row in zip(places, subset.to_pylist(), strict=True):
        account = row["account_id"]
        if account is not None and row["draw"] > cutoffs.by_account.get(account, row["draw"]):
            capped[place] = True
        elif cutoffs.by_group is not None:
            unsampled[place] = row["draw"] > cutoffs.by_group.get(cutoffs.group(row["model"]), -1)
    return capped, unsampled


def divide(table: pa.Table, cutoffs: Cutoffs) -> tuple[pa.Table, pa.Table]:
    """Split the rows of one hash range into `conversations` and `rejects`, both sorted."""
    keep = survivors(table)
    capped, unsampled = draws(table, keep, cutoffs)
    reasons = np.array(table["reason"].to_pylist(), dtype=object)
    for rows, code in (
        (~keep & table["reason"].is_null().to_numpy(), "duplicate_id"),
        (capped, "over_account_cap"),
        (unsampled, "not_sampled"),
    ):
        reasons[rows] = code
    rejected = np.array([reason is not None for reason in reasons], dtype=bool)
    kept = table.filter(pa.array(~rejected)).sort_by(
        [("hash", "ascending"), ("conversation_id", "ascending")]
    )
    rejects = table.set_column(
        table.schema.get_field_index("reason"), "reason", pa.array(reasons.tolist(), pa.string())
    ).filter(pa.array(rejected))
    rejects = rejects.sort_by([("file", "ascending"), ("row", "ascending")])
    return kept.select(CONVERSATIONS.names), rejects.select(REJECTS.names)
