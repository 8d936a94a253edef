"""Stage 1: files -> `conversations` (sorted hash-range parts) and `rejects`.

There are four passes: read files into sorted runs (`intake`), compare rows that begin alike
(`histories`), compute the cutoffs of the sample (`parts.draw`), and merge hash ranges of the runs
into parts (`parts.merge`). Every row that was read ends up in one of the two tables; a reject has a
reason.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from vitw_ray import cluster
from vitw_ray.conversations.histories import find_repeats, number_copies
from vitw_ray.conversations.intake import FileReader
from vitw_ray.conversations.parts import Runs, draw, merge
from vitw_ray.conversations.shapes import KNOWN_COLUMNS
from vitw_ray.errors import InputError, StageFailed
from vitw_ray.progress import Progress
from vitw_ray.run_folder import StageReport
from vitw_ray.stages import StageContext
from vitw_ray.storage import PRIVATE


def read_conversations(context: StageContext) -> StageReport:
    """Run the stage: read, validate, compare, sample and sort."""
    folder = f"{PRIVATE}/{context.folder.name}/runs"
    context.storage.delete_prefix(folder)  # left by an attempt that was killed
    read = _read_files(context, folder)
    rows_in = sum(read.rows.values())
    ranges = max(1, -(-rows_in // context.config.conversations.rows_per_part))
    repeats = find_repeats(context, folder, sorted(read.openings), rows_in)
    paths = sorted(read.runs)
    if repeats.copies and context.config.conversations.identical_rows == "keep":
        paths += number_copies(context, folder, paths, repeats.copies, ranges)
    runs = Runs(paths, sorted(repeats.outgrown))
    merged = merge(context, runs, rows_in, draw(context, runs, ranges))
    files, rejected = merged.files, merged.rejected
    context.storage.delete_prefix(folder)
    rows_out = sum(file.rows for file in files if file.table == "conversations")
    if rows_in != rows_out + sum(rejected.values()):
        raise StageFailed(
            f"{rows_in} rows were read, {rows_out} kept, {sum(rejected.values())} rejected",
            "make sure that no other program writes to the run folder, and run again",
        )
    if rows_out == 0:
        reasons = ", ".join(f"{code} {n}" for code, n in rejected.most_common())
        raise InputError(
            f"no row of the input can be used ({reasons})",
            "check --source-format, the date range and the sample",
        )
    intake = {
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
    runs: list[str] = field(default_factory=list)
    openings: list[str] = field(default_factory=list)
    repaired: Counter[str] = field(default_factory=Counter)  # by kind
    lost: Counter[str] = field(default_factory=Counter)  # by field


def _read_files(context: StageContext, folder: str) -> _Read:
    units = [
        {"file": n, "name": file.name}
        for n, file in enumerate(context.inputs)
        if file.name in context.shapes
    ]
    reader = FileReader(context, folder)
    read = _Read()
    with Progress("conversations: read") as progress:
        for result in cluster.stream(units, reader):
            read.runs += result["runs"]
            read.openings += result["openings"]
            read.rows[result["name"]] = result["rows"]
            read.repaired.update(result["repaired"])
            read.lost.update(result["lost"])
            progress.add(result["rows"])
    return read
