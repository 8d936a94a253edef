"""Stage 1: files -> `conversations` (sorted hash-range parts) and `rejects`.

There are five passes: read files into sorted runs (`intake`), compare rows that begin alike
(`histories`), merge the runs into buckets where they are many (`hash_buckets`), compute the cutoffs
of the sample (`parts.draw`), and write the buckets as parts (`parts.merge`). Every row that was
read ends up in one of the two tables; a reject has a reason. What a killed attempt has read, merged
and written is kept (`kept_results`), and taken over.

With `--keep-parts` the same is done with the new files alone, where an earlier run in the folder
has read the others: their rows are known (`known_rows`), and their files are carried (`carrying`).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vitw_ray.conversations.carrying import Carried, carry, check_base, next_part
from vitw_ray.conversations.histories import NO_OPENINGS, KnownOpenings, find_repeats
from vitw_ray.conversations.layers import (
    DETAILS,
    KNOWN_ROWS,
    OPENINGS_KEPT,
    Base,
    base_of,
    files_read,
    rules,
)
from vitw_ray.conversations.noting import Noted, note_files, note_openings, note_rows
from vitw_ray.conversations.parts import draw, merge
from vitw_ray.conversations.reading import by_hash, read_files
from vitw_ray.conversations.reading_units import starts_of
from vitw_ray.conversations.shapes import KNOWN_COLUMNS
from vitw_ray.errors import InputError, StageFailed
from vitw_ray.hash_buckets import INDEX as PIECES
from vitw_ray.keys import content_key
from vitw_ray.progress import log
from vitw_ray.run_folder import FileEntry, StageReport
from vitw_ray.stages import StageContext
from vitw_ray.storage import PRIVATE


def read_conversations(context: StageContext) -> StageReport:
    """Run the stage: read, validate, compare, sample and sort."""
    base = base_of(context)
    if base is not None:
        check_base(context, base, (OPENINGS_KEPT, KNOWN_ROWS))
        done = _pass(context, base)
        if done is not None:
            return _report(context, done)
        log.info(
            "conversations: all files are read, not only the new ones: with them, rows that were"
            " left out before would stay"
        )
    elif context.config.conversations.keep_parts:
        log.info(
            "conversations: all files are read, as no earlier stage with --keep-parts and these"
            " settings has read only files that are still there"
        )
    done = _pass(context, None)
    assert done is not None
    return _report(context, done)


@dataclass
class _Done:
    """What was read and written, of all passes whose parts stand in the tables."""

    files: list[FileEntry]
    rejected: Counter[str]
    rows: dict[str, int]  # by file
    further_answers: int
    repaired: Counter[str]
    lost: Counter[str]
    counts: Counter[str]
    kept: dict[str, Any] = field(default_factory=dict)


def _pass(context: StageContext, base: Base | None) -> _Done | None:
    """Read all files, or those that `base` has not read; None: that is not enough."""
    suffix = "" if base is None else "-added"
    folder = f"{PRIVATE}/{context.folder.name}/runs{suffix}"
    read = read_files(_of_new(context, base), folder, f"read{suffix}")
    rows_in, known = sum(read.rows.values()), base.known if base else 0
    openings, noted = read.openings, list[FileEntry]()
    before = _known_openings(base) if base else NO_OPENINGS
    size = read.opening_size + before.size
    if context.config.conversations.keep_parts:
        first = next_part(base.files(OPENINGS_KEPT)) if base else 0
        noted = note_openings(context, folder, openings, read.opening_size, first)
        openings = [file.path for file in noted]
    repeats = context.kept.once(
        f"compare{suffix}",
        lambda: find_repeats(context, folder, openings, read.opening_size, rows_in + known, before),
        lambda found: (*found.outgrown, *found.copies),
    )
    runs = [file.path for file in base.files(KNOWN_ROWS)] if base else []
    rows = by_hash(context, folder, read, repeats, f"merge{suffix}", (runs, known))
    starts = starts_of(read.spans)
    of_rows = Noted([], 0, [], unclear=False)
    if context.config.conversations.keep_parts:
        first = next_part(base.files(KNOWN_ROWS)) if base else 0
        of_rows = note_rows(context, folder, rows, starts, first)
        if of_rows.unclear:
            return None
        if rows.known is not None:  # what is left of it is all that the parts need
            left = replace(rows.known, runs=of_rows.concerned, index=PIECES.empty_table())
            rows = replace(rows, known=left)
        noted += [*of_rows.files, note_files(context, size, known + of_rows.rows)]
    firsts = [next_part(base.files(name)) if base else 0 for name in ("conversations", "rejects")]
    merged = merge(
        *(context, rows, draw(context, rows), rows_in, read.good, starts),
        first=(firsts[0], firsts[1]),
        step=f"write{suffix}",
    )
    carried = carry(context, base, of_rows.gone) if base else Carried([], 0)
    files = sorted([*carried.files, *merged.files, *noted], key=lambda file: file.path)
    done = _Done(
        files,
        merged.rejected,
        dict(read.rows),
        read.further_answers,
        read.repaired,
        read.lost,
        repeats.counts,
    )
    return _with_base(context, base, done, carried.rewritten)


def _known_openings(base: Base) -> KnownOpenings:
    """What is noted of the openings of earlier passes."""
    details = base.manifest["details"]
    counts = {name: details[name] for name in ("identical", "same_messages")}
    paths = [file.path for file in base.files(OPENINGS_KEPT)]
    return KnownOpenings(paths, base.opening_size, counts)


def _of_new(context: StageContext, base: Base | None) -> StageContext:
    """The context with the new files alone."""
    if base is None:
        return context
    inputs = tuple(file for file in context.inputs if file.name not in base.read)
    return replace(context, inputs=inputs, shapes={f.name: context.shapes[f.name] for f in inputs})


def _with_base(context: StageContext, base: Base | None, done: _Done, rewritten: int) -> _Done:
    """Counts of new rows, and those of the files that `base` has read."""
    if not context.config.conversations.keep_parts:
        return done
    done.kept = {
        "rules": rules(context),
        "read": content_key({"files": files_read(context)}),
        "from": base.folder if base else None,
        "layers": base.layers + 1 if base else 1,
        "kept": len(base.files("conversations")) - rewritten if base else 0,
        "rewritten": rewritten,
    }
    if base is not None:
        before = base.manifest["details"]
        done.rows |= base.read
        done.rejected.update(base.manifest["rejected"])
        done.further_answers += before["further_answers"]
        done.repaired.update(before["repaired"])
        done.lost.update(before["came_out_null"])
    return done


def _report(context: StageContext, done: _Done) -> StageReport:
    rows_in = sum(done.rows.values())
    rows_out = sum(file.rows for file in done.files if file.table == "conversations")
    rejected = done.rejected
    if rows_in + done.further_answers != rows_out + sum(rejected.values()):
        raise StageFailed(
            f"{rows_in} rows and {done.further_answers} further answers were read,"
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
        "further_answers": done.further_answers,
        "repaired": dict(sorted(done.repaired.items())),
        **_not_read(context.not_read),
        "came_out_null": dict(sorted(done.lost.items())),
        **{name: done.counts[name] for name in ("identical", "same_messages")},
    }
    return StageReport(
        files=done.files,
        rows_in=rows_in,
        rows_out=rows_out,
        rejected=dict(sorted(rejected.items())),
        details={
            "rows_by_file": [done.rows[file.name] for file in context.inputs],
            **intake,
            "passed_over": dict(sorted(Counter(context.passed_over.values()).items())),
            **({DETAILS: done.kept} if done.kept else {}),
        },
    )


def _not_read(columns: Sequence[str]) -> dict[str, Any]:
    """Columns that were not read: by name if a known shape has them, the others as a number.

    A key of the input may be anything, a name or an address too.
    """
    known = [name for name in columns if name in KNOWN_COLUMNS]
    return {"not_read": known, "other_not_read": len(columns) - len(known)}
