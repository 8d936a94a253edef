"""Levels over the leaves of a facet, grown in a worker from vectors in storage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitw_ray.config import RunConfig, TaxonomyConfig
from vitw_ray.records import Facet, ValueFacet
from vitw_ray.storage import Storage
from vitw_ray.taxonomy.hierarchy import Parents, build_levels, level_sizes, nodes_of_leaves
from vitw_ray.taxonomy.naming import Named, name_clusters
from vitw_ray.taxonomy.vector_files import Block, read_blocks

Leaves = Sequence[tuple[str, int]]
"""(label, conversations) of each kept label of a facet, sorted by label."""


@dataclass(frozen=True)
class Grown:
    """One facet's levels, as `build_levels` gives them, and its (n, d) vectors or its names.

    Leaves that are named by their members are named where they grow. Else there are no names yet,
    and the vectors come along.
    """

    facet: ValueFacet
    levels: list[Parents]
    vectors: NDArray[np.float32] | None = None
    names: list[list[Named]] | None = None


@dataclass(frozen=True)
class ValueGrower:
    """Grows the value facets: cluster, and name all but those left to a model."""

    config: RunConfig
    storage: Storage
    leaves: Mapping[ValueFacet, Leaves]
    blocks: Sequence[Block]
    unnamed: Sequence[ValueFacet] = ()

    def __call__(self) -> list[Grown]:
        """The facets one after the other; a facet without leaves has no levels."""
        embedded = read_blocks(self.storage, self.blocks)
        row_of = {text: row for row, text in enumerate(embedded.texts)}
        grown = []
        for facet, leaves in self.leaves.items():
            if not leaves:
                grown.append(Grown(facet, []))
                continue
            vectors = embedded.vectors[[row_of[label] for label, _ in leaves]]
            grown.append(self._grow(facet, leaves, vectors))
        return grown

    def _grow(self, facet: ValueFacet, leaves: Leaves, vectors: NDArray[np.float32]) -> Grown:
        labels = [label for label, _ in leaves]
        conversations = np.array([n for _, n in leaves], dtype=np.int64)
        # From names, levels above the first grow where these are found: see climbing.py.
        by_names = self.config.taxonomy.climbing == "names" and facet in self.unnamed
        levels = grow_levels(self.config.taxonomy, facet, vectors, highest=1 if by_names else None)
        if facet in self.unnamed:
            return Grown(facet, levels, vectors=vectors)
        names = [
            name_clusters(labels, vectors, conversations, nodes, noun="values")
            for nodes in nodes_of_leaves(levels)
        ]
        return Grown(facet, levels, names=names)


def grow_levels(
    config: TaxonomyConfig,
    facet: Facet,
    vectors: NDArray[np.float32],
    weights: NDArray[np.int64] | None = None,
    highest: int | None = None,
) -> list[Parents]:
    """The levels of a facet with the sizes that its configuration or Clio's ratio gives.

    Args:
        config: sizes, seed and iterations.
        facet: what is clustered.
        vectors: (n, d) unit rows of its leaves, at least one.
        weights: (n,) how many times a leaf counts; default once.
        highest: level at which to stop; default: the top.
    """
    return build_levels(
        vectors,
        level_sizes(len(vectors), configured_sizes(config, facet))[:highest],
        seed=config.taxonomy_seed,
        iterations=config.kmeans_iterations,
        weights=weights,
    )


def configured_sizes(config: TaxonomyConfig, facet: Facet) -> tuple[int, ...] | None:
    """Clusters on each level of a facet from 1 up, where a run sets them."""
    return {
        "ai_values": config.ai_value_levels,
        "human_values": config.human_value_levels,
        "tasks": config.task_levels,
    }[facet]
