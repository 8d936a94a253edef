"""Build the levels of a facet, in a worker, from vectors in storage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitw_ray import cluster
from vitw_ray.config import RunConfig, TaxonomyConfig
from vitw_ray.facets import ValueFacet
from vitw_ray.storage import Storage
from vitw_ray.taxonomy.frozen.growing import counted, place_leaves, placed_quality
from vitw_ray.taxonomy.frozen.placing import Reach, label_keys, reach_of
from vitw_ray.taxonomy.frozen.state import KnownClusters
from vitw_ray.taxonomy.hierarchy import (
    Parents,
    build_levels,
    configured_sizes,
    level_sizes,
    most_clusters,
    nodes_of_leaves,
)
from vitw_ray.taxonomy.kmeans.shards import Shard
from vitw_ray.taxonomy.naming.member_naming import Named, name_clusters
from vitw_ray.taxonomy.quality import describe_levels, resampled_agreement
from vitw_ray.taxonomy.vectors.phrases import in_phrases, mean_of_phrases
from vitw_ray.taxonomy.vectors.vector_files import TextBlock, read_blocks

Leaves = Sequence[tuple[str, int]]
"""(label, conversations) of each kept label of a facet, sorted by label."""


@dataclass(frozen=True)
class Grown:
    """One facet's levels and their quality, and either its (n, d) vectors or its names.

    Clusters named after their members are named in the same worker. Otherwise `names` is None, and
    the vectors are returned for naming by a model.
    """

    facet: ValueFacet
    levels: list[Parents]
    quality: list[dict[str, Any]] = field(default_factory=list)
    vectors: NDArray[np.float32] | None = None
    names: list[list[Named]] | None = None
    ids: list[list[str]] | None = None
    """Of the clusters, where they are not by their members."""
    reach: Reach | None = None
    """Of the clusters of level 1."""
    known: KnownClusters | None = None
    """Where the tree is frozen: what a later run goes on from."""
    details: Mapping[str, Any] | None = None
    """Where the tree is frozen: how many labels are in known clusters, and how many are not."""


@dataclass(frozen=True)
class ValueGrower:
    """Builds the value facets: clusters them, and names all facets except `unnamed`."""

    config: RunConfig
    storage: Storage
    leaves: Mapping[ValueFacet, Leaves]
    blocks: Sequence[TextBlock]
    unnamed: Sequence[ValueFacet] = ()
    shared_tree: Sequence[Any] = ()
    """Reference of the frozen tree in which labels are placed, if there is one."""

    def __call__(self) -> list[Grown]:
        """Build the facets one after the other; a facet without leaves has no levels."""
        embedded = read_blocks(self.storage, self.blocks)
        row_of = {text: row for row, text in enumerate(embedded.texts)}
        frozen = cluster.get_shared(self.shared_tree[0]) if self.shared_tree else None
        grown = []
        for facet, leaves in self.leaves.items():
            known = frozen.facets.get(facet) if frozen else None
            if not leaves:
                grown.append(Grown(facet, [], known=known))
                continue
            rows = [row_of[text] for text in in_phrases([label for label, _ in leaves])]
            vectors = mean_of_phrases(embedded.vectors[rows])
            grown.append(
                self._grow(facet, leaves, vectors)
                if frozen is None
                else self._placed(facet, leaves, vectors, known)
            )
        return grown

    def _grow(self, facet: ValueFacet, leaves: Leaves, vectors: NDArray[np.float32]) -> Grown:
        labels = [label for label, _ in leaves]
        conversations = np.array([n for _, n in leaves], dtype=np.int64)
        # When climbing by names, levels above the first are built from names: see climbing.py.
        by_names = self.config.taxonomy.climbing == "names" and facet in self.unnamed
        highest = 1 if by_names else None
        levels = grow_levels(self.config.taxonomy, facet, vectors, highest=highest)
        quality = grown_quality(self.config.taxonomy, facet, vectors, levels)
        reach = reach_of(vectors, levels[0], levels[0])
        if facet in self.unnamed:
            return Grown(facet, levels, quality, vectors=vectors, reach=reach)
        names = [
            name_clusters(labels, vectors, conversations, nodes, noun="values")
            for nodes in nodes_of_leaves(levels)
        ]
        return Grown(facet, levels, quality, names=names, reach=reach)

    def _placed(
        self,
        facet: ValueFacet,
        leaves: Leaves,
        vectors: NDArray[np.float32],
        known: KnownClusters | None,
    ) -> Grown:
        """The labels in known clusters."""
        labels = [label for label, _ in leaves]
        conversations = np.array([n for _, n in leaves], dtype=np.int64)

        def name(rows: NDArray[np.intp], clusters: Parents, taken: Sequence[str]) -> list[Named]:
            of_rows = [labels[row] for row in rows.tolist()]
            vectors_of, counts = vectors[rows], conversations[rows]
            return name_clusters(of_rows, vectors_of, counts, clusters, noun="values", taken=taken)

        placed = place_leaves(
            known,
            labels,
            label_keys(labels),
            vectors,
            facet=facet,
            noun="values",
            name=name if self.config.taxonomy.grow_unplaced else None,
            config=self.config.taxonomy,
        )
        used = placed.used
        return Grown(
            facet,
            used.levels,
            placed_quality(vectors, used.levels),
            names=used.names,
            ids=used.ids,
            known=placed.known,
            details=counted(placed, conversations),
        )


def grow_levels(
    config: TaxonomyConfig,
    facet: str,
    vectors: NDArray[np.float32],
    weights: NDArray[np.int64] | None = None,
    highest: int | None = None,
) -> list[Parents]:
    """Build the levels of a facet, with configured sizes or sizes by Clio's ratio.

    Args:
        config: sizes, seed and iterations.
        facet: the facet to cluster.
        vectors: (n, d) unit rows of its leaves, at least one.
        weights: (n,) multiplicity of each leaf; default 1.
        highest: last level to return; default: the top.
    """
    return _grow(config, facet, len(vectors), weights, vectors=vectors)[:highest]


def grow_in_shards(
    config: TaxonomyConfig, facet: str, weights: NDArray[np.int64], shards: Sequence[Shard]
) -> list[Parents]:
    """As `grow_levels`, from rows that stay in their shards."""
    return _grow(config, facet, len(weights), weights, shards=shards)


def _grow(
    config: TaxonomyConfig,
    facet: str,
    leaves: int,
    weights: NDArray[np.int64] | None,
    *,
    vectors: NDArray[np.float32] | None = None,
    shards: Sequence[Shard] | None = None,
) -> list[Parents]:
    return build_levels(
        vectors,
        level_sizes(leaves, configured_sizes(config, facet), most=most_clusters(facet)),
        seed=config.taxonomy_seed,
        iterations=config.kmeans_iterations,
        weights=weights,
        shards=shards,
    )


def grown_quality(
    config: TaxonomyConfig,
    facet: str,
    vectors: NDArray[np.float32],
    levels: Sequence[Parents],
    weights: NDArray[np.int64] | None = None,
) -> list[dict[str, Any]]:
    """Quality of each level, for the manifest: see `describe_levels` and `resampled_agreement`.

    Args:
        config: as given to `grow_levels`.
        facet: as given to `grow_levels`.
        vectors: (n, d) unit rows of its leaves, or those of `sampled_leaves`.
        levels: as returned by `grow_levels`.
        weights: (n,) multiplicity of each leaf; default 1.
    """

    def grow(kept: NDArray[np.bool_]) -> list[Parents]:
        kept_weights = None if weights is None else weights[kept]
        return grow_levels(config, facet, vectors[kept], kept_weights, highest=len(levels))

    agreement = resampled_agreement(levels, grow)
    return [
        row | {"resampled_agreement": found}
        for row, found in zip(describe_levels(vectors, levels), agreement, strict=True)
    ]
