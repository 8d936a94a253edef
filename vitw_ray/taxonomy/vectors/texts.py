"""The texts to embed: unique, counted, and divided into blocks by their hash.

A block has all texts whose hash is in one range, so it changes only if one of its own texts is
added or removed. Texts are exchanged through storage (`hash_runs`): a worker has one block in
memory, the driver none.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from vitw_ray import cluster
from vitw_ray.hash_runs import read_range, write_sorted_run
from vitw_ray.keys import id_hash, range_bounds
from vitw_ray.run_folder import FileEntry, read_part
from vitw_ray.stages import StageContext
from vitw_ray.storage import PRIVATE, Storage

TEXTS = pa.schema(
    [
        pa.field("hash", pa.int64(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("conversations", pa.int64(), nullable=False),
    ]
)
MAX_RUNS = 128  # ours: each block opens every run, and there can be tens of thousands of parts


@dataclass(frozen=True)
class Texts:
    """Texts of one kind, as sorted runs.

    Attributes:
        kind: `values` or `tasks`.
        runs: paths of the runs; a text may be in several, and its counts are added.
        rows: total rows of all runs, at least the number of distinct texts.
    """

    kind: str
    runs: tuple[str, ...]
    rows: int

    def blocks(self, texts: int) -> int:
        """Number of blocks of about `texts` texts each.

        It is a power of two, so that a few new texts do not move the borders of blocks.
        """
        return 1 << max(0, -(-self.rows // texts) - 1).bit_length()


def scratch(context: StageContext) -> str:
    """Folder for a stage's temporary files; private, because they contain texts."""
    return f"{PRIVATE}/{context.folder.name}/scratch"


def write_values(context: StageContext, texts: Iterable[str]) -> Texts:
    """Write the texts of the value facets, each once; counts are 0, as each facet has its own."""
    counts = dict.fromkeys(texts, 0)
    return Texts("values", write_counts(context.storage, scratch(context), counts), len(counts))


def write_tasks(context: StageContext) -> Texts:
    """Write the task texts of subjective conversations, counted by workers part by part."""
    storage, folder = context.storage, scratch(context)
    parts = context.tables["extractions"].files
    at_once = max(1, -(-len(parts) // MAX_RUNS))
    units = [
        {"start": start, "stop": min(start + at_once, len(parts))}
        for start in range(0, len(parts), at_once)
    ]

    def count(unit: cluster.Unit) -> tuple[tuple[str, ...], int]:
        counts = Counter[str]()
        for part in parts[unit["start"] : unit["stop"]]:
            counts.update(task for _, task in tasks_of(storage, part))
        return write_counts(storage, folder, counts), len(counts)

    found = list(cluster.stream(units, count))
    runs = sorted(path for paths, _ in found for path in paths)
    return Texts("tasks", tuple(runs), sum(rows for _, rows in found))


def read_block(storage: Storage, texts: Texts, block: int, blocks: int) -> pa.Table:
    """Read one of `blocks` equal hash ranges: columns text (sorted, unique) and conversations."""
    rows = read_range(storage, texts.runs, range_bounds(block, blocks), TEXTS)
    counted = rows.group_by("text").aggregate([("conversations", "sum")]).sort_by("text")
    return counted.rename_columns({"conversations_sum": "conversations"}).select(TEXTS.names[1:])


def tasks_of(storage: Storage, part: FileEntry) -> Iterable[tuple[str, str]]:
    """Id and task of each subjective conversation in a part of `extractions`."""
    table = read_part(storage, part, ["conversation_id", "is_subjective", "task"])
    table = table.filter(pc.field("is_subjective") & ~pc.field("task").is_null())
    ids, tasks = table["conversation_id"].to_pylist(), table["task"].to_pylist()
    return zip(ids, tasks, strict=True)


def write_counts(storage: Storage, folder: str, counts: Mapping[str, int]) -> tuple[str, ...]:
    """Write texts and their numbers of conversations as a run; return its path, if any texts."""
    if not counts:
        return ()
    rows = [
        {"hash": id_hash(text), "text": text, "conversations": conversations}
        for text, conversations in counts.items()
    ]
    return (write_sorted_run(storage, folder, pa.Table.from_pylist(rows, TEXTS)),)
