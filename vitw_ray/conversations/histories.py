"""Rows that are the beginning of another conversation, and rows that are equal in every column.

Logs with a row per request repeat the whole conversation so far in every row. A row whose messages
are a proper prefix of those of another row, of the same account and assistant (or both unknown),
is `superseded`. Of versions with one id this decides nothing: `runs.repeats` does.

To find such rows in any number of files, reading writes a few hashes of each row (`identity`) into
sorted runs, keyed by the opening: the messages up to the first of the user. All rows of one
history have the same opening, so one worker sees them together. What it finds is written as small
sorted runs, keyed as the rows themselves are, which the merge reads range by range.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vitw_ray import cluster
from vitw_ray.conversations.identity import Identities, Spoken
from vitw_ray.conversations.known_rows import ROW
from vitw_ray.conversations.runs import INDEX, OUTGROWN, RUN, RunWriter
from vitw_ray.conversations.sampling import sample_hash
from vitw_ray.hash_buckets import Buckets, bucket_count, power_of_two, write_buckets
from vitw_ray.hash_runs import write_sorted_run
from vitw_ray.keys import RING_BITS
from vitw_ray.progress import Progress
from vitw_ray.stages import StageContext
from vitw_ray.storage import Storage

OPENING_ROWS = 65_536  # ours: rows per run, about 5 MB
OPENING_HASHES = 1_000_000  # ours: limit that keeps conversations of many turns from filling it
LEAST_RANGE_ROWS = 32_768  # ours: rows that one worker compares, if they are so many

OPENINGS = pa.schema(
    [
        pa.field("hash", pa.int64(), nullable=False),  # of the opening
        pa.field("row", pa.int64(), nullable=False),  # `hash` of the row in `RUN`
        pa.field("content", pa.int64(), nullable=False),
        pa.field("between", pa.int64(), nullable=False),  # account and assistant
        pa.field("whole", pa.int64(), nullable=False),
        pa.field("invented", pa.bool_(), nullable=False),
        pa.field("beginnings", pa.list_(pa.int64()), nullable=False),
    ]
)


class OpeningWriter:
    """Buffers the hashes of rows and writes them as sorted runs.

    Attributes:
        paths: of the runs.
        size: of all rows, in full runs.
    """

    def __init__(self, storage: Storage, folder: str) -> None:
        self._storage, self._folder = storage, folder
        self._columns: dict[str, list[Any]] = {name: [] for name in OPENINGS.names}
        self._hashes = 0
        self.paths: list[str] = []
        self.size = 0.0

    def add(self, row: Mapping[str, Any], spoken: Spoken, between: int) -> None:
        """Add a row of `RUN` that has its `hash`."""
        opening = spoken.whole if spoken.opening is None else spoken.opening
        found = (
            opening & ((1 << RING_BITS) - 1),
            *(row["hash"], row["content"], between, spoken.whole, row["invented"]),
            spoken.beginnings,
        )
        for column, value in zip(self._columns.values(), found, strict=True):
            column.append(value)
        self._hashes += len(spoken.beginnings)
        if len(self._columns["hash"]) >= OPENING_ROWS or self._hashes >= OPENING_HASHES:
            self.flush()

    def flush(self) -> None:
        """Write the buffered rows."""
        if not self._columns["hash"]:
            return
        table = pa.table(self._columns, schema=OPENINGS)
        self.paths.append(write_sorted_run(self._storage, self._folder, table))
        self.size += max(table.num_rows / OPENING_ROWS, self._hashes / OPENING_HASHES)
        self._columns, self._hashes = {name: [] for name in OPENINGS.names}, 0


@dataclass
class Repeats:
    """Where the rows are named that repeat others, and how many there are.

    Attributes:
        outgrown: runs with hash and content of rows that are the beginning of another.
        copies: runs with hash and content of rows without an id that others equal.
        counts: `same_messages`: conversations whose messages another one has too. `identical`:
            rows without an id that equal another one in every column.
        rows: in the runs, by their kind.
    """

    outgrown: list[str] = field(default_factory=list)
    copies: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)

    def buckets(self, storage: Storage, runs: str, kind: str, count: int) -> Buckets:
        """The runs of one kind as `count` buckets."""
        size = self.rows[kind] / OPENING_ROWS
        return write_buckets(storage, f"{runs}/{kind}-buckets", getattr(self, kind), size, count)


@dataclass(frozen=True)
class KnownOpenings:
    """The openings of rows of earlier passes: runs, their size in full runs, and what was counted.

    Rows repeat each other only where they have one opening, so only those that a new row has too
    are compared again.
    """

    paths: list[str]
    size: float
    counts: Mapping[str, int]


NO_OPENINGS = KnownOpenings([], 0.0, {})


def find_repeats(
    context: StageContext,
    runs: str,
    openings: list[str],
    size: float,
    rows: int,
    known: KnownOpenings = NO_OPENINGS,
) -> Repeats:
    """Compare the rows of each opening.

    Args:
        context: of the stage.
        runs: folder of all runs.
        openings: runs of `OPENINGS`.
        size: of all openings, in full runs.
        rows: that were read, and that are known.
        known: openings of earlier passes, which new rows are compared with too.
    """
    storage = context.storage
    histories = context.config.conversations.growing_histories == "longest"
    paths, whole = [*openings, *known.paths], size + known.size
    count = bucket_count(len(paths), whole, power_of_two(rows / LEAST_RANGE_ROWS))
    buckets = write_buckets(storage, f"{runs}/opening-buckets", openings, size, count)
    before = write_buckets(storage, f"{runs}/known-opening-buckets", known.paths, known.size, count)

    def compare(table: pa.Table) -> tuple[np.ndarray, np.ndarray, Counter[str]]:
        outgrown = beginnings(table) if histories else np.zeros(table.num_rows, dtype=bool)
        copies = copied(table) & ~outgrown
        identical = int(copies.sum()) - len(np.unique(table["content"].to_numpy()[copies]))
        counts = Counter({"identical": identical, "same_messages": same_messages(table)})
        return outgrown, copies, counts

    def compare_range(unit: cluster.Unit) -> cluster.Unit:
        table = buckets.read(unit["bucket"], OPENINGS)
        counted = Counter[str]()
        if known.paths:
            there = before.read(unit["bucket"], OPENINGS)
            shared = np.isin(there["hash"].to_numpy(), table["hash"].to_numpy())
            there = there.filter(pa.array(shared))
            counted = compare(there)[2]  # is in the counts of the earlier passes
            table = pa.concat_tables([table, there])
        outgrown, copies, counts = compare(table)
        counts.subtract(counted)
        named = {
            name: write_sorted_run(storage, f"{runs}/{name}", _named(table, chosen))
            if chosen.any()
            else None
            for name, chosen in (("outgrown", outgrown), ("copies", copies))
        }
        rows = {"outgrown": int(outgrown.sum()), "copies": int(copies.sum())}
        return {**named, "counts": counts, "rows": rows}

    found = Repeats(counts=Counter(known.counts))
    with Progress("conversations: compare"):
        for result in cluster.stream(buckets.units(), compare_range):
            found.outgrown += [result["outgrown"]] if result["outgrown"] else []
            found.copies += [result["copies"]] if result["copies"] else []
            found.counts.update(result["counts"])
            found.rows.update(result["rows"])
    return found


def beginnings(table: pa.Table) -> np.ndarray:
    """Which rows are a proper prefix of a row with another id; (rows,) bool.

    Account and assistant are mixed into the hashes, so equal ones are of one history.
    """
    owners, between = table["row"].to_numpy(), table["between"].to_numpy()
    wholes = table["whole"].to_numpy() ^ between
    lists = table["beginnings"].combine_chunks()
    sizes = np.diff(lists.offsets.to_numpy())
    prefixes = lists.flatten().to_numpy() ^ np.repeat(between, sizes)
    holders = np.repeat(owners, sizes)
    asked = np.isin(prefixes, wholes)
    prefixes, holders = prefixes[asked], holders[asked]
    if not len(prefixes):
        return np.zeros(table.num_rows, dtype=bool)
    order = np.argsort(prefixes, kind="stable")
    names, starts = np.unique(prefixes[order], return_index=True)
    low = np.minimum.reduceat(holders[order], starts)
    high = np.maximum.reduceat(holders[order], starts)
    place = np.minimum(np.searchsorted(names, wholes), len(names) - 1)
    of_another = (low[place] != owners) | (high[place] != owners)
    return (names[place] == wholes) & of_another


def copied(table: pa.Table) -> np.ndarray:
    """Which rows without an id equal another one in every column; (rows,) bool."""
    invented = table["invented"].to_numpy()
    contents = table["content"].to_numpy()
    names, counts = np.unique(contents[invented], return_counts=True)
    return invented & np.isin(contents, names[counts > 1])


def same_messages(table: pa.Table) -> int:
    """Conversations whose messages another one has too, all but the first of each group."""
    wholes, owners = table["whole"].to_numpy(), table["row"].to_numpy()
    order = np.lexsort((owners, wholes))
    wholes, owners = wholes[order], owners[order]
    same = wholes[1:] == wholes[:-1]
    return int((same & (owners[1:] != owners[:-1])).sum())


def _named(table: pa.Table, chosen: np.ndarray) -> pa.Table:
    rows = table.filter(pa.array(chosen))
    return pa.table({"hash": rows["row"], "content": rows["content"]}, schema=OUTGROWN)


def number_copies(
    context: StageContext,
    runs: str,
    rows: Buckets,
    copies: Buckets,
    known: Callable[[int, np.ndarray], pa.Table],
) -> Buckets:
    """Give equal rows without an id an id each; the first keeps its own.

    Args:
        context: of the stage.
        runs: folder of all runs.
        rows: all rows that were read.
        copies: names those that others equal.
        known: gives rows of earlier passes, of a bucket and with some hashes (`known_rows`).

    Returns:
        The renamed rows. `runs.divide` leaves them out where they were.
    """
    storage = context.storage
    seed, identities = context.config.conversations.sample_seed, Identities(context.keyed)

    def number_range(unit: cluster.Unit) -> cluster.Unit:
        named = copies.read(unit["bucket"], OUTGROWN)
        writer = RunWriter(storage, f"{runs}/renamed")
        if not named.num_rows:
            return {"runs": [], "size": 0.0}
        table = rows.read(unit["bucket"], RUN)
        invented = table["invented"].fill_null(False).to_numpy()
        contents = table["content"].fill_null(0).to_numpy()
        table = table.filter(pa.array(invented & np.isin(contents, named["content"].to_numpy())))
        order = ("conversation_id", "file", "row")
        there = known(unit["bucket"], table["hash"].to_numpy())
        there = there.filter(pc.field("invented") & (pc.field("kind") == ROW))
        numbers = Counter(there["conversation_id"].to_pylist())
        for row in table.sort_by([(name, "ascending") for name in order]).to_pylist():
            before = row["conversation_id"]
            number = numbers[before]
            numbers[before] += 1
            if number:
                row["conversation_id"] = identities.numbered(before, number)
                row["draw"] = sample_hash(row["conversation_id"], seed)
                writer.add(row)
        writer.flush()
        return {"runs": writer.paths, "size": writer.size}

    found, size = list[str](), 0.0
    for result in cluster.stream(rows.units(), number_range):
        found += result["runs"]
        size += result["size"]
    return write_buckets(storage, f"{runs}/renamed-buckets", found, size, rows.count, INDEX.names)
