"""The tree of tasks. Task texts are private, and there is one per conversation.

Texts and vectors stay in shares of the tasks (`task_shares`, `task_passes`). One worker builds the
tree: of each task it holds how many conversations have it, its cluster and its keyed hash. The
driver sees only clusters and keyed hashes. Task texts appear in the tree only as cluster names with
enough support, and the clusters of the tree have enough support themselves.
"""

import heapq
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vitw_ray import cluster
from vitw_ray.config import RunConfig
from vitw_ray.errors import StageFailed
from vitw_ray.keys import Keyed
from vitw_ray.progress import Progress
from vitw_ray.records import TASK_ASSIGNMENTS, TAXONOMY
from vitw_ray.run_folder import FileEntry
from vitw_ray.stages import StageContext
from vitw_ray.storage import Storage
from vitw_ray.taxonomy.grow import grow_in_shards, grown_quality
from vitw_ray.taxonomy.hierarchy import Parents
from vitw_ray.taxonomy.quality import sampled_leaves
from vitw_ray.taxonomy.task_naming import Merged, merged, name_levels
from vitw_ray.taxonomy.task_passes import (
    KEY,
    KEY_BYTES,
    Members,
    conversations_of,
    count_support,
    look_at_members,
    read_sorted,
    score_phrases,
    task_keys,
    write_sorted,
)
from vitw_ray.taxonomy.task_shares import ROWS_PER_SHARD, Shares, opened
from vitw_ray.taxonomy.task_support import Gate, Gated, Integers, SupportCounts, merge_rare
from vitw_ray.taxonomy.tree import MemberDigest, tree_of
from vitw_ray.taxonomy.vectors.texts import tasks_of
from vitw_ray.taxonomy.vectors.vector_files import TextBlock

CLUSTERS = pa.schema(
    [
        pa.field("key", pa.binary(KEY_BYTES), nullable=False),
        pa.field("cluster", pa.int32(), nullable=False),
    ]
)


@dataclass(frozen=True)
class TaskTree:
    """Rows of `taxonomy`, the ids of level 1 by cluster number, the path of `CLUSTERS`, quality."""

    tree: pa.Table
    ids: tuple[str, ...] = ()
    clusters: str | None = None
    quality: Sequence[Mapping[str, Any]] = ()


NO_TASKS = TaskTree(TAXONOMY.empty_table())


@dataclass(frozen=True)
class TaskGrower:
    """Builds the tree of tasks and writes the cluster of each task below `folder`."""

    config: RunConfig
    storage: Storage
    keyed: Keyed
    blocks: Sequence[TextBlock]
    folder: str
    rows_per_shard: int = ROWS_PER_SHARD
    known: bool = False
    """Whether any conversation of the run names its account."""

    def __call__(self) -> TaskTree:
        """Build the tree; the weight of a task is the number of its conversations."""
        if not self.blocks:
            return NO_TASKS
        opening = opened(self.storage, self.blocks, self.config.execution, self.rows_per_shard)
        with opening as shares:
            return self._grow(shares)

    def _grow(self, shares: Shares) -> TaskTree:
        gate = Gate(self.config.labels, self.known)
        weights = np.concatenate([*shares.run(conversations_of, [()] * len(shares.loads))])
        levels = grow_in_shards(self.config.taxonomy, "tasks", weights, shares.shards)
        of_words, of_clusters = _support(shares, levels[0], gate)
        gated = merge_rare(levels[1:], of_clusters, gate)
        if gated is None:
            return NO_TASKS
        clusters = gated.lowest[levels[0]]
        words = of_words.passing(gate)
        found = merged(_members(shares, clusters, words, gate), len(words))
        sample = np.concatenate([one.sample for one in found.of_shares])
        quality = grown_quality(self.config.taxonomy, "tasks", sample, levels, weights)
        names = self._names(shares, found, gated, clusters)
        conversations = [np.bincount(clusters, weights).astype(np.int64)]
        for parents in gated.upper:
            conversations.append(np.bincount(parents, conversations[-1]).astype(np.int64))
        ids, path = self._finish(shares, clusters, gated)
        tree = tree_of("tasks", 1, ids, names, conversations, gated.upper)
        return TaskTree(tree, tuple(ids[0]), path, quality)

    def _names(
        self, shares: Shares, found: Merged, gated: Gated, clusters: Parents
    ) -> list[list[tuple[str, str]]]:
        of_shares, divided = found.of_shares, _divided(shares, clusters)
        of_rows = [own[one.rows] for own, one in zip(divided, of_shares, strict=True)]
        centres = found.centres(gated.upper)
        arguments = [
            (one.rows, _nodes(lowest, gated.upper), centres)
            for one, lowest in zip(of_shares, of_rows, strict=True)
        ]
        cosines = np.concatenate([*shares.run(score_phrases, arguments)], axis=1)
        phrases = [
            pair
            for one in of_shares
            for pair in zip(one.phrases, one.conversations.tolist(), strict=True)
        ]
        least = self.config.labels.min_conversations
        return name_levels(found, gated, phrases, np.concatenate(of_rows), cosines, least)

    def _finish(
        self, shares: Shares, clusters: Parents, gated: Gated
    ) -> tuple[list[list[str]], str]:
        """The ids of the clusters of each level, and the path of the table `CLUSTERS`."""
        paths = [f"{self.folder}/sorted-{n:06d}.parquet" for n in range(len(shares.loads))]
        arguments = [
            (of_share, self.keyed, path)
            for of_share, path in zip(_divided(shares, clusters), paths, strict=True)
        ]
        keys = np.concatenate([*shares.run(write_sorted, arguments)])
        secret = self.keyed.digest("task cluster", b"")  # ids are keyed: their members are private
        sizes = [int(clusters.max()) + 1, *(int(parents.max()) + 1 for parents in gated.upper)]
        digests = [[MemberDigest(secret) for _ in range(size)] for size in sizes]
        above = [parents.tolist() for parents in gated.upper]
        in_order = [read_sorted(load, path) for load, path in zip(shares.loads, paths, strict=True)]
        for text, node in heapq.merge(*in_order):
            digests[0][node].add(text)
            for parents, of_level in zip(above, digests[1:], strict=True):
                node = parents[node]
                of_level[node].add(text)
        ids = [
            [digest.cluster_id("tasks", level) for digest in of_level]
            for level, of_level in enumerate(digests, 1)
        ]
        return ids, self._write(keys, clusters)

    def _write(self, keys: NDArray[Any], clusters: Parents) -> str:
        order = np.argsort(keys)
        sorted_keys = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(KEY_BYTES), len(keys), [None, pa.py_buffer(keys[order].tobytes())]
        )
        table = pa.table([sorted_keys, clusters[order]], schema=CLUSTERS)
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        path = f"{self.folder}/task-clusters.parquet"
        self.storage.write(path, buffer.getvalue())
        return path


def _divided(shares: Shares, of_tasks: NDArray[Any]) -> list[NDArray[Any]]:
    """What belongs to the tasks of each share."""
    ends = np.cumsum([sum(load.sizes()) for load in shares.loads])
    return np.split(of_tasks, ends[:-1])


def _support(shares: Shares, clusters: Parents, gate: Gate) -> tuple[SupportCounts, SupportCounts]:
    """The support of words, by their hashes, and of the clusters of the first level."""
    arguments = [(of_share, gate.most) for of_share in _divided(shares, clusters)]
    words, of_clusters = zip(*shares.run(count_support, arguments), strict=True)
    return SupportCounts.sum(words, gate.most), SupportCounts.sum(of_clusters, gate.most)


def _members(
    shares: Shares, clusters: Parents, public_words: Integers, gate: Gate
) -> Iterator[Members]:
    sample, size = sampled_leaves(len(clusters)), int(clusters.max()) + 1
    ends = np.cumsum([sum(load.sizes()) for load in shares.loads])
    cuts = np.split(sample, np.searchsorted(sample, ends[:-1]))
    starts = [0, *ends[:-1].tolist()]
    arguments = [
        (of_share, size, public_words, gate, cut - start)
        for of_share, cut, start in zip(_divided(shares, clusters), cuts, starts, strict=True)
    ]
    return shares.run(look_at_members, arguments)


def _nodes(lowest: Parents, upper: Sequence[Parents]) -> list[Parents]:
    """For each level, the cluster of some tasks, given their clusters on the first."""
    found = [lowest]
    for parents in upper:
        found.append(parents[found[-1]])
    return found


def assign_tasks(context: StageContext, tasks: TaskTree) -> list[FileEntry]:
    """Write `task_assignments`, part by part; workers share a table of 20 bytes per task."""
    storage, folder, keyed = context.storage, context.folder, context.keyed
    parts = context.tables["extractions"].files
    shared = [cluster.put_shared((*_numbers_of_tasks(storage, tasks), tasks.ids))]

    def assign(unit: cluster.Unit) -> FileEntry:
        keys, numbers, ids = cluster.get_shared(shared[0])
        rows = list(tasks_of(storage, parts[unit["part"]])) if ids else []
        wanted = task_keys(keyed, [task for _, task in rows])
        places = np.searchsorted(keys, wanted)
        if len(wanted) and not np.array_equal(keys[places.clip(max=len(keys) - 1)], wanted):
            raise StageFailed(
                f"tasks of part {unit['part']} are in no cluster",
                "make sure that no other program writes to the run folder, and run again",
            )
        table = pa.table(
            [[identity for identity, _ in rows], [ids[n] for n in numbers[places]]],
            schema=TASK_ASSIGNMENTS,
        )
        return folder.write_table("task_assignments", table, unit["part"], private=True)

    files = []
    with Progress("taxonomy: assign tasks", context.tables["extractions"].rows) as progress:
        for file in cluster.stream([{"part": n} for n in range(len(parts))], assign):
            files.append(file)
            progress.add(file.rows)
    return sorted(files, key=lambda file: file.path)


def _numbers_of_tasks(storage: Storage, tasks: TaskTree) -> tuple[NDArray[Any], Parents]:
    """Keyed hashes of all tasks, sorted, and the cluster of each on the first level."""
    if tasks.clusters is None:
        return np.empty(0, KEY), np.empty(0, np.int32)
    with storage.open(tasks.clusters) as handle:
        table = pq.read_table(handle).combine_chunks()
    return np.frombuffer(table["key"].chunk(0).buffers()[1], KEY), table["cluster"].to_numpy()
