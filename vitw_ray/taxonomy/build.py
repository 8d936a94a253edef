"""Stage 4: `labels` (and the tasks of `extractions`) -> `taxonomy`, `task_assignments`.

For each facet: embed its leaves, cluster them level by level, name the clusters, build the tree.
Values take their leaves from the kept labels; tasks from the extracted task texts,
one a conversation, which are private: they appear in the tree only through names with enough
support.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vitw_ray import cluster
from vitw_ray.config import RunConfig
from vitw_ray.records import (
    FACETS,
    TASK_ASSIGNMENTS,
    TAXONOMY,
    VALUE_FACETS,
    Facet,
)
from vitw_ray.run_folder import FileEntry, StageReport, read_part, read_table
from vitw_ray.stages import StageContext
from vitw_ray.storage import Storage
from vitw_ray.taxonomy.embed import Embedder, embed_unique, load_embedder
from vitw_ray.taxonomy.hierarchy import build_levels, level_sizes, nodes_of_leaves
from vitw_ray.taxonomy.naming import name_clusters
from vitw_ray.taxonomy.tree import build_tree, cluster_id

Leaves = Sequence[tuple[str, int]]  # (text, conversations), sorted by text
UNITS: tuple[tuple[Facet, ...], ...] = (VALUE_FACETS, ("tasks",))  # labels are few, tasks many


def build_taxonomy(context: StageContext) -> StageReport:
    """Grow the three trees, and assign each conversation's task to its cluster."""
    leaves = _leaves(context)
    execution = context.config.execution
    grower = _Grower(context.config, leaves, context.keyed.digest("task cluster", b""))
    trees: dict[str, pa.Table] = {}
    cluster_of_task: dict[str, str] = {}
    gpus = execution.gpus_per_actor if execution.device == "gpu" else 0.0
    for grown in cluster.stream([{"facets": facets} for facets in UNITS], grower, gpus=gpus):
        for facet, tree, clusters in grown:
            trees[facet] = tree
            if facet == "tasks":
                texts = [text for text, _ in leaves["tasks"]]
                cluster_of_task = dict(zip(texts, clusters, strict=True))
    taxonomy = pa.concat_tables([TAXONOMY.empty_table(), *(trees[f] for f in FACETS)])
    files = [context.folder.write_table("taxonomy", taxonomy)]
    files += _assign_tasks(context, cluster_of_task)
    return StageReport(
        files=files,
        rows_in=sum(len(of_facet) for of_facet in leaves.values()),
        rows_out=taxonomy.num_rows,
        details={"nodes_per_level": {f: _nodes_per_level(trees[f]) for f in FACETS}},
    )


def _nodes_per_level(tree: pa.Table) -> dict[str, int]:
    counts = Counter(tree["level"].to_pylist())
    return {str(level): n for level, n in sorted(counts.items())}


def _leaves(context: StageContext) -> dict[Facet, Leaves]:
    labels = read_table(context.storage, context.tables["labels"])
    kept = labels.filter(pc.field("kept")).to_pylist()
    leaves: dict[Facet, Leaves] = {
        facet: sorted((r["label"], r["conversations"]) for r in kept if r["facet"] == facet)
        for facet in VALUE_FACETS
    }
    leaves["tasks"] = sorted(_count_tasks(context).items())
    return leaves


def _count_tasks(context: StageContext) -> Counter[str]:
    storage, parts = context.storage, context.tables["extractions"].files

    def count_part(unit: cluster.Unit) -> Counter[str]:
        return Counter(task for _, task in tasks_of(storage, parts[unit["part"]]))

    counts = Counter[str]()
    for found in cluster.stream([{"part": n} for n in range(len(parts))], count_part):
        counts.update(found)
    return counts


def tasks_of(storage: Storage, part: FileEntry) -> Iterable[tuple[str, str]]:
    """Id and task of each subjective conversation of a part of `extractions`."""
    table = read_part(storage, part, ["conversation_id", "is_subjective", "task"])
    table = table.filter(pc.field("is_subjective") & ~pc.field("task").is_null())
    ids, tasks = table["conversation_id"].to_pylist(), table["task"].to_pylist()
    return zip(ids, tasks, strict=True)


@dataclass(frozen=True)
class _Grower:
    """Grows the trees of a unit's facets; runs where the embedder may run."""

    config: RunConfig
    leaves: Mapping[Facet, Leaves]
    task_key: bytes  # ids of task clusters are keyed: their members are private texts

    def __call__(self, unit: cluster.Unit) -> list[tuple[Facet, pa.Table, list[str]]]:
        embedder = load_embedder(self.config.taxonomy.embedder, self.config.execution.device)
        return [(facet, *self.grow(facet, embedder)) for facet in unit["facets"]]

    def grow(self, facet: Facet, embedder: Embedder) -> tuple[pa.Table, list[str]]:
        """The tree of a facet, and the level-1 cluster of each of its leaves."""
        config = self.config.taxonomy
        configured = {
            "ai_values": config.ai_value_levels,
            "human_values": config.human_value_levels,
            "tasks": config.task_levels,
        }[facet]
        texts = [text for text, _ in self.leaves[facet]]
        if not texts:
            return TAXONOMY.empty_table(), []
        conversations = np.array([n for _, n in self.leaves[facet]], dtype=np.int64)
        vectors = embed_unique(embedder, texts)
        levels = build_levels(
            vectors,
            level_sizes(len(texts), configured),
            seed=config.taxonomy_seed,
            iterations=config.kmeans_iterations,
            weights=conversations if facet == "tasks" else None,
        )
        is_task = facet == "tasks"
        names = [
            name_clusters(
                texts,
                vectors,
                conversations,
                nodes,
                noun="tasks" if is_task else "values",
                min_conversations=self.config.labels.min_conversations if is_task else 1,
            )
            for nodes in nodes_of_leaves(levels)
        ]
        key = self.task_key if is_task else b""
        tree = build_tree(facet, texts, conversations, levels, names, key=key)
        members: dict[int, list[str]] = {}
        for text, node in zip(texts, levels[0].tolist(), strict=True):
            members.setdefault(node, []).append(text)
        ids = {node: cluster_id(facet, 1, under, key) for node, under in members.items()}
        return tree, [ids[node] for node in levels[0].tolist()]


def _assign_tasks(context: StageContext, cluster_of_task: Mapping[str, str]) -> list[FileEntry]:
    storage, folder = context.storage, context.folder
    parts = context.tables["extractions"].files
    shared = [cluster.share(dict(cluster_of_task))]

    def assign_part(unit: cluster.Unit) -> FileEntry:
        clusters = cluster.shared(shared[0])
        rows = [
            {"conversation_id": identity, "cluster_id": clusters[task]}
            for identity, task in tasks_of(storage, parts[unit["part"]])
        ]
        table = pa.Table.from_pylist(rows, TASK_ASSIGNMENTS)
        return folder.write_table("task_assignments", table, unit["part"], private=True)

    files = cluster.stream([{"part": n} for n in range(len(parts))], assign_part)
    return sorted(files, key=lambda file: file.path)
