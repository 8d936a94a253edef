"""Draw the sample and write the parts of `conversations` and `rejects`, from rows in buckets.

A sample is a cutoff on a hash of the id, so it needs a first pass over all ids. Each bucket is
scanned separately and gives a sketch of bounded size.

A part is a range of hashes, and there is a power of two of them, so that a few more rows do not
move the borders of all parts: parts without a new row keep their bytes.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from vitw_ray import cluster
from vitw_ray.conversations.known_rows import KNOWN, as_rejects, concerned, fates
from vitw_ray.conversations.reading_units import global_rows
from vitw_ray.conversations.runs import (
    INDEX,
    OUTGROWN,
    REJECT_ORDER,
    RUN,
    Cutoffs,
    divide,
    draws,
    is_given,
    repeats,
)
from vitw_ray.conversations.sampling import Sketch, balanced_cutoffs
from vitw_ray.hash_buckets import Buckets, power_of_two
from vitw_ray.hash_runs import within
from vitw_ray.keys import range_bounds
from vitw_ray.progress import Progress
from vitw_ray.records import CONVERSATIONS, REJECTS
from vitw_ray.run_folder import FileEntry
from vitw_ray.stages import StageContext

REJECT_ROWS = 262_144  # ours: most rejects that a worker holds, about 50 MB


@dataclass(frozen=True)
class Rows:
    """All rows of a stage, in buckets: what was read, and rows that were given another id.

    `known` are rows of earlier passes, which the new ones stand beside (`--keep-parts`).
    """

    by_hash: tuple[Buckets, ...]
    outgrown: Buckets
    known: Buckets | None = None

    @property
    def buckets(self) -> int:
        """Their number, a power of two."""
        return self.outgrown.count

    def read(self, bucket: int, schema: pa.Schema) -> tuple[pa.Table, pa.Table]:
        """The rows of a bucket, and which of them are the beginning of another."""
        rows = pa.concat_tables([buckets.read(bucket, schema) for buckets in self.by_hash])
        return rows, self.outgrown.read(bucket, OUTGROWN)

    def beside(self, bucket: int, rows: pa.Table, outgrown: pa.Table) -> pa.Table:
        """The known rows of a bucket whose fate these may decide."""
        hashes = (table["hash"].to_numpy() for table in (rows, outgrown))
        return known_beside(self.known, bucket, *hashes)


NO_HASHES = np.empty(0, np.int64)


def known_beside(
    known: Buckets | None, bucket: int, hashes: np.ndarray, outgrown: np.ndarray = NO_HASHES
) -> pa.Table:
    """The known rows of a bucket that are concerned, as they stand now."""
    if known is None:
        return KNOWN.empty_table()
    return concerned(known.read(bucket, KNOWN), hashes, outgrown)


def draw(context: StageContext, rows: Rows) -> Cutoffs:
    """Cutoffs of the account cap and of the sample; each needs a pass over all rows."""
    config = context.config.conversations
    cutoffs = Cutoffs(balanced=config.balance_assistants)
    if config.max_per_account is not None:
        sketch = _sketch(rows, cutoffs, "account", config.max_per_account)
        cutoffs = replace(cutoffs, by_account=sketch.cutoffs())
    if config.sample is not None:
        sketch = _sketch(rows, cutoffs, "group", config.sample)
        cutoffs = replace(cutoffs, by_group=balanced_cutoffs(sketch, config.sample))
    return cutoffs


def _sketch(of: Rows, cutoffs: Cutoffs, by: str, keep: int) -> Sketch:
    def sketch_bucket(unit: cluster.Unit) -> Sketch:
        rows, outgrown = of.read(unit["bucket"], INDEX)
        good = rows["reason"].is_null().to_numpy()
        stays = good & ~is_given(repeats(rows, outgrown))
        capped, unsampled = draws(rows, stays, cutoffs)
        rows = rows.filter(pa.array(stays & ~capped & ~unsampled))
        hashes = rows["draw"].to_numpy()
        if by == "account":
            groups = rows["account_id"].to_pylist()
        else:
            groups = [cutoffs.group(model) for model in rows["model"].to_pylist()]
        named = np.array([group is not None for group in groups], dtype=bool)
        names = [group for group in groups if group is not None]
        return Sketch.of(hashes[named], names, keep)

    merged = Sketch.of(np.zeros(0, np.uint64), [], keep)
    for sketch in cluster.stream(of.outgrown.units(), sketch_bucket):
        merged = merged.merge(sketch)
    return merged


@dataclass(frozen=True)
class Merged:
    """All parts: their files, and rejects by reason."""

    files: list[FileEntry]
    rejected: Counter[str]


def merge(
    context: StageContext,
    rows: Rows,
    cutoffs: Cutoffs,
    read: int,
    good: int,
    starts: Mapping[str, Sequence[int]],
    first: tuple[int, int] = (0, 0),
    step: str = "write",
) -> Merged:
    """Write all parts.

    Args:
        context: of the stage.
        rows: all rows.
        cutoffs: of the sample.
        read: number of rows that were read.
        good: number of those that can be conversations.
        starts: of files that were read in ranges; see `global_rows`.
        first: numbers of the first part of `conversations` and of `rejects`.
        step: name under which finished units are kept.
    """
    config = context.config.conversations
    parts = power_of_two(min(good, config.sample or good) / config.rows_per_part)
    reject_parts = max(parts, power_of_two(read / REJECT_ROWS))
    writer = _PartWriter(context, rows, cutoffs, parts, reject_parts, starts, first)
    units = [{"unit": n, "of": writer.units} for n in range(writer.units)]
    files: list[FileEntry] = []
    rejected = Counter[str]()
    with Progress("conversations: sort", read) as progress:
        for result in context.kept.stream(step, units, writer, _paths):
            files += result["files"]
            rejected.update(result["reasons"])
            progress.add(sum(file.rows for file in result["files"]))
    return Merged(sorted(files, key=lambda file: file.path), rejected)


def _paths(result: cluster.Unit) -> list[str]:
    return [file.path for file in result["files"]]


@dataclass(frozen=True)
class _PartWriter:
    """Reads buckets and writes their parts of both tables.

    All numbers of buckets and parts are powers of two. A part may hold several buckets, as where a
    sample is drawn, and a bucket several parts.
    """

    context: StageContext
    rows: Rows
    cutoffs: Cutoffs
    parts: int
    reject_parts: int
    starts: Mapping[str, Sequence[int]]
    first: tuple[int, int]

    @property
    def units(self) -> int:
        """How many units there are: of whole buckets and whole parts."""
        return min(self.rows.buckets, self.parts)

    def __call__(self, unit: cluster.Unit) -> cluster.Unit:
        steps = max(self.rows.buckets, self.reject_parts)
        in_bucket, in_unit = steps // self.rows.buckets, steps // self.units
        kept, rejects = list[pa.Table](), list[pa.Table]()
        files, reasons = list[FileEntry](), Counter[str]()
        rows = outgrown = known = None
        for step in range(unit["unit"] * in_unit, (unit["unit"] + 1) * in_unit):
            if step % in_bucket == 0:
                rows = outgrown = None  # before the next bucket comes into memory
                rows, outgrown = self.rows.read(step // in_bucket, RUN)
                if self.rows.known is not None:
                    known = self.rows.beside(step // in_bucket, rows, outgrown)
            assert rows is not None
            assert outgrown is not None
            good, bad = self._divide(rows, outgrown, known, range_bounds(step, steps))
            kept.append(good)
            rejects.append(bad)
            part, rest = divmod(step + 1, steps // self.parts)
            if rest == 0:
                files.append(self._write("conversations", kept, self.first[0] + part - 1))
                kept = []
            part, rest = divmod(step + 1, steps // self.reject_parts)
            if rest == 0:
                reasons.update(_counted(rejects))
                files.append(self._write("rejects", rejects, self.first[1] + part - 1))
                rejects = []
        return {"files": files, "reasons": reasons}

    def _divide(
        self,
        bucket: pa.Table,
        outgrown: pa.Table,
        known: pa.Table | None,
        bounds: tuple[int, int],
    ) -> tuple[pa.Table, pa.Table]:
        keep_identical = self.context.config.conversations.identical_rows == "keep"
        is_whole = self.reject_parts <= self.rows.buckets
        rows = bucket if is_whole else within(bucket, bounds)
        if known is None:
            good, bad = divide(rows, self.cutoffs, outgrown, keep_identical=keep_identical)
            return good.cast(CONVERSATIONS), bad.cast(REJECTS)
        known = known if is_whole else within(known, bounds)
        found = fates(rows, known, outgrown, keep_identical=keep_identical)
        good, bad = divide(
            *(rows, self.cutoffs, outgrown), keep_identical=keep_identical, given=found.reasons
        )
        bad = pa.concat_tables([bad.cast(REJECTS), as_rejects(found.gone)])
        return good.cast(CONVERSATIONS), bad

    def _write(self, name: str, tables: list[pa.Table], part: int) -> FileEntry:
        """Write one part. Each range is sorted by hash and the ranges are in order."""
        table = pa.concat_tables(tables)
        if name == "rejects":
            table = global_rows(table.sort_by(REJECT_ORDER), self.starts)
        return self.context.folder.write_table(name, table, part, private=True)


def _counted(rejects: Sequence[pa.Table]) -> Counter[str]:
    """Rejects by reason."""
    counted = pa.concat_tables(rejects)["reason"].value_counts()
    return Counter({pair["values"]: pair["counts"] for pair in counted.to_pylist()})
