"""Clusters of labels in the tree of a finished run, to compare labels level by level."""

from collections.abc import Mapping

import pyarrow as pa

from vitw_ray.comparison.readers.compared import Cluster, spelling
from vitw_ray.facets import LABEL_TREES
from vitw_ray.trees import ancestors


def clusters_of(taxonomy: pa.Table) -> dict[str, dict[str, Cluster]]:
    """By value facet and level of the table `taxonomy`, the cluster that a label belongs to."""
    found = {}
    for facet in LABEL_TREES:
        paths = {spelling(label): path for label, path in ancestors(taxonomy, facet).items()}
        depth = min(map(len, paths.values()), default=1)
        found[facet] = {f"level_{level}": _cluster(paths, level) for level in range(1, depth)}
    return found


def _cluster(paths: Mapping[str, tuple[str, ...]], level: int) -> Cluster:
    def cluster(label: str) -> str | None:
        path = paths.get(spelling(label))
        return None if path is None else path[level]

    return cluster
