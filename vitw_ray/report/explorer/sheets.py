"""Whole tables inside the page, for its CSV files, as long as they are small."""

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from vitw_ray.inert import inert
from vitw_ray.report.explorer.compact import short
from vitw_ray.resolved_names import NAME_COLUMNS, cluster_names, resolved_schema, with_names

LEAST_BYTES = 4  # ours: of a cell, so a table that cannot fit is not looked at
DIGITS = 6  # ours: of a number in a CSV file


def sheets(tables: Mapping[str, pa.Table], most_bytes: int) -> dict[str, list[Any]]:
    """Tables as lists of columns, the smallest first, up to `most_bytes` of JSON in all."""
    names = cluster_names(tables["taxonomy"]) if "taxonomy" in tables else {}
    found, left = {}, most_bytes
    for name, table in sorted(tables.items(), key=lambda pair: (pair[1].num_rows, pair[0])):
        if not 0 < table.num_rows * table.num_columns * LEAST_BYTES <= left:
            continue
        columns = _columns(name, table, names)
        size = len(json.dumps(columns, ensure_ascii=False).encode())
        if size <= left:
            found[name] = columns
            left -= size
    return found


def _columns(name: str, table: pa.Table, names: Mapping[str, str]) -> list[list[Any]]:
    """Name and entries of each column; texts as words and their numbers.

    A name takes the place of an id. Rows are sorted, so that theirs is the same for all layouts.
    """
    ids = {*NAME_COLUMNS.get(name, {}), "cluster_id"}
    wanted = [column for column in resolved_schema(name).names if column not in ids]
    ordered = table.sort_by([(column, "ascending") for column in table.column_names])
    batches = [with_names(name, batch, wanted, names) for batch in ordered.to_batches()]
    columns = []
    for column in pa.Table.from_batches(batches).itercolumns() if batches else ():
        entries = column.to_pylist()
        if pa.types.is_string(column.type):
            words = sorted({entry for entry in entries if entry is not None})
            code = {word: place for place, word in enumerate(words)}
            texts = [inert(word) for word in words]
            columns.append([texts, [code.get(entry, -1) for entry in entries]])
        elif pa.types.is_floating(column.type):
            known = [float("nan") if entry is None else entry for entry in entries]
            columns.append([None, short(known, DIGITS)])
        else:
            columns.append([None, [e if e is None else int(e) for e in entries]])
    return [[title, *column] for title, column in zip(wanted, columns, strict=True)]
