"""What a later pass has to know of the rows that earlier ones have read: `--keep-parts`.

Of each good row, kept or rejected, the columns that decide which of its versions stays. They are
written as sorted runs, like rows, and never changed: where a new row takes the place of an old one,
a mark is added behind them.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vitw_ray.conversations.identity import Identities
from vitw_ray.conversations.runs import INDEX, REJECT_ORDER, RUN, is_given, repeats
from vitw_ray.records import REJECTS

ROW, COPY, GONE = 0, 1, 2
"""Kinds: a row under the id that it came with; a further one of equal rows, under the id that it
got; a mark that kept rows with this hash and content have been superseded since."""

KNOWN = pa.schema(
    [
        *(RUN.field(name) for name in ("hash", "conversation_id", "created_at", "updated_at")),
        *(RUN.field(name) for name in ("content", "invented", "turns", "chars", "file", "row")),
        pa.field("out", pa.string()),  # why it was rejected; null: it was kept
        pa.field("kind", pa.int8(), nullable=False),
    ]
)
ORDER = [(name, "ascending") for name in ("hash", "conversation_id", "content", "kind")]
ORDER += [(name, "ascending") for name in ("file", "row")]


def concerned(known: pa.Table, hashes: np.ndarray, outgrown: np.ndarray) -> pa.Table:
    """The known rows whose fate new rows may decide, as they stand after all marks.

    Args:
        known: rows of earlier passes.
        hashes: of new rows.
        outgrown: hashes of what is the beginning of another conversation; of known rows that were
            left out already, nothing changes.
    """
    places = known["hash"].to_numpy()
    kept = known["out"].is_null().to_numpy() & np.isin(places, outgrown)
    wanted = np.concatenate([hashes, places[kept]])
    known = known.filter(pa.array(np.isin(places, wanted)))
    marks = known.filter(pc.field("kind") == GONE)
    rows = known.filter(pc.field("kind") != GONE)
    if not marks.num_rows:
        return rows
    gone = set(zip(marks["hash"].to_pylist(), marks["content"].to_pylist(), strict=True))
    columns = (rows[name].to_pylist() for name in ("hash", "content", "out", "kind"))
    out = [
        "superseded" if why is None and kind == ROW and (place, content) in gone else why
        for place, content, why, kind in zip(*columns, strict=True)
    ]
    return rows.set_column(
        rows.schema.get_field_index("out"), KNOWN.field("out"), pa.array(out, pa.string())
    )


@dataclass(frozen=True)
class Fates:
    """What becomes of new rows beside those that are known, and of these.

    Attributes:
        reasons: of each new row, as `runs.repeats` has them.
        gone: known rows that were kept, and are rejects now; with `out`.
        unclear: the new rows change more than that.
    """

    reasons: np.ndarray
    gone: pa.Table
    unclear: bool


def fates(rows: pa.Table, known: pa.Table, outgrown: pa.Table, *, keep_identical: bool) -> Fates:
    """Compare new rows with known ones, as one pass over all of them would.

    Args:
        rows: of one range of hashes, with the columns of `INDEX`; further copies under their ids.
        known: from `concerned`.
        outgrown: of the range; see `runs.repeats`.
        keep_identical: identical rows without an id are conversations of their own.
    """
    count = rows.num_rows
    together = pa.concat_tables([rows.select(INDEX.names), _as_index(known)])
    named = np.isin(outgrown["hash"].to_numpy(), together["hash"].to_numpy())
    reasons = repeats(together, outgrown.filter(pa.array(named)))
    after = reasons[count:]
    if keep_identical:
        after[(after == "identical") & known["invented"].to_numpy()] = None
    before = np.array(known["out"].to_pylist(), dtype=object)
    was_kept, is_kept = ~is_given(before), ~is_given(after)
    gone = was_kept & ~is_kept
    others = ~gone & ((was_kept != is_kept) | (after != before))
    unclear = bool(others.any() or (after[gone] != "superseded").any() or _mixed(rows, known))
    out = pa.array(after[gone].tolist(), pa.string())
    moved = known.filter(pa.array(gone))
    moved = moved.set_column(moved.schema.get_field_index("out"), KNOWN.field("out"), out)
    return Fates(reasons[:count], moved, unclear)


def _as_index(known: pa.Table) -> pa.Table:
    """Known rows for `repeats`; without a file, so that of equal rows they come first."""
    nothing = {
        name: pa.nulls(known.num_rows, INDEX.field(name).type)
        for name in INDEX.names
        if name not in known.column_names
    }
    columns = {name: known[name] for name in INDEX.names if name in known.column_names} | nothing
    columns["file"] = pa.array([""] * known.num_rows, pa.string())
    return pa.table({name: columns[name] for name in INDEX.names}, schema=INDEX)


def _mixed(rows: pa.Table, known: pa.Table) -> bool:
    """Whether an id is both invented and given: which row has which number needs all of them."""
    wanted = set(known["conversation_id"].to_pylist())
    if not wanted:
        return False
    rows = rows.filter(pc.field("reason").is_null())
    ids = rows["conversation_id"].to_pylist()
    found = {
        (one, bool(invented), ROW)
        for one, invented in zip(ids, rows["invented"].to_pylist(), strict=True)
        if one in wanted
    }
    columns = (known[name].to_pylist() for name in ("conversation_id", "invented", "kind"))
    found |= {(one, bool(invented), kind) for one, invented, kind in zip(*columns, strict=True)}
    return len(found) > len(wanted)


def notes(
    originals: pa.Table, copies: Sequence[pa.Table], of: Fates, *, keep_identical: bool
) -> pa.Table:
    """What a next pass has to know of new rows; `KNOWN`.

    Args:
        originals: rows under the ids that they came with, the first ones that `of` is about.
        copies: further copies, under ids that they got.
        of: the fates of all of them.
        keep_identical: as for `fates`.
    """
    reasons = of.reasons[: originals.num_rows].copy()
    if keep_identical:
        invented = originals["invented"].fill_null(False).to_numpy()
        reasons[(reasons == "identical") & invented] = None
    found = [_known(originals, reasons, ROW)]
    for table in copies:
        found.append(_known(table, np.full(table.num_rows, None, object), COPY))
    marks = of.gone.set_column(
        of.gone.schema.get_field_index("kind"),
        KNOWN.field("kind"),
        pa.array(np.full(of.gone.num_rows, GONE), pa.int8()),
    )
    return pa.concat_tables([*found, marks]).sort_by(ORDER)


def _known(rows: pa.Table, reasons: np.ndarray, kind: int) -> pa.Table:
    rows = rows.append_column("out", pa.array(reasons.tolist(), pa.string()))
    rows = rows.append_column("kind", pa.array(np.full(rows.num_rows, kind), pa.int8()))
    return rows.filter(pc.field("reason").is_null()).select(KNOWN.names).cast(KNOWN)


def ids_of(gone: pa.Table, identities: Identities) -> list[str]:
    """The ids under which known rows stand in `conversations`: equal ones are numbered."""
    counts = Counter(gone["conversation_id"].to_pylist())
    return [
        one if number == 0 else identities.numbered(one, number)
        for one, count in counts.items()
        for number in range(count)
    ]


def as_rejects(gone: pa.Table) -> pa.Table:
    """Rows that are rejects now, as the table has them."""
    named = gone.drop_columns(["out"]).append_column("reason", gone["out"])
    return named.select(REJECTS.names).cast(REJECTS).sort_by(REJECT_ORDER)
