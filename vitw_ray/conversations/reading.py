"""The first passes of stage 1: files are read into sorted runs, and these merged into buckets."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from vitw_ray import cluster
from vitw_ray.conversations.histories import Repeats, number_copies
from vitw_ray.conversations.intake import FileReader
from vitw_ray.conversations.parts import Rows, known_beside
from vitw_ray.conversations.reading_units import reading_units
from vitw_ray.conversations.runs import INDEX, RUN_ROWS
from vitw_ray.hash_buckets import Buckets, bucket_count, power_of_two, write_buckets
from vitw_ray.progress import Progress
from vitw_ray.stages import StageContext

KNOWN_AT_ONCE = 262_144  # ours: known rows that a worker holds, about 40 MB


@dataclass
class FilesRead:
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


def read_files(context: StageContext, folder: str, step: str) -> FilesRead:
    """Read the input files into runs.

    Args:
        context: of the stage, with the files to read.
        folder: of all runs.
        step: name under which finished units are kept, such as `read`.
    """
    reader = FileReader(context, folder)
    read = FilesRead(Counter({name: 0 for name in context.shapes}))
    units = reading_units(context.inputs, context.shapes)
    merging = step.replace("read", "merge")
    merged = context.kept.has(merging, _pieces)  # then the runs of rows are not needed any more

    def files(result: cluster.Unit) -> list[str]:
        return result["openings"] + ([] if merged else result["runs"])

    with Progress("conversations: read") as progress:
        for result in context.kept.stream(step, units, reader, files):
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


def by_hash(
    context: StageContext,
    folder: str,
    read: FilesRead,
    repeats: Repeats,
    step: str,
    known: tuple[Sequence[str], int],
) -> Rows:
    """All rows in buckets.

    Args:
        context: of the stage.
        folder: of all runs.
        read: from `read_files`.
        repeats: rows that repeat others.
        step: name under which the merged runs are kept, such as `merge`.
        known: paths of the rows of earlier passes, and how many there are (`known_rows`).
    """
    storage, config = context.storage, context.config.conversations
    most = power_of_two(sum(read.rows.values()) / config.rows_per_part)
    count = bucket_count(len(read.runs), read.size, most)
    count = max(count, power_of_two(known[1] / KNOWN_AT_ONCE))
    with Progress("conversations: merge"):
        rows = context.kept.once(
            step,
            lambda: write_buckets(
                storage, f"{folder}/row-buckets", read.runs, read.size, count, INDEX.names
            ),
            _pieces,
        )
        rows = replace(rows, storage=storage)
    if not rows.runs:
        storage.delete_prefix(f"{folder}/rows")
    outgrown = repeats.buckets(storage, folder, "outgrown", count)
    there = None
    if known[0]:
        size = known[1] / RUN_ROWS
        there = write_buckets(storage, f"{folder}/known-buckets", known[0], size, count)
    if not (repeats.copies and config.identical_rows == "keep"):
        return Rows((rows,), outgrown, there)
    copies = repeats.buckets(storage, folder, "copies", count)
    renamed = number_copies(
        context, folder, rows, copies, lambda bucket, found: known_beside(there, bucket, found)
    )
    return Rows((rows, renamed), outgrown, there)
