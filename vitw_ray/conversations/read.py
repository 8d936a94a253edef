"""Stage 1: files -> `conversations` (sorted hash-range parts) and `rejects`.

There are five passes: read files into sorted runs (`intake`), compare rows that begin alike
(`histories`), merge the runs into buckets where they are many (`hash_buckets`), compute the cutoffs
of the sample (`parts.draw`), and write the buckets as parts (`parts.merge`). Every row that was
read ends up in one of the two tables; a reject has a reason. What a killed attempt has read, merged
and written is kept (`kept_results`), and taken over.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vitw_ray import cluster
from vitw_ray.conversations.histories import Repeats, find_repeats, number_copies
from vitw_ray.conversations.intake import FileReader
from vitw_ray.conversations.parts import Rows, draw, merge
from vitw_ray.conversations.reading_units import reading_units, starts_of
from vitw_ray.conversations.runs import INDEX
from vitw_ray.conversations.shapes import KNOWN_COLUMNS
from vitw_ray.errors import InputError, StageFailed
from vitw_ray.hash_buckets import Buckets, bucket_count, power_of_two, write_buckets
from vitw_ray.progress import Progress
from vitw_ray.run_folder import StageReport
from vitw_ray.stages import StageContext
from vitw_ray.storage import PRIVATE


def read_conversations(context: StageContext) -> StageReport:
    """Run the stage: read, validate, compare, sample and sort."""
    folder = f"{PRIVATE}/{context.folder.name}/runs"
    read = _read_files(context, folder)
    rows_in = sum(read.rows.values())
    repeats = context.kept.once(
        "compare",
        lambda: find_repeats(context, folder, read.openings, read.opening_size, rows_in),
        lambda found: (*found.outgrown, *found.copies),
    )
    rows = _by_hash(context, folder, read, repeats)
    cutoffs = draw(context, rows)
    merged = merge(context, rows, cutoffs, rows_in, read.good, starts_of(read.spans))
    files, rejected = merged.files, merged.rejected
    rows_out = sum(file.rows for file in files if file.table == "conversations")
    if rows_in + read.further_answers != rows_out + sum(rejected.values()):
        raise StageFailed(
            f"{rows_in} rows and {read.further_answers} further answers were read,"
            f" {rows_out} kept, {sum(rejected.values())} rejected",
            "make sure that no other program writes to the run folder, and run again",
        )
    if rows_out == 0:
        reasons = ", ".join(f"{code} {n}" for code, n in rejected.most_common())
        raise InputError(
            f"no row of the input can be used ({reasons})",
            "check --source-format, the date range and the sample",
        )
    intake = {
        "further_answers": read.further_answers,
        "repaired": dict(sorted(read.repaired.items())),
        **_not_read(context.not_read),
        "came_out_null": dict(sorted(read.lost.items())),
        **{name: repeats.counts[name] for name in ("identical", "same_messages")},
    }
    return StageReport(
        files=files,
        rows_in=rows_in,
        rows_out=rows_out,
        rejected=dict(sorted(rejected.items())),
        details={
            "rows_by_file": [read.rows[file.name] for file in context.inputs],
            **intake,
            "passed_over": dict(sorted(Counter(context.passed_over.values()).items())),
        },
    )


def _not_read(columns: Sequence[str]) -> dict[str, Any]:
    """Columns that were not read: by name if a known shape has them, the others as a number.

    A key of the input may be anything, a name or an address too.
    """
    known = [name for name in columns if name in KNOWN_COLUMNS]
    return {"not_read": known, "other_not_read": len(columns) - len(known)}


@dataclass
class _Read:
    """What reading the files left: runs, and counts."""

    rows: Counter[str] = field(default_factory=Counter)  # by file
    good: int = 0
    spans: list[tuple[str, int, int]] = field(default_factory=list)  # file, first row, rows
    runs: list[str] = field(default_factory=list)
    size: float = 0.0  # of the rows, in full runs
    openings: list[str] = field(default_factory=list)
    opening_size: float = 0.0
    repaired: Counter[str] = field(default_factory=Counter)  # by kind
    lost: Counter[str] = field(default_factory=Counter)  # by field
    further_answers: int = 0  # beside the first one of a row; each is a conversation or a reject


def _read_files(context: StageContext, folder: str) -> _Read:
    reader = FileReader(context, folder)
    read = _Read(Counter({name: 0 for name in context.shapes}))
    units = reading_units(context.inputs, context.shapes)
    merged = context.kept.has("merge", _pieces)  # then the runs of rows are not needed any more

    def files(result: cluster.Unit) -> list[str]:
        return result["openings"] + ([] if merged else result["runs"])

    with Progress("conversations: read") as progress:
        for result in context.kept.stream("read", units, reader, files):
            for name in _ADDED:
                setattr(read, name, getattr(read, name) + result[name])
            for name, _, rows in result["spans"]:
                read.rows[name] += rows
                progress.add(rows)
            read.repaired.update(result["repaired"])
            read.lost.update(result["lost"])
    return read


_ADDED = ("runs", "size", "openings", "opening_size", "good", "further_answers", "spans")


def _pieces(buckets: Buckets) -> list[str]:
    """The files that rows in buckets lie in."""
    return [*buckets.runs, *buckets.index["path"].to_pylist()]


def _by_hash(context: StageContext, folder: str, read: _Read, repeats: Repeats) -> Rows:
    """All rows in buckets."""
    storage, config = context.storage, context.config.conversations
    most = power_of_two(sum(read.rows.values()) / config.rows_per_part)
    count = bucket_count(len(read.runs), read.size, most)
    with Progress("conversations: merge"):
        rows = context.kept.once(
            "merge",
            lambda: write_buckets(
                storage, f"{folder}/row-buckets", read.runs, read.size, count, INDEX.names
            ),
            _pieces,
        )
        rows = replace(rows, storage=storage)
    if not rows.runs:
        storage.delete_prefix(f"{folder}/rows")
    outgrown = repeats.buckets(storage, folder, "outgrown", count)
    if not (repeats.copies and config.identical_rows == "keep"):
        return Rows((rows,), outgrown)
    copies = repeats.buckets(storage, folder, "copies", count)
    return Rows((rows, number_copies(context, folder, rows, copies)), outgrown)
