"""Stage 4: `labels` (and the tasks of `extractions`) -> `taxonomy`, `task_assignments`.

Embeds the texts, clusters them level by level, names the clusters and builds the trees. The leaves
of a value facet are its kept labels. The leaves of `tasks` are the extracted task texts, one per
conversation.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vitw_ray import cluster
from vitw_ray.facets import LABEL_TREES, TREE_FACETS, ValueFacet
from vitw_ray.inference.embedder_files import describe_embedder
from vitw_ray.progress import Progress
from vitw_ray.records import TAXONOMY
from vitw_ray.run_folder import StageReport, read_table
from vitw_ray.stages import StageContext
from vitw_ray.taxonomy.frozen.alarm import alarm_of, reference_of
from vitw_ray.taxonomy.frozen.nodes import Nodes
from vitw_ray.taxonomy.frozen.placing import label_keys, leaves_of
from vitw_ray.taxonomy.frozen.source import FrozenRun, find_frozen
from vitw_ray.taxonomy.frozen.state import FrozenTree, KnownClusters, task_key, write_state
from vitw_ray.taxonomy.grow import Grown, Leaves, ValueGrower
from vitw_ray.taxonomy.hierarchy import Parents
from vitw_ray.taxonomy.model_actor import name_by_model
from vitw_ray.taxonomy.naming.listing import Clustered
from vitw_ray.taxonomy.naming.member_naming import Named
from vitw_ray.taxonomy.quality import describe_levels
from vitw_ray.taxonomy.sorted_tasks import task_keys
from vitw_ray.taxonomy.task_shares import grower_bytes
from vitw_ray.taxonomy.tasks import TaskGrower, TaskTree, assign_tasks, read_clusters
from vitw_ray.taxonomy.tree import build_tree, cluster_ids
from vitw_ray.taxonomy.vectors.blocks import Embedded, embed_texts
from vitw_ray.taxonomy.vectors.phrases import in_phrases
from vitw_ray.taxonomy.vectors.texts import scratch, write_tasks, write_values


def build_taxonomy(context: StageContext) -> StageReport:
    """Build the three trees, and assign each conversation's task to its cluster."""
    storage = context.storage
    storage.delete_prefix(scratch(context))  # left by an attempt that was killed
    leaves = _leaves(context)
    labels = {label for of_facet in leaves.values() for label, _ in of_facet}
    embedded = embed_texts(
        context, [write_values(context, in_phrases(sorted(labels))), write_tasks(context)]
    )
    frozen = find_frozen(context.config)
    tree = None if frozen is None else frozen.read()
    grown, tasks = _grow(context, leaves, embedded, tree)
    levels, names, naming = _names(context, leaves, grown)
    ids = _ids(leaves, grown, levels)
    trees: dict[str, pa.Table] = {
        facet: build_tree(facet, *_columns(leaves[facet]), levels[facet], names[facet], ids=of)
        for facet, of in ids.items()
    }
    trees["tasks"] = tasks.tree
    taxonomy = pa.concat_tables([TAXONOMY.empty_table(), *(trees[facet] for facet in TREE_FACETS)])
    files = [context.folder.write_table("taxonomy", taxonomy), *assign_tasks(context, tasks)]
    known = _known(leaves, grown, levels, names, ids)
    if tasks.known is not None:
        known["tasks"] = tasks.known
    details = {}
    hashes = partial(task_keys, context.keyed)
    clusters = tasks.clusters and read_clusters(storage, tasks.clusters)
    if frozen is None or tree is None:
        reference = reference_of(context, known, clusters or None, hashes)
        tree = FrozenTree(known, task_key(context.keyed), reference)
    else:
        details = _placed(context, frozen, grown, tasks)
        details["drift"] = alarm_of(context, tree, clusters or None, hashes, taxonomy)
        tree = replace(tree, facets=known)
    files += write_state(context.folder, tree)
    storage.delete_prefix(scratch(context))
    blocks = [block for of_kind in embedded.blocks.values() for block in of_kind]
    return StageReport(
        files=files,
        rows_in=sum(map(len, leaves.values())) + sum(b.texts for b in embedded.blocks["tasks"]),
        rows_out=taxonomy.num_rows,
        details={
            "embedder": describe_embedder(context.config),
            "texts_embedded": sum(block.texts for block in blocks),
            "vector_files": sorted(block.vector_path for block in blocks),
            "vector_files_reused": embedded.reused,
            "nodes_per_level": {f: _nodes_per_level(trees[f]) for f in TREE_FACETS},
            "quality": _quality(grown, levels) | {"tasks": list(tasks.quality)},
            **naming,
            **({"frozen": details} if details else {}),
        },
    )


def _ids(
    leaves: Mapping[ValueFacet, Leaves],
    grown: Mapping[ValueFacet, Grown],
    levels: Mapping[ValueFacet, Sequence[Parents]],
) -> dict[ValueFacet, list[list[str]]]:
    """Ids of all clusters of values: those of the frozen tree, or by their members."""
    return {
        facet: grown[facet].ids
        or cluster_ids(facet, [label for label, _ in leaves[facet]], levels[facet])
        for facet in LABEL_TREES
    }


def _known(
    leaves: Mapping[ValueFacet, Leaves],
    grown: Mapping[ValueFacet, Grown],
    levels: Mapping[ValueFacet, Sequence[Parents]],
    names: Mapping[ValueFacet, Sequence[Sequence[Named]]],
    ids: Mapping[ValueFacet, Sequence[Sequence[str]]],
) -> dict[str, KnownClusters]:
    """What later runs go on from."""
    found: dict[str, KnownClusters] = {}
    for facet, one in grown.items():
        if one.known is not None:
            found[facet] = one.known
        elif levels[facet]:
            labels = label_keys([label for label, _ in leaves[facet]])
            found[facet] = KnownClusters(
                Nodes(ids[facet], names[facet], levels[facet][1:]),
                one.reach,
                leaves_of(labels, levels[facet][0]),
            )
    return found


def _placed(
    context: StageContext,
    frozen: FrozenRun,
    grown: Mapping[ValueFacet, Grown],
    tasks: TaskTree,
) -> dict[str, Any]:
    """What the manifest says of a frozen tree."""
    within = frozen.storage.root == context.storage.root
    return {
        "tree": frozen.digest,
        "folder": frozen.folder if within else None,
        "facets": {facet: one.details for facet, one in grown.items()} | {"tasks": tasks.details},
    }


def _leaves(context: StageContext) -> dict[ValueFacet, Leaves]:
    labels = read_table(context.storage, context.tables["labels"])
    kept = labels.filter(pc.field("kept")).to_pylist()
    return {
        facet: sorted((r["label"], r["conversations"]) for r in kept if r["facet"] == facet)
        for facet in LABEL_TREES
    }


def _grow(
    context: StageContext,
    leaves: Mapping[ValueFacet, Leaves],
    embedded: Embedded,
    frozen: FrozenTree | None,
) -> tuple[dict[ValueFacet, Grown], TaskTree]:
    """Build the trees in two workers: one for both value facets, and one for the many tasks."""
    config, storage = context.config, context.storage
    by_model = LABEL_TREES if config.taxonomy.naming == "model" and frozen is None else ()
    shared = [] if frozen is None else [cluster.put_shared(frozen)]
    growers = {
        "values": ValueGrower(config, storage, leaves, embedded.blocks["values"], by_model, shared),
        "tasks": TaskGrower(
            config,
            storage,
            context.keyed,
            embedded.blocks["tasks"],
            scratch(context),
            known=bool(context.manifests["labels"]["details"]["with_account"]),
            shared_tree=shared,
        ),
    }

    def grow(unit: cluster.Unit) -> tuple[str, Any]:
        return unit["of"], growers[unit["of"]]()

    grown: dict[str, Any] = {}
    waiting = "clustering values and tasks"
    texts = sum(block.texts for block in embedded.blocks["tasks"])
    known = 0 if frozen is None else frozen.tasks
    memory = cluster.memory_to_ask(grower_bytes(texts, known), workers=len(growers))
    with Progress("taxonomy", len(growers), unit="trees", waiting=waiting) as progress:
        for name, found in cluster.stream([{"of": name} for name in growers], grow, memory=memory):
            grown[name] = found
            progress.add(1)
    return {one.facet: one for one in grown["values"]}, grown["tasks"]


def _names(
    context: StageContext, leaves: Mapping[ValueFacet, Leaves], grown: Mapping[ValueFacet, Grown]
) -> tuple[
    dict[ValueFacet, Sequence[Parents]],
    dict[ValueFacet, Sequence[Sequence[Named]]],
    dict[str, Any],
]:
    """All levels and their names, and the manifest's entry on naming by a model."""
    levels: dict[ValueFacet, Sequence[Parents]] = {
        facet: of_facet.levels for facet, of_facet in grown.items()
    }
    names: dict[ValueFacet, Sequence[Sequence[Named]]] = {
        facet: of_facet.names or [] for facet, of_facet in grown.items()
    }
    unnamed: dict[ValueFacet, Clustered] = {
        facet: Clustered(*_columns(leaves[facet]), of_facet.vectors, of_facet.levels)
        for facet, of_facet in grown.items()
        if of_facet.vectors is not None
    }
    if not unnamed:
        return levels, names, {}
    with Progress("taxonomy", waiting="the model names clusters"):
        by_model = name_by_model(context.config, unnamed)
    found = {"naming": by_model.details()}
    return {**levels, **by_model.levels}, {**names, **by_model.names}, found


def _quality(
    grown: Mapping[ValueFacet, Grown], levels: Mapping[ValueFacet, Sequence[Parents]]
) -> dict[str, list[dict[str, Any]]]:
    """Quality rows of all levels, including levels that a model built from names."""
    quality: dict[str, list[dict[str, Any]]] = {f: list(one.quality) for f, one in grown.items()}
    for facet, one in grown.items():
        if one.vectors is not None and len(one.levels) < len(levels[facet]):
            quality[facet] += describe_levels(one.vectors, levels[facet])[len(one.levels) :]
    return quality


def _columns(leaves: Leaves) -> tuple[list[str], np.ndarray]:
    labels = [label for label, _ in leaves]
    return labels, np.array([conversations for _, conversations in leaves], dtype=np.int64)


def _nodes_per_level(tree: pa.Table) -> dict[str, int]:
    counts = Counter(tree["level"].to_pylist())
    return {str(level): n for level, n in sorted(counts.items())}
