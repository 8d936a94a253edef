"""Write down what the next run with `--keep-parts` has to know: openings and known rows.

Both are written as sorted parts of the stage's private folder, beside those that earlier passes
have written, and are never changed.
"""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from vitw_ray import cluster
from vitw_ray.conversations.histories import OPENINGS
from vitw_ray.conversations.identity import Identities
from vitw_ray.conversations.known_rows import fates, ids_of, notes
from vitw_ray.conversations.layers import FILES_READ, KNOWN_ROWS, OPENINGS_KEPT, files_read
from vitw_ray.conversations.parts import Rows
from vitw_ray.conversations.reading_units import global_rows
from vitw_ray.conversations.runs import INDEX, OUTGROWN
from vitw_ray.hash_buckets import power_of_two, write_buckets
from vitw_ray.hash_runs import write_sorted_run
from vitw_ray.run_folder import FileEntry
from vitw_ray.stages import StageContext

ROW_GROUP_ROWS = 65_536  # ours: about 8 MB, read in few requests
_OPENING_ORDER = ("hash", "row", "content", "between", "whole", "invented")


def write_part(context: StageContext, kind: str, number: int, table: pa.Table) -> FileEntry:
    """Write a part of one kind; it is sorted by `hash`."""
    buffer = io.BytesIO()
    pq.write_table(
        table.combine_chunks(), buffer, compression="zstd", row_group_size=ROW_GROUP_ROWS
    )
    name = f"part-{number:05d}.parquet"
    return context.folder.write_private(kind, name, buffer.getvalue())


def note_openings(
    context: StageContext, folder: str, runs: Sequence[str], size: float, first: int
) -> list[FileEntry]:
    """Write the openings of new rows.

    Args:
        context: of the stage.
        folder: of all runs.
        runs: with the openings.
        size: of all of them, in full runs.
        first: number of the first part.
    """
    count = power_of_two(size)
    buckets = write_buckets(context.storage, f"{folder}/noted-buckets", runs, size, count)

    def write(unit: cluster.Unit) -> FileEntry:
        table = buckets.read(unit["bucket"], OPENINGS)
        table = table.sort_by([(name, "ascending") for name in _OPENING_ORDER])
        return write_part(context, OPENINGS_KEPT, first + unit["bucket"], table)

    found = cluster.stream(buckets.units(), write)
    return sorted(found, key=lambda file: file.path)


@dataclass(frozen=True)
class Noted:
    """What is known of the rows of a pass.

    Attributes:
        files: with the rows.
        rows: their number.
        gone: ids of conversations of earlier passes that do not stay.
        unclear: the rows change earlier ones in another way too.
        concerned: runs with the known rows that new ones may decide about.
    """

    files: list[FileEntry]
    rows: int
    gone: list[str]
    unclear: bool
    concerned: tuple[str, ...] = ()


def note_rows(
    context: StageContext,
    folder: str,
    rows: Rows,
    starts: Mapping[str, Sequence[int]],
    first: int,
) -> Noted:
    """Compare new rows with known ones, and write down what is known of them.

    Args:
        context: of the stage.
        folder: of all runs.
        rows: all new rows, and those that are known.
        starts: of files that were read in ranges; see `global_rows`.
        first: number of the first part.
    """
    noter = _Noter(context, folder, rows, starts, first)
    found = list(cluster.stream(rows.outgrown.units(), noter))
    return Noted(
        sorted((one["file"] for one in found), key=lambda file: file.path),
        sum(one["rows"] for one in found),
        sorted(name for one in found for name in one["gone"]),
        any(one["unclear"] for one in found),
        tuple(sorted(one["concerned"] for one in found if one["concerned"])),
    )


@dataclass(frozen=True)
class _Noter:
    """Notes the rows of one bucket."""

    context: StageContext
    folder: str
    rows: Rows
    starts: Mapping[str, Sequence[int]]
    first: int

    def __call__(self, unit: cluster.Unit) -> cluster.Unit:
        bucket, context = unit["bucket"], self.context
        keep = context.config.conversations.identical_rows == "keep"
        tables = [buckets.read(bucket, INDEX) for buckets in self.rows.by_hash]
        outgrown = self.rows.outgrown.read(bucket, OUTGROWN)
        rows = pa.concat_tables(tables)
        known = self.rows.beside(bucket, rows, outgrown)
        found = fates(rows, known, outgrown, keep_identical=keep)
        table = notes(tables[0], tables[1:], found, keep_identical=keep)
        file = write_part(context, KNOWN_ROWS, self.first + bucket, global_rows(table, self.starts))
        gone = ids_of(found.gone, Identities(context.keyed))
        concerned = None
        if known.num_rows:
            concerned = write_sorted_run(context.storage, f"{self.folder}/concerned", known)
        return {
            "file": file,
            "rows": table.num_rows,
            "gone": gone,
            "unclear": found.unclear,
            "concerned": concerned,
        }


def note_files(context: StageContext, opening_size: float, known: int) -> FileEntry:
    """Write which input files were read, and how much is known of them."""
    note = {"files": files_read(context), "opening_size": opening_size, "known_rows": known}
    data = json.dumps(note, sort_keys=True, indent=1).encode()
    return context.folder.write_private(FILES_READ, f"{FILES_READ}.json", data)
