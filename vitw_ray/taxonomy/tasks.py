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

from vitw_ray import cluster
from vitw_ray.config import RunConfig
from vitw_ray.errors import StageFailed
from vitw_ray.keys import Keyed
from vitw_ray.progress import Progress
from vitw_ray.records import TASK_ASSIGNMENTS, TAXONOMY
from vitw_ray.run_folder import FileEntry
from vitw_ray.stages import StageContext
from vitw_ray.storage import Storage
from vitw_ray.taxonomy.frozen.nodes import Nodes
from vitw_ray.taxonomy.frozen.placing import UNPLACED
from vitw_ray.taxonomy.frozen.state import FrozenTree, KnownClusters, task_key
from vitw_ray.taxonomy.frozen.tasks import known_tasks, place_tasks
from vitw_ray.taxonomy.grow import grow_in_shards, grown_quality
from vitw_ray.taxonomy.hierarchy import Parents
from vitw_ray.taxonomy.quality import sampled_leaves
from vitw_ray.taxonomy.sorted_tasks import (
    KEY,
    KEY_BYTES,
    hash_texts,
    read_sorted,
    task_keys,
    write_sorted,
)
from vitw_ray.taxonomy.task_naming import Merged, merged, name_levels
from vitw_ray.taxonomy.task_passes import (
    Members,
    conversations_of,
    count_support,
    look_at_members,
    score_phrases,
)
from vitw_ray.taxonomy.task_shares import ROWS_PER_SHARD, Shares, divided, opened, places
from vitw_ray.taxonomy.task_support import Gate, Gated, Integers, SupportCounts, merge_rare
from vitw_ray.taxonomy.tree import MemberDigest, tree_of
from vitw_ray.taxonomy.vectors.texts import tasks_of
from vitw_ray.taxonomy.vectors.vector_files import TextBlock

CLUSTERS = pa.schema(
    [
        pa.field("key", pa.binary(KEY_BYTES), nullable=False),
        pa.field("cluster", pa.int32(), nullable=False),  # -1 if it is in no cluster that is shown
        pa.field("cell", pa.int32(), nullable=False),  # top cluster, -1 if it would be in none
    ]
)


@dataclass(frozen=True)
class TaskTree:
    """Rows of `taxonomy`, the ids of level 1 by cluster number, the path of `CLUSTERS`, quality."""

    tree: pa.Table
    ids: tuple[str, ...] = ()
    clusters: str | None = None
    quality: Sequence[Mapping[str, Any]] = ()
    known: KnownClusters | None = None
    """What a later run goes on from."""
    details: Mapping[str, Any] | None = None
    """Where the tree is frozen: how many tasks are in known clusters, and how many are not."""


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
    shared_tree: Sequence[Any] = ()
    """Reference of the frozen tree in which tasks are placed, if there is one."""

    def __call__(self) -> TaskTree:
        """Build the tree; the weight of a task is the number of its conversations."""
        frozen = cluster.get_shared(self.shared_tree[0]) if self.shared_tree else None
        if not self.blocks:
            return NO_TASKS if frozen is None else TaskTree(NO_TASKS.tree, known=frozen.of_tasks)
        held = 0 if frozen is None else frozen.tasks
        execution, rows = self.config.execution, self.rows_per_shard
        with opened(self.storage, self.blocks, execution, rows, held) as shares:
            weights = np.concatenate([*shares.run(conversations_of, [()] * len(shares.loads))])
            if frozen is None:
                return self._grow(shares, weights)
            return self._placed(shares, weights, frozen)

    def _grow(self, shares: Shares, weights: Integers) -> TaskTree:
        gate = Gate(self.config.labels, self.known)
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
        ids, keys = self._ids(shares, clusters, gated)
        conversations = _conversations(clusters, weights, gated.upper)
        tree = tree_of("tasks", 1, ids, names, conversations, gated.upper)
        nodes, of_tasks = Nodes(ids, names, gated.upper), task_key(self.keyed)
        known, far = known_tasks(shares, levels[0], nodes, gated.lowest, of_tasks)
        cells = np.where((weights == 1) & far, UNPLACED, nodes.tops[clusters]).astype(np.int32)
        path = self._write(keys, clusters, cells)
        return TaskTree(tree, tuple(ids[0]), path, quality, known)

    def _placed(self, shares: Shares, weights: Integers, frozen: FrozenTree) -> TaskTree:
        """The tree of known clusters; tasks that may not be shown have the cluster -1."""
        gate, secret = Gate(self.config.labels, self.known), self._secret
        found = place_tasks(self.config, frozen, shares, weights, gate, secret)
        keys = np.concatenate([*shares.run(hash_texts, [(self.keyed,)] * len(shares.loads))])
        clusters = np.full(len(weights), UNPLACED, np.int32)
        if found.used is None:
            path = self._write(keys, clusters, found.cells)
            none = NO_TASKS.tree
            return TaskTree(none, clusters=path, known=found.known, details=found.details)
        used, upper = found.used, found.used.levels[1:]
        conversations = _conversations(used.levels[0], weights[found.inside], upper)
        tree = tree_of("tasks", 1, used.ids, used.names, conversations, upper)
        clusters[found.inside] = used.levels[0]
        path = self._write(keys, clusters, found.cells)
        return TaskTree(tree, tuple(used.ids[0]), path, found.quality, found.known, found.details)

    @property
    def _secret(self) -> bytes:
        """Key of the ids of clusters: their members are private."""
        return self.keyed.digest("task cluster", b"")

    def _names(
        self, shares: Shares, found: Merged, gated: Gated, clusters: Parents
    ) -> list[list[tuple[str, str]]]:
        of_shares, parts = found.of_shares, divided(shares, clusters)
        of_rows = [own[one.rows] for own, one in zip(parts, of_shares, strict=True)]
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

    def _ids(
        self, shares: Shares, clusters: Parents, gated: Gated
    ) -> tuple[list[list[str]], np.ndarray]:
        """The ids of the clusters of each level, and (n,) the keyed hash of each task."""
        paths = [f"{self.folder}/sorted-{n:06d}.parquet" for n in range(len(shares.loads))]
        arguments = [
            (of_share, self.keyed, path)
            for of_share, path in zip(divided(shares, clusters), paths, strict=True)
        ]
        keys = np.concatenate([*shares.run(write_sorted, arguments)])
        sizes = [int(clusters.max()) + 1, *(int(parents.max()) + 1 for parents in gated.upper)]
        digests = [[MemberDigest(self._secret) for _ in range(size)] for size in sizes]
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
        return ids, keys

    def _write(self, keys: np.ndarray, clusters: Parents, cells: Parents) -> str:
        order = np.argsort(keys)
        sorted_keys = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(KEY_BYTES), len(keys), [None, pa.py_buffer(keys[order].tobytes())]
        )
        table = pa.table([sorted_keys, clusters[order], cells[order]], schema=CLUSTERS)
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        path = f"{self.folder}/task-clusters.parquet"
        self.storage.write(path, buffer.getvalue())
        return path


def _conversations(lowest: Parents, weights: Integers, upper: Sequence[Parents]) -> list[Integers]:
    """Of the clusters of each level, from the cluster of each task on the first."""
    found = [np.bincount(lowest, weights).astype(np.int64)]
    for parents in upper:
        found.append(np.bincount(parents, found[-1]).astype(np.int64))
    return found


def _support(shares: Shares, clusters: Parents, gate: Gate) -> tuple[SupportCounts, SupportCounts]:
    """The support of words, by their hashes, and of the clusters of the first level."""
    arguments = [(of_share, gate.most) for of_share in divided(shares, clusters)]
    words, of_clusters = zip(*shares.run(count_support, arguments), strict=True)
    return SupportCounts.sum(words, gate.most), SupportCounts.sum(of_clusters, gate.most)


def _members(
    shares: Shares, clusters: Parents, public_words: Integers, gate: Gate
) -> Iterator[Members]:
    size, sample = int(clusters.max()) + 1, places(shares, sampled_leaves(len(clusters)))
    arguments = [
        (of_share, size, public_words, gate, chosen)
        for of_share, chosen in zip(divided(shares, clusters), sample, strict=True)
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
    keys, numbers = np.empty(0, KEY), np.empty(0, np.int32)
    if tasks.clusters is not None:
        keys, numbers, _ = read_clusters(storage, tasks.clusters)
    shared = [cluster.put_shared((keys, numbers, tasks.ids))]

    def assign(unit: cluster.Unit) -> FileEntry:
        keys, numbers, ids = cluster.get_shared(shared[0])
        rows = list(tasks_of(storage, parts[unit["part"]])) if ids else []
        wanted = task_keys(keyed, [task for _, task in rows])
        at = np.searchsorted(keys, wanted)
        if len(wanted) and not np.array_equal(keys[at.clip(max=len(keys) - 1)], wanted):
            raise StageFailed(
                f"tasks of part {unit['part']} are in no cluster",
                "make sure that no other program writes to the run folder, and run again",
            )
        found = zip(rows, (numbers[at] if ids else []), strict=True)
        placed = [(identity, ids[n]) for (identity, _), n in found if n >= 0]
        table = pa.table(
            [[identity for identity, _ in placed], [of for _, of in placed]],
            schema=TASK_ASSIGNMENTS,
        )
        return folder.write_table("task_assignments", table, unit["part"], private=True)

    files = []
    with Progress("taxonomy: assign tasks", context.tables["extractions"].rows) as progress:
        for file in cluster.stream([{"part": n} for n in range(len(parts))], assign):
            files.append(file)
            progress.add(file.rows)
    return sorted(files, key=lambda file: file.path)


def read_clusters(storage: Storage, path: str) -> tuple[np.ndarray, Parents, Parents]:
    """Columns of `CLUSTERS`: sorted hashes of tasks, and the cluster and the cell of each."""
    with storage.open(path) as handle:
        table = pq.read_table(handle).combine_chunks()
    keys = np.frombuffer(table["key"].chunk(0).buffers()[1], KEY)
    return keys, table["cluster"].to_numpy(), table["cell"].to_numpy()
