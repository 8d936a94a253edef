"""From rows of many files to one table: which rows stay when all rows of a range are seen at once.

Readers write good and bad rows alike as sorted runs (`hash_runs`); settling one range of hashes
divides it into `conversations` and `rejects`, each row with its reason.
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

RUN_ROWS = 8192  # ours: a piece of chats is about 50 MB of text ...
RUN_CHARS = 64_000_000  # ... and at most this, so that long chats do not fill the memory

RUN = pa.schema(
    [
        pa.field("hash", pa.int64(), nullable=False),
        *(CONVERSATIONS.field(i).with_nullable(True) for i in range(len(CONVERSATIONS))),
        pa.field("file", pa.string(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("reason", pa.string()),  # set: a reject
        pa.field("content", pa.binary(16)),  # keyed hash of the whole row
        pa.field("draw", pa.uint64()),  # hash that the sample is drawn by
    ]
)
INDEX = pa.schema(
    [
        RUN.field(name)
        for name in ("hash", "conversation_id", "account_id", "model", "content", "draw", "reason")
    ]
)
"""What a draw needs to see of a row."""


class RunWriter:
    """Collects rows of one input and writes them as sorted pieces."""

    def __init__(self, storage: Storage, folder: str) -> None:
        self._storage = storage
        self._folder = folder
        self._rows: list[dict[str, Any]] = []
        self._chars = 0
        self.paths: list[str] = []

    def add(self, row: dict[str, Any], chars: int) -> None:
        """Take a row with the columns of `RUN`; `hash` is filled in here."""
        identity = row.get("conversation_id") if row.get("reason") is None else None
        row["hash"] = id_hash(identity or f"{row['file']}\0{row['row']}")
        self._rows.append(row)
        self._chars += chars
        if len(self._rows) >= RUN_ROWS or self._chars >= RUN_CHARS:
            self.flush()

    def flush(self) -> None:
        """Write what was collected. The name is of this attempt: a retry never mixes with it."""
        if not self._rows:
            return
        table = pa.Table.from_pylist(self._rows, schema=RUN)
        self.paths.append(write_sorted_run(self._storage, self._folder, table))
        self._rows, self._chars = [], 0


@dataclass(frozen=True)
class Cutoffs:
    """The draw: a row stays when its hash is at most the cutoff of its group."""

    by_account: Mapping[str, int] = field(default_factory=dict)
    by_group: Mapping[str, int] | None = None  # None: no sample is drawn
    balanced: bool = False  # the groups of the sample are the models, else all rows are one group

    def group(self, model: str | None) -> str:
        """The group of the sample that a row belongs to."""
        return (model or "") if self.balanced else ""


def survivors(table: pa.Table) -> np.ndarray:
    """Of rows without a reason: which stay when each id stays once (smallest content HMAC).

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
    """Which surviving rows are over their account's cap, and which the sample passes over.

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
    """Divide one range of rows into `conversations` and `rejects`, each in its order."""
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
