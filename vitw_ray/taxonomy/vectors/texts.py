"""The texts to embed: unique, counted, and divided into blocks by their hash.

A block has all texts whose hash is in one range, so it changes only if one of its own texts is
added or removed. Texts are exchanged through storage (`hash_runs`): a worker has one block in
memory, the driver none.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vitw_ray import cluster
from vitw_ray.gate import Support
from vitw_ray.hash_buckets import Buckets, merge_runs
from vitw_ray.hash_runs import write_sorted_run
from vitw_ray.keys import id_hash
from vitw_ray.run_folder import FileEntry, read_part
from vitw_ray.stages import StageContext
from vitw_ray.storage import PRIVATE, Storage

TEXTS = pa.schema(
    [
        pa.field("hash", pa.int64(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("conversations", pa.int64(), nullable=False),
        pa.field("accounts", pa.list_(pa.int64()), nullable=False),
    ]
)
RUN_ROWS = 16_384  # ours: conversations whose tasks are a run, and labels in phrases; a few MB
# Ours: so many groups of runs are merged. A block reads one piece of each, whatever the input.
GROUPS = 4
RUNS_IN_A_GROUP = 256  # ours: so many files are open at once
MOST_RUNS = GROUPS * RUNS_IN_A_GROUP  # runs are longer where there would be more


@dataclass(frozen=True)
class Texts:
    """Texts of one kind, as sorted runs.

    Attributes:
        kind: `values` or `tasks`.
        runs: paths of the runs; a text may be in several, and its counts are added.
        rows: sum of the distinct texts of all parts, at least the number of distinct texts.
        most_accounts: so many accounts of a text are known at most; more decide nothing.
        buckets: the runs, merged for a number of blocks; None: a block reads all runs.
    """

    kind: str
    runs: tuple[str, ...]
    rows: int
    most_accounts: int = 0
    buckets: Buckets | None = None

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
    unique = list(dict.fromkeys(texts))
    runs = [
        path
        for start in range(0, len(unique), RUN_ROWS)
        for path in write_counts(
            context.storage, scratch(context), dict.fromkeys(unique[start : start + RUN_ROWS], 0)
        )
    ]
    return Texts("values", tuple(runs), len(unique))


def write_tasks(context: StageContext) -> Texts:
    """Write the task texts of subjective conversations, counted by workers part by part.

    A part is opened once. A run has the tasks of some parts that follow each other, as many as
    their numbers of rows say.
    """
    storage, folder = context.storage, scratch(context)
    parts = context.tables["extractions"].files
    named = context.manifests["labels"]["details"]["with_account"]
    most = context.config.labels.min_accounts if named else 0

    def count(unit: cluster.Unit) -> tuple[tuple[str, ...], int]:
        found, rows = Support[str](most), 0
        for part in parts[unit["start"] : unit["stop"]]:
            rows += _count_part(storage, part, found)
        return write_counts(storage, folder, found.conversations, found.accounts), rows

    counted = list(cluster.stream(_units(parts), count))
    runs = sorted(path for paths, _ in counted for path in paths)
    return Texts("tasks", tuple(runs), sum(rows for _, rows in counted), most)


def _units(parts: Sequence[FileEntry]) -> list[cluster.Unit]:
    """Parts that follow each other, until they have the rows of a run."""
    rows = max(RUN_ROWS, -(-sum(part.rows for part in parts) // MOST_RUNS))
    units: list[cluster.Unit] = []
    start = held = 0
    for number, part in enumerate(parts, 1):
        held += part.rows
        if held >= rows or number == len(parts):
            units.append({"start": start, "stop": number})
            start, held = number, 0
    return units


def _count_part(storage: Storage, part: FileEntry, found: Support[str]) -> int:
    """Count the tasks of a part of `extractions`; returns how many distinct ones it has."""
    columns = ["is_subjective", "task", *(["account_id"] if found.most else [])]
    table = _with_task(read_part(storage, part, columns))
    tasks = table["task"].to_pylist()
    people = table["account_id"].to_pylist() if found.most else [None] * len(tasks)
    for task, account in zip(tasks, people, strict=True):
        found.count(task, account)
    return len(set(tasks))


def merge_texts(storage: Storage, folder: str, texts: Texts, blocks: int) -> Texts:
    """Merge the runs of some texts for so many blocks: each then reads no more than its own."""
    runs = len(texts.runs)
    if blocks == 1 or runs <= GROUPS:  # a block reads no more files than it would read pieces
        return texts
    groups = max(GROUPS, -(-runs // RUNS_IN_A_GROUP))
    return replace(
        texts, buckets=merge_runs(storage, folder, texts.runs, blocks, groups=groups), runs=()
    )


def read_block(storage: Storage, texts: Texts, block: int, blocks: int) -> pa.Table:
    """Read one of `blocks` equal hash ranges.

    Returns:
        Columns text (sorted, unique), conversations and accounts: the hashes of the least of them,
        sorted, at most `texts.most_accounts`.
    """
    buckets = texts.buckets or Buckets(storage, blocks, texts.runs)
    rows = buckets.read(block, TEXTS)
    counted = rows.group_by("text").aggregate([("conversations", "sum")]).sort_by("text")
    table = counted.rename_columns({"conversations_sum": "conversations"}).select(TEXTS.names[1:3])
    accounts = _merged_accounts(rows, table["text"], texts.most_accounts)
    return table.append_column(TEXTS.field("accounts"), accounts)


def _merged_accounts(rows: pa.Table, texts: pa.ChunkedArray, most: int) -> pa.Array:
    """For each of some texts, the least hashes of its accounts."""
    lists = rows["accounts"].combine_chunks()
    options = pc.SetLookupOptions(texts.combine_chunks())
    place = pc.call_function("index_in", [rows["text"].combine_chunks()], options)
    owners = pc.call_function("list_parent_indices", [lists]).to_numpy()
    numbers = place.to_numpy().astype(np.int64)[owners]
    numbers, people = least_of_each(numbers, lists.flatten().to_numpy(), most)
    ends = np.searchsorted(numbers, np.arange(len(texts) + 1))
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(people, pa.int64()))


def least_of_each(
    keys: NDArray[np.int64], values: NDArray[np.int64], most: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The distinct pairs, sorted; of each key at most so many, those with the least values."""
    order = np.lexsort((values, keys))
    keys, values = keys[order], values[order]
    is_new = np.ones(len(keys), bool)
    is_new[1:] = (keys[1:] != keys[:-1]) | (values[1:] != values[:-1])
    keys, values = keys[is_new], values[is_new]
    first = np.searchsorted(keys, keys)
    kept = np.arange(len(keys)) - first < most
    return keys[kept], values[kept]


def tasks_of(storage: Storage, part: FileEntry) -> Iterator[tuple[str, str]]:
    """Id and task of each subjective conversation in a part of `extractions`."""
    table = _with_task(read_part(storage, part, ["conversation_id", "is_subjective", "task"]))
    return zip(table["conversation_id"].to_pylist(), table["task"].to_pylist(), strict=True)


def _with_task(table: pa.Table) -> pa.Table:
    return table.filter(pc.field("is_subjective") & ~pc.field("task").is_null())


def write_counts(
    storage: Storage,
    folder: str,
    counts: Mapping[str, int],
    accounts: Mapping[str, Collection[int]] | None = None,
) -> tuple[str, ...]:
    """Write texts with their numbers of conversations, and hashes of their accounts, as a run.

    Returns its path, if there are any texts.
    """
    if not counts:
        return ()
    of = accounts or {}
    columns = [
        [id_hash(text) for text in counts],
        list(counts),
        list(counts.values()),
        [list(of.get(text, ())) for text in counts],
    ]
    table = pa.table(
        [pa.array(c, f.type) for c, f in zip(columns, TEXTS, strict=True)], schema=TEXTS
    )
    return (write_sorted_run(storage, folder, table),)
