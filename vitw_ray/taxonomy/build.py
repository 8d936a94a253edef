"""Stage 4: `labels` (and the tasks of `extractions`) -> `taxonomy`, `task_assignments`.

For each facet: embed its leaves and cluster them level by level; name the clusters; build the tree.
Values take their leaves from the kept labels; tasks from the extracted task texts,
one a conversation, which are private: they appear in the tree only through names with enough
support.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vitw_ray import cluster
from vitw_ray.records import FACETS, TASK_ASSIGNMENTS, TAXONOMY, VALUE_FACETS, Facet, ValueFacet
from vitw_ray.run_folder import FileEntry, StageReport, read_part, read_table
from vitw_ray.stages import StageContext
from vitw_ray.storage import Storage
from vitw_ray.taxonomy.grow import Grower, Grown, Leaves
from vitw_ray.taxonomy.hierarchy import Parents
from vitw_ray.taxonomy.listing import Clustered
from vitw_ray.taxonomy.naming import Named
from vitw_ray.taxonomy.naming_actor import name_by_model
from vitw_ray.taxonomy.tree import build_tree, cluster_id

UNITS: tuple[tuple[Facet, ...], ...] = (VALUE_FACETS, ("tasks",))  # labels are few, tasks many


def build_taxonomy(context: StageContext) -> StageReport:
    """Grow the three trees, and assign each conversation's task to its cluster."""
    leaves = _leaves(context)
    grown = _grow(context, leaves)
    levels, names, naming = _names(context, leaves, grown)
    # Ids of task clusters are keyed: their members are private texts.
    key: dict[Facet, bytes] = {"tasks": context.keyed.digest("task cluster", b"")}
    trees = {
        facet: build_tree(
            facet,
            *_columns(leaves[facet]),
            levels[facet],
            names[facet],
            key=key.get(facet, b""),
        )
        for facet in FACETS
    }
    taxonomy = pa.concat_tables([TAXONOMY.empty_table(), *trees.values()])
    files = [context.folder.write_table("taxonomy", taxonomy)]
    files += _assign_tasks(context, _cluster_of_task(leaves["tasks"], grown["tasks"], key["tasks"]))
    return StageReport(
        files=files,
        rows_in=sum(len(of_facet) for of_facet in leaves.values()),
        rows_out=taxonomy.num_rows,
        details={"nodes_per_level": {f: _nodes_per_level(trees[f]) for f in FACETS}, **naming},
    )


def _grow(context: StageContext, leaves: Mapping[Facet, Leaves]) -> dict[Facet, Grown]:
    execution = context.config.execution
    by_model = VALUE_FACETS if context.config.taxonomy.naming == "model" else ()
    grower = Grower(context.config, leaves, unnamed=by_model)
    gpus = execution.gpus_per_actor if execution.device == "gpu" else 0.0
    units = [{"facets": facets} for facets in UNITS]
    grown = cluster.stream(units, grower, gpus=gpus)
    return {one.facet: one for of_unit in grown for one in of_unit}


def _names(
    context: StageContext, leaves: Mapping[Facet, Leaves], grown: Mapping[Facet, Grown]
) -> tuple[dict[Facet, Sequence[Parents]], dict[Facet, Sequence[Sequence[Named]]], dict[str, Any]]:
    """All levels and their names, and what the manifest says of how a model found them."""
    levels: dict[Facet, Sequence[Parents]] = {f: g.levels for f, g in grown.items()}
    names: dict[Facet, Sequence[Sequence[Named]]] = {f: g.names or [] for f, g in grown.items()}
    unnamed: dict[ValueFacet, Clustered] = {
        facet: Clustered(*_columns(leaves[facet]), vectors, grown[facet].levels)
        for facet in VALUE_FACETS
        if (vectors := grown[facet].vectors) is not None
    }
    if not unnamed:
        return levels, names, {}
    by_model = name_by_model(context.config, unnamed)
    found = {"naming": by_model.details()}
    return {**levels, **by_model.levels}, {**names, **by_model.names}, found


def _columns(leaves: Leaves) -> tuple[list[str], np.ndarray]:
    texts = [text for text, _ in leaves]
    return texts, np.array([conversations for _, conversations in leaves], dtype=np.int64)


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


def _cluster_of_task(tasks: Leaves, grown: Grown, key: bytes) -> dict[str, str]:
    """The level-1 cluster of each task text."""
    if not tasks:
        return {}
    nodes = dict(zip((text for text, _ in tasks), grown.levels[0].tolist(), strict=True))
    members: dict[int, list[str]] = {}
    for text, node in nodes.items():
        members.setdefault(node, []).append(text)
    ids = {node: cluster_id("tasks", 1, under, key) for node, under in members.items()}
    return {text: ids[node] for text, node in nodes.items()}


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
