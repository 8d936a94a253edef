"""Levels over the leaves of a facet, grown where the embedder may run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitw_ray import cluster
from vitw_ray.config import RunConfig, TaxonomyConfig
from vitw_ray.records import Facet
from vitw_ray.taxonomy.embed import Embedder, embed_unique, load_embedder
from vitw_ray.taxonomy.hierarchy import Parents, build_levels, level_sizes, nodes_of_leaves
from vitw_ray.taxonomy.naming import Named, name_clusters

Leaves = Sequence[tuple[str, int]]
"""(text, conversations) of each label or task, sorted by text."""


@dataclass(frozen=True)
class Grown:
    """One facet's levels, as `build_levels` gives them, and its (n, d) vectors or its names.

    Leaves that are named by their members are named where they grow: their vectors stay there, as
    those of tasks can be many. Else there are no names yet, and the vectors come along.
    """

    facet: Facet
    levels: list[Parents]
    vectors: NDArray[np.float32] | None = None
    names: list[list[Named]] | None = None


@dataclass(frozen=True)
class Grower:
    """Grows the facets of a unit: embed, cluster, and name all but those left to a model."""

    config: RunConfig
    leaves: Mapping[Facet, Leaves]
    unnamed: Sequence[Facet] = ()

    def __call__(self, unit: cluster.Unit) -> list[Grown]:
        """Grow the facets one after the other."""
        embedder = load_embedder(self.config.taxonomy.embedder, self.config.execution.device)
        return [self.grow(facet, embedder) for facet in unit["facets"]]

    def grow(self, facet: Facet, embedder: Embedder) -> Grown:
        """The levels of one facet; none without leaves."""
        if not self.leaves[facet]:
            return Grown(facet, [])
        texts = [text for text, _ in self.leaves[facet]]
        conversations = np.array([n for _, n in self.leaves[facet]], dtype=np.int64)
        vectors = embed_unique(embedder, texts)
        config = self.config.taxonomy
        sizes = level_sizes(len(texts), configured_sizes(config, facet))
        # From names, levels above the first grow where these are found: see climbing.py.
        by_names = config.climbing == "names" and facet in self.unnamed
        levels = build_levels(
            vectors,
            sizes[:1] if by_names else sizes,
            seed=config.taxonomy_seed,
            iterations=config.kmeans_iterations,
            weights=conversations if facet == "tasks" else None,
        )
        if facet in self.unnamed:
            return Grown(facet, levels, vectors=vectors)
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
        return Grown(facet, levels, names=names)


def configured_sizes(config: TaxonomyConfig, facet: Facet) -> tuple[int, ...] | None:
    """Clusters on each level of a facet from 1 up, where a run sets them."""
    return {
        "ai_values": config.ai_value_levels,
        "human_values": config.human_value_levels,
        "tasks": config.task_levels,
    }[facet]
