"""Names of clusters in a release: of words of released labels only.

A cluster may be named after a label that the run shows and the release does not. Such a name is
replaced by the most frequent released label below it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from vitw_ray.records import TAXONOMY
from vitw_ray.taxonomy.naming.known_words import is_of_known_words, words_of

FACET = "ai_values"


def renamed(taxonomy: pa.Table, labels: pa.Table) -> pa.Table:
    """The taxonomy of AI values with such names replaced; `labels` are the released ones."""
    counts = {
        row["label"]: row["conversations"] for row in labels.to_pylist() if row["facet"] == FACET
    }
    rows = [row for row in taxonomy.to_pylist() if row["facet"] == FACET]
    parents = {row["cluster_id"]: row["parent_cluster_id"] for row in rows if row["level"]}
    most: dict[str, str] = {}
    for row in rows:
        if row["level"] == 0 and row["name"] in counts:
            for cluster in _above(row["parent_cluster_id"], parents):
                best = most.setdefault(cluster, row["name"])
                most[cluster] = min(best, row["name"], key=lambda name: (-counts[name], name))
    known = words_of(counts)
    return pa.Table.from_pylist([_row(row, most, known) for row in rows], TAXONOMY)


def _row(row: dict[str, Any], most: Mapping[str, str], known: frozenset[str]) -> dict[str, Any]:
    if row["level"] == 0:
        return row
    name, description = row["name"], row["description"]
    if not is_of_known_words(name, known):
        name = most.get(row["cluster_id"], row["cluster_id"]).capitalize()
    if not is_of_known_words(description, known):
        description = ""
    return row | {"name": name, "description": description}


def _above(cluster: str | None, parents: Mapping[str, str | None]) -> Iterator[str]:
    while cluster is not None and cluster in parents:
        yield cluster
        cluster = parents[cluster]
