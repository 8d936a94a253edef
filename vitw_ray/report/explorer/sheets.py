"""Whole tables inside the page, for its CSV files, as long as they are small."""

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from vitw_ray.inert import inert
from vitw_ray.report.explorer.compact import short

LEAST_BYTES = 4  # ours: of a cell, so a table that cannot fit is not looked at
DIGITS = 6  # ours: of a number in a CSV file


def sheets(tables: Mapping[str, pa.Table], most_bytes: int) -> dict[str, list[Any]]:
    """Tables as lists of columns, the smallest first, up to `most_bytes` of JSON in all."""
    nodes = tables["taxonomy"].to_pylist() if "taxonomy" in tables else []
    names = {node["cluster_id"]: node["name"] for node in nodes}
    found, left = {}, most_bytes
    for name, table in sorted(tables.items(), key=lambda pair: (pair[1].num_rows, pair[0])):
        if not 0 < table.num_rows * table.num_columns * LEAST_BYTES <= left:
            continue
        columns = _columns(table, names)
        size = len(json.dumps(columns, ensure_ascii=False).encode())
        if size <= left:
            found[name] = columns
            left -= size
    return found


def _columns(table: pa.Table, names: Mapping[str, str]) -> list[list[Any]]:
    """Name and entries of each column; texts as words and their numbers.

    A name takes the place of an id. Rows are sorted, so that theirs is the same for all layouts.
    """
    ordered = table.sort_by([(column, "ascending") for column in table.column_names])
    columns = []
    for title in (name for name in table.column_names if name != "cluster_id"):
        column, entries = ordered[title], ordered[title].to_pylist()
        if pa.types.is_string(column.type):
            words = sorted({entry for entry in entries if entry is not None})
            code = {word: place for place, word in enumerate(words)}
            texts = [inert(names.get(word, word)) for word in words]
            columns.append([title, texts, [code.get(entry, -1) for entry in entries]])
        elif pa.types.is_floating(column.type):
            known = [float("nan") if entry is None else entry for entry in entries]
            columns.append([title, None, short(known, DIGITS)])
        else:
            columns.append([title, None, [e if e is None else int(e) for e in entries]])
    return columns
