"""Draw the sample and merge the sorted runs into parts of `conversations` and `rejects`.

A sample is a cutoff on a hash of the id, so it needs a first pass over all ids. Each hash range is
scanned separately and gives a sketch of bounded size.
"""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from vitw_ray import cluster
from vitw_ray.conversations.runs import (
    INDEX,
    OUTGROWN,
    RUN,
    Cutoffs,
    divide,
    draws,
    is_given,
    repeats,
)
from vitw_ray.conversations.sampling import Sketch, balanced_cutoffs
from vitw_ray.hash_runs import read_range
from vitw_ray.keys import range_bounds
from vitw_ray.progress import Progress
from vitw_ray.records import CONVERSATIONS, REJECTS
from vitw_ray.run_folder import FileEntry
from vitw_ray.stages import StageContext
from vitw_ray.storage import Storage


@dataclass(frozen=True)
class Runs:
    """The sorted runs of a stage: those of all rows, and those that name `OUTGROWN` rows."""

    rows: list[str]
    outgrown: list[str]

    def range(
        self, storage: Storage, bounds: tuple[int, int], schema: pa.Schema
    ) -> tuple[pa.Table, pa.Table]:
        """The rows of a hash range, and which of them are the beginning of another."""
        outgrown = read_range(storage, self.outgrown, bounds, OUTGROWN)
        return read_range(storage, self.rows, bounds, schema), outgrown


def draw(context: StageContext, runs: Runs, ranges: int) -> Cutoffs:
    """Cutoffs of the account cap and of the sample; each needs a pass over all rows."""
    config = context.config.conversations
    cutoffs = Cutoffs(balanced=config.balance_assistants)
    if config.max_per_account is not None:
        sketch = _sketch(context, runs, ranges, cutoffs, "account", config.max_per_account)
        cutoffs = replace(cutoffs, by_account=sketch.cutoffs())
    if config.sample is not None:
        sketch = _sketch(context, runs, ranges, cutoffs, "group", config.sample)
        cutoffs = replace(cutoffs, by_group=balanced_cutoffs(sketch, config.sample))
    return cutoffs


def _sketch(
    context: StageContext, runs: Runs, ranges: int, cutoffs: Cutoffs, by: str, keep: int
) -> Sketch:
    storage = context.storage

    def sketch_range(unit: cluster.Unit) -> Sketch:
        rows, outgrown = runs.range(storage, range_bounds(unit["range"], ranges), INDEX)
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
    for sketch in cluster.stream([{"range": n} for n in range(ranges)], sketch_range):
        merged = merged.merge(sketch)
    return merged


@dataclass(frozen=True)
class Merged:
    """All parts: their files, and rejects by reason."""

    files: list[FileEntry]
    rejected: Counter[str]


def merge(context: StageContext, runs: Runs, rows: int, cutoffs: Cutoffs) -> Merged:
    """Write all parts."""
    config = context.config.conversations
    kept_rows = min(rows, config.sample or rows)
    parts = max(1, -(-kept_rows // config.rows_per_part))
    # With a small sample a part covers many input rows: read them in steps to bound the memory.
    steps = max(1, -(-rows // (parts * config.rows_per_part)))
    writer = _PartWriter(context, runs, cutoffs, parts, steps)
    files: list[FileEntry] = []
    rejected = Counter[str]()
    with Progress("conversations: sort", rows) as progress:
        for result in cluster.stream([{"part": n} for n in range(parts)], writer):
            files += result["files"]
            rejected.update(result["reasons"])
            progress.add(sum(file.rows for file in result["files"]))
    return Merged(sorted(files, key=lambda file: file.path), rejected)


@dataclass(frozen=True)
class _PartWriter:
    """Reads one hash range from the runs and writes its part of both tables."""

    context: StageContext
    runs: Runs
    cutoffs: Cutoffs
    parts: int
    steps: int

    def __call__(self, unit: cluster.Unit) -> cluster.Unit:
        part, storage = unit["part"], self.context.storage
        keep_identical = self.context.config.conversations.identical_rows == "keep"
        kept, rejects = [CONVERSATIONS.empty_table()], [REJECTS.empty_table()]
        for step in range(part * self.steps, (part + 1) * self.steps):
            bounds = range_bounds(step, self.parts * self.steps)
            rows, outgrown = self.runs.range(storage, bounds, RUN)
            good, bad = divide(rows, self.cutoffs, outgrown, keep_identical=keep_identical)
            kept.append(good.cast(CONVERSATIONS))
            rejects.append(bad.cast(REJECTS))
        conversations = pa.concat_tables(kept)
        # Each range is sorted and the ranges are in order. Rejects are sorted by file and row.
        rejected = pa.concat_tables(rejects).sort_by([("file", "ascending"), ("row", "ascending")])
        folder = self.context.folder
        files = [
            folder.write_table("conversations", conversations, part, private=True),
            folder.write_table("rejects", rejected, part, private=True),
        ]
        return {
            "files": files,
            "reasons": Counter(rejected["reason"].to_pylist()),
        }
