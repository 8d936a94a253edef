"""Small tables of labels and of the taxonomy, for the tests of the release."""

import pyarrow as pa

from vitw_ray.records import LABELS, TAXONOMY


def labels_table(labels: dict[str, int], subjective: int, kept: bool = True) -> pa.Table:
    """AI values by their number of conversations."""
    rows = [
        {
            "facet": "ai_values",
            "label": label,
            "conversations": n,
            "accounts": None,
            "share": n / subjective,
            "kept": kept,
        }
        for label, n in labels.items()
    ]
    return pa.Table.from_pylist(rows, LABELS)


def taxonomy_table(nodes: list[tuple[str, int, str | None, str, str]]) -> pa.Table:
    """AI nodes as (id, level, parent, name, description); a release does not use their counts."""
    names = ("cluster_id", "level", "parent_cluster_id", "name", "description")
    rest = {"facet": "ai_values", "conversations": 1, "pct_total_occurrences": 0.0}
    rows = [{**dict(zip(names, node, strict=True)), **rest} for node in nodes]
    return pa.Table.from_pylist(rows, TAXONOMY)
