"""Draw the sample and merge the sorted runs into parts of `conversations` and `rejects`.

A sample is a cutoff on a hash of the id, so it needs a first pass over all ids. Each hash range is
scanned separately and gives a sketch of bounded size.
"""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from vitw_ray import cluster
from vitw_ray.conversations.runs import INDEX, RUN, Cutoffs, divide, draws, survivors
from vitw_ray.conversations.sampling import Sketch, balanced_cutoffs
from vitw_ray.hash_runs import read_range
from vitw_ray.keys import range_bounds
from vitw_ray.progress import Progress
from vitw_ray.records import CONVERSATIONS, REJECTS
from vitw_ray.run_folder import FileEntry
from vitw_ray.stages import StageContext


def draw(context: StageContext, paths: list[str], ranges: int) -> Cutoffs:
    """Cutoffs of the account cap and of the sample; each needs a pass over all rows."""
    config = context.config.conversations
    cutoffs = Cutoffs(balanced=config.balance_assistants)
    if config.max_per_account is not None:
        sketch = _sketch(context, paths, ranges, cutoffs, "account", config.max_per_account)
        cutoffs = replace(cutoffs, by_account=sketch.cutoffs())
    if config.sample is not None:
        sketch = _sketch(context, paths, ranges, cutoffs, "group", config.sample)
        cutoffs = replace(cutoffs, by_group=balanced_cutoffs(sketch, config.sample))
    return cutoffs


def _sketch(
    context: StageContext, paths: list[str], ranges: int, cutoffs: Cutoffs, by: str, keep: int
) -> Sketch:
    storage = context.storage

    def sketch_range(unit: cluster.Unit) -> Sketch:
        rows = read_range(storage, paths, range_bounds(unit["range"], ranges), INDEX)
        capped, unsampled = draws(rows, survivors(rows), cutoffs)
        stays = rows.filter(pa.array(survivors(rows) & ~capped & ~unsampled))
        hashes = stays["draw"].to_numpy()
        if by == "account":
            groups = stays["account_id"].to_pylist()
        else:
            groups = [cutoffs.group(model) for model in stays["model"].to_pylist()]
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


def merge(context: StageContext, paths: list[str], rows: int, cutoffs: Cutoffs) -> Merged:
    """Write all parts."""
    config = context.config.conversations
    kept_rows = min(rows, config.sample or rows)
    parts = max(1, -(-kept_rows // config.rows_per_part))
    # With a small sample a part covers many input rows: read them in steps to bound the memory.
    steps = max(1, -(-rows // (parts * config.rows_per_part)))
    writer = _PartWriter(context, paths, cutoffs, parts, steps)
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
    paths: list[str]
    cutoffs: Cutoffs
    parts: int
    steps: int

    def __call__(self, unit: cluster.Unit) -> cluster.Unit:
        part, storage = unit["part"], self.context.storage
        kept, rejects = [CONVERSATIONS.empty_table()], [REJECTS.empty_table()]
        for step in range(part * self.steps, (part + 1) * self.steps):
            bounds = range_bounds(step, self.parts * self.steps)
            good, bad = divide(read_range(storage, self.paths, bounds, RUN), self.cutoffs)
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
