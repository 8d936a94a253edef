"""Names beside cluster ids, so that a cell of a table can be read without a join.

A cluster has an id, `<facet>:l<level>:<uuid>`, and its name stands in `taxonomy`. Labels, response
types and other fixed words are their own names.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import pyarrow as pa
import pyarrow.compute as pc

from vitw_ray.records import TABLES

NAME_COLUMNS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "taxonomy": {"parent_cluster_id": "parent_name"},
        "task_assignments": {"cluster_id": "cluster_name"},
        "response_types": {"over": "over_name"},
        "associations": {"row": "row_name", "column": "column_name"},
        "task_values": {"task_cluster": "task_name", "value": "value_name"},
        "model_comparison": {"label": "label_name"},
        "corrected": {"label": "label_name", "over": "over_name"},
        "certificate": {"over": "over_name"},
    }
)
"""Table -> column that may hold a cluster id -> column that is added after it."""


def resolved_schema(table: str) -> pa.Schema:
    """Columns of a table as it is read: those of `records.py`, each id followed by its name."""
    added = NAME_COLUMNS.get(table, {})
    columns: list[pa.Field] = []
    for column in TABLES[table]:
        columns.append(column)
        if column.name in added:
            columns.append(column.with_name(added[column.name]))
    return pa.schema(columns)


def stored_columns(table: str, columns: Iterable[str]) -> list[str]:
    """Columns that must be read from the files to give `columns`."""
    id_of = _id_of(table)
    return list(dict.fromkeys(id_of.get(column, column) for column in columns))


def cluster_names(taxonomy: pa.Table) -> dict[str, str]:
    """The name of every cluster, by its id."""
    clusters = taxonomy.filter(pc.field("level") > 0)
    return dict(zip(clusters["cluster_id"].to_pylist(), clusters["name"].to_pylist(), strict=True))


def with_names(
    table: str, rows: pa.RecordBatch, columns: Sequence[str], names: Mapping[str, str]
) -> pa.RecordBatch:
    """Some `columns` of `resolved_schema`, from the stored columns that they need."""
    id_of, schema = _id_of(table), resolved_schema(table)
    arrays = [
        pa.array([names.get(x, x) for x in rows[id_of[column]].to_pylist()], pa.string())
        if column in id_of
        else rows[column]
        for column in columns
    ]
    return pa.RecordBatch.from_arrays(
        arrays, schema=pa.schema([schema.field(column) for column in columns])
    )


def _id_of(table: str) -> dict[str, str]:
    return {name: column for column, name in NAME_COLUMNS.get(table, {}).items()}
