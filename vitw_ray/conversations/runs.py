"""Sorted runs of rows, and the choice of the rows to keep within one hash range.

The input is written as sorted runs (`hash_runs`) of good and bad rows. `divide` splits the rows of
one hash range into `conversations` and `rejects`; each reject has a reason.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

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
        pa.field("content", pa.int64()),  # keyed hash of all columns
        pa.field("invented", pa.bool_()),  # the id is a hash, as the row has none
        pa.field("updated_at", pa.timestamp("us", tz="UTC")),
        pa.field("turns", pa.int64()),
        pa.field("chars", pa.int64()),
        pa.field("draw", pa.uint64()),  # hash used to draw the sample
    ]
)
_HELD = {"prompt_id", "source", "language", "messages"}
INDEX = pa.schema([field for field in RUN if field.name not in _HELD])
"""The columns of `RUN` needed to choose rows, without the text."""
OUTGROWN = pa.schema([RUN.field("hash"), RUN.field("content")])
"""Names rows: those that are the beginning of another conversation."""
REJECT_ORDER = [(name, "ascending") for name in ("file", "row", "conversation_id", "reason")]
"""A row of several answers may give several rejects."""
NONE_OUTGROWN = OUTGROWN.empty_table()


class RunWriter:
    """Buffers rows and writes them as sorted runs.

    Attributes:
        paths: of the runs.
        size: of all rows, in full runs.
    """

    def __init__(self, storage: Storage, folder: str) -> None:
        self._storage = storage
        self._folder = folder
        self._rows: list[dict[str, Any]] = []
        self._chars = 0
        self.paths: list[str] = []
        self.size = 0.0

    def add(self, row: dict[str, Any]) -> None:
        """Add a row with the columns of `RUN`; `hash` is set here."""
        identity = row.get("conversation_id") if row.get("reason") is None else None
        row["hash"] = id_hash(identity or f"{row['file']}\0{row['row']}")
        self._rows.append(row)
        self._chars += row.get("chars") or 0
        if len(self._rows) >= RUN_ROWS or self._chars >= RUN_CHARS:
            self.flush()

    def flush(self) -> None:
        """Write the buffered rows. File names are unique per attempt, so retries do not mix."""
        if not self._rows:
            return
        table = pa.Table.from_pylist(self._rows, schema=RUN)
        self.paths.append(write_sorted_run(self._storage, self._folder, table))
        self.size += max(len(self._rows) / RUN_ROWS, self._chars / RUN_CHARS)
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


def repeats(table: pa.Table, outgrown: pa.Table) -> np.ndarray:
    """Why a good row does not stay beside the others of its hash range; the rest is None.

    A row that is the beginning of another conversation is `superseded`. Of the other rows with one
    id the latest stays (`updated_at`, else `created_at`), else the longest (turns, then
    characters); what is left of a tie is decided by the content, so that the order of rows and
    files never matters. Of the rows that do not stay, exact copies are `identical`, and the others
    `superseded`.

    Args:
        table: rows with the columns of `INDEX`.
        outgrown: hash and content of the rows that are the beginning of another conversation.

    Returns:
        Object array (rows).
    """
    reasons = np.full(table.num_rows, None, dtype=object)
    good = table["reason"].is_null().to_numpy()
    beginning = good & _among(table, outgrown)
    reasons[beginning] = "superseded"
    places = np.flatnonzero(good & ~beginning)
    ordered = _best_first(table, places)
    ids, contents = ordered["conversation_id"].to_pylist(), ordered["content"].to_pylist()
    of = ordered["place"].to_pylist()
    seen: set[int] = set()
    for n, identity in enumerate(ids):
        if n and identity == ids[n - 1]:
            reasons[of[n]] = "identical" if contents[n] in seen else "superseded"
            seen.add(contents[n])
        else:
            seen = {contents[n]}
    return reasons


def _among(table: pa.Table, outgrown: pa.Table) -> np.ndarray:
    if not outgrown.num_rows:
        return np.zeros(table.num_rows, dtype=bool)
    pairs = set(zip(outgrown["hash"].to_pylist(), outgrown["content"].to_pylist(), strict=True))
    rows = zip(table["hash"].to_pylist(), table["content"].to_pylist(), strict=True)
    return np.fromiter((row in pairs for row in rows), dtype=bool, count=table.num_rows)


def _best_first(table: pa.Table, places: np.ndarray) -> pa.Table:
    """The rows at some places, sorted by id, and the row that stays before the others of its id."""
    rows = table.select(INDEX.names).take(pa.array(places))
    rows = rows.append_column("place", pa.array(places))
    updated, created = (rows[name].combine_chunks() for name in ("updated_at", "created_at"))
    moment = pc.call_function("coalesce", [updated, created])
    rows = rows.append_column("moment", moment)
    order = [("moment", "descending"), ("turns", "descending"), ("chars", "descending")]
    further = [(name, "ascending") for name in ("content", "file", "row")]
    return rows.sort_by([("conversation_id", "ascending"), *order, *further])


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


def divide(
    table: pa.Table,
    cutoffs: Cutoffs,
    outgrown: pa.Table = NONE_OUTGROWN,
    *,
    keep_identical: bool = False,
    given: np.ndarray | None = None,
) -> tuple[pa.Table, pa.Table]:
    """Split the rows of one hash range into `conversations` and `rejects`, both sorted.

    Args:
        table: rows with the columns of `RUN`.
        cutoffs: of the sample.
        outgrown: as for `repeats`.
        keep_identical: identical rows without an id have become rows of their own elsewhere
            (`histories.number_copies`); here they are left out.
        given: what `repeats` says where it has seen further rows; default: it is asked here.
    """
    reasons = repeats(table, outgrown) if given is None else given
    if keep_identical:
        invented = table["invented"].fill_null(False).to_numpy()
        elsewhere = (reasons == "identical") & invented
        table, reasons = table.filter(pa.array(~elsewhere)), reasons[~elsewhere]
    read = np.array(table["reason"].to_pylist(), dtype=object)
    reasons = np.where(is_given(read), read, reasons)
    capped, unsampled = draws(table, ~is_given(reasons), cutoffs)
    reasons[capped], reasons[unsampled] = "over_account_cap", "not_sampled"
    rejected = is_given(reasons)
    kept = table.filter(pa.array(~rejected)).sort_by(
        [("hash", "ascending"), ("conversation_id", "ascending")]
    )
    rejects = table.set_column(
        table.schema.get_field_index("reason"), "reason", pa.array(reasons.tolist(), pa.string())
    ).filter(pa.array(rejected))
    rejects = rejects.sort_by(REJECT_ORDER)
    return kept.select(CONVERSATIONS.names), rejects.select(REJECTS.names)


def is_given(reasons: np.ndarray) -> np.ndarray:
    """Which rows have a reason not to stay; (rows,) bool."""
    return np.array([reason is not None for reason in reasons], dtype=bool)
