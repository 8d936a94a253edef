"""The tree of tasks. Task texts are private, and there is one per conversation.

A worker reads texts and vectors from storage, builds the tree, names it and writes the result. The
driver sees only clusters and keyed hashes of texts. Task texts appear in the tree only as cluster
names with enough support, and the clusters of the tree have enough support themselves.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
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
from vitw_ray.taxonomy.frozen.placing import leaves_of, left_out, reach_of
from vitw_ray.taxonomy.frozen.state import FrozenTree, KnownClusters, task_hashes, task_key
from vitw_ray.taxonomy.frozen.tasks import place_tasks
from vitw_ray.taxonomy.grow import grow_levels, grown_quality
from vitw_ray.taxonomy.hierarchy import Parents, nodes_of_leaves
from vitw_ray.taxonomy.kmeans.gpu_shard import GpuShard
from vitw_ray.taxonomy.kmeans.ray_shards import RayShards
from vitw_ray.taxonomy.kmeans.shards import ArrayShard, Shard
from vitw_ray.taxonomy.naming.member_naming import Named, Public, name_clusters
from vitw_ray.taxonomy.task_support import Gated, TaskSupport, merge_rare, read_support
from vitw_ray.taxonomy.tree import build_tree, cluster_ids
from vitw_ray.taxonomy.vectors.texts import tasks_of
from vitw_ray.taxonomy.vectors.vector_files import EmbeddedTexts, TextBlock, read_blocks, shares

ROWS_PER_SHARD = 250_000  # ours: 0.4 GB of vectors of 384 numbers
SHARD_CPUS = 0.1  # ours: the worker that waits reserves a whole CPU, and all shards must fit beside
KEY_BYTES = 16
KEY = f"S{KEY_BYTES}"  # numpy's type of a task's keyed hash
CLUSTERS = pa.schema(
    [
        pa.field("key", pa.binary(KEY_BYTES), nullable=False),
        pa.field("cluster", pa.int32(), nullable=False),
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
    parts: Sequence[FileEntry] | None = None
    """Of `extractions`, to read accounts from; None where no conversation names its account."""
    shared_tree: Sequence[Any] = ()
    """Reference of the frozen tree in which tasks are placed, if there is one."""

    def __call__(self) -> TaskTree:
        """Build the tree; the weight of a task is the number of its conversations."""
        if not self.blocks:
            return NO_TASKS
        tasks = read_blocks(self.storage, self.blocks)
        key = self.keyed.digest("task cluster", b"")  # ids are keyed: their members are private
        if self.shared_tree:
            return self._placed(tasks, cluster.get_shared(self.shared_tree[0]), key)
        with self._shards() as shards:
            levels = grow_levels(
                self.config.taxonomy, "tasks", tasks.vectors, tasks.conversations, shards=shards
            )
        quality = grown_quality(
            self.config.taxonomy, "tasks", tasks.vectors, levels, tasks.conversations
        )
        support = self._support(tasks)
        gated = merge_rare(levels, support)
        if gated is None:
            return NO_TASKS
        names = self._names(tasks, gated, support)
        ids = cluster_ids("tasks", tasks.texts, gated.levels, key)
        tree = build_tree("tasks", tasks.texts, tasks.conversations, gated.levels, names, ids=ids)
        clusters = gated.levels[0]
        reach = reach_of(tasks.vectors, levels[0], clusters)
        nodes = Nodes(ids, names, gated.levels[1:])
        hashes = task_hashes(task_key(self.keyed), tasks.texts)
        known = KnownClusters(nodes, reach, leaves_of(hashes, clusters))
        alone = (tasks.conversations == 1) & left_out(tasks.vectors, levels[0], reach)
        cells = np.where(alone, -1, nodes.tops[clusters]).astype(np.int32)
        path = self._write(tasks.texts, clusters, cells)
        return TaskTree(tree, tuple(ids[0]), path, quality, known)

    def _placed(self, tasks: EmbeddedTexts, frozen: FrozenTree, key: bytes) -> TaskTree:
        """The tree of known clusters; tasks that may not be shown have the cluster -1."""
        found = place_tasks(self.config, frozen, tasks, self._support(tasks), key)
        clusters = np.full(len(found.inside), -1, np.int32)
        if found.used is None:
            path = self._write(tasks.texts, clusters, found.cells)
            none = NO_TASKS.tree
            return TaskTree(none, clusters=path, known=found.known, details=found.details)
        used, inside = found.used, found.inside
        texts = [text for text, one in zip(tasks.texts, inside.tolist(), strict=True) if one]
        tree = build_tree(
            "tasks", texts, tasks.conversations[inside], used.levels, used.names, ids=used.ids
        )
        clusters[inside] = used.levels[0]
        path = self._write(tasks.texts, clusters, found.cells)
        return TaskTree(tree, tuple(used.ids[0]), path, found.quality, found.known, found.details)

    def _support(self, tasks: EmbeddedTexts) -> TaskSupport:
        texts, conversations, labels = tasks.texts, tasks.conversations, self.config.labels
        if self.parts is None:
            return TaskSupport(texts, conversations, labels)
        return read_support(self.storage, self.parts, texts, conversations, labels)

    def _names(self, tasks: EmbeddedTexts, gated: Gated, support: TaskSupport) -> list[list[Named]]:
        public = Public(support.phrases, support.words)
        return [
            name_clusters(
                tasks.texts,
                tasks.vectors,
                tasks.conversations,
                nodes,
                noun="tasks",
                min_conversations=self.config.labels.min_conversations,
                public=public,
                unnamed=merged,
            )
            for nodes, merged in zip(nodes_of_leaves(gated.levels), gated.merged, strict=True)
        ]

    @contextmanager
    def _shards(self) -> Iterator[Sequence[Shard] | None]:
        """Shards in actors, if the rows fill at least two; else None."""
        execution, total = self.config.execution, sum(block.texts for block in self.blocks)
        rows = max(self.rows_per_shard, -(-total // execution.actors))  # at most one per extractor
        loads = shares(self.storage, self.blocks, rows)
        if len(loads) < 2:
            yield None
            return
        on_gpu = execution.device == "gpu"
        shards = RayShards(
            loads,
            make=GpuShard if on_gpu else ArrayShard,
            num_cpus=SHARD_CPUS,
            num_gpus=min(1.0, execution.gpus_per_actor) if on_gpu else 0.0,
        )
        try:
            yield [shards]
        finally:
            shards.close()

    def _write(self, texts: Sequence[str], clusters: Parents, cells: Parents) -> str:
        keys = hashes_of_tasks(self.keyed, texts)
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
        wanted = hashes_of_tasks(keyed, [task for _, task in rows])
        places = np.searchsorted(keys, wanted)
        if len(wanted) and not np.array_equal(keys[places.clip(max=len(keys) - 1)], wanted):
            raise StageFailed(
                f"tasks of part {unit['part']} are in no cluster",
                "make sure that no other program writes to the run folder, and run again",
            )
        found = zip(rows, (numbers[places] if ids else []), strict=True)
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


def read_clusters(storage: Storage, path: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns of `CLUSTERS`: sorted hashes of tasks, and the cluster and the cell of each."""
    with storage.open(path) as handle:
        table = pq.read_table(handle).combine_chunks()
    keys = np.frombuffer(table["key"].chunk(0).buffers()[1], KEY)
    return keys, table["cluster"].to_numpy(), table["cell"].to_numpy()


def hashes_of_tasks(keyed: Keyed, texts: Sequence[str]) -> np.ndarray:
    """(n,) keyed hash of each text."""
    return np.array([keyed.digest("task", text.encode(), KEY_BYTES) for text in texts], KEY)
