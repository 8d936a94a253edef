"""Access to the trees in the table `taxonomy`, for several stages."""

from typing import Any

import pyarrow as pa


def ancestors(table: pa.Table, facet: str) -> dict[str, tuple[str, ...]]:
    """For every leaf of a sound tree, its own id and those above it, from the bottom to the top.

    In a value facet, index `l` holds the id at level `l`; level 0 is the label. The leaves of
    `tasks` are its clusters of level 1.
    """
    nodes = nodes_of_facet(table, facet)
    parent = {node["cluster_id"]: node["parent_cluster_id"] for node in nodes}
    bottom = min((node["level"] for node in nodes), default=0)
    paths: dict[str, tuple[str, ...]] = {}
    for node in nodes:
        if node["level"] == bottom:
            path = [node["cluster_id"]]
            while parent[path[-1]] is not None:
                path.append(parent[path[-1]])
            paths[path[0]] = tuple(path)
    return paths


def nodes_of_facet(table: pa.Table, facet: str) -> list[dict[str, Any]]:
    """The rows of one facet."""
    return [node for node in table.to_pylist() if node["facet"] == facet]
