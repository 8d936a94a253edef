"""A published folder as an attacker sees it: its files outside `private/`, and its tables.

Any output with names and counts will do: the folder of a run, a release, or the CSV, JSON or
Parquet files of another program.
"""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vitw_ray.errors import InputError
from vitw_ray.storage import PRIVATE

Row = dict[str, Any]
MOST_BYTES = 1 << 30  # ours: of one file
_MOST_DEPTH = 50  # ours: of JSON
_CHILDREN = ("children", "subclusters", "sub_clusters", "nodes")


@dataclass(frozen=True)
class PublicFolder:
    """A local folder, or one file."""

    root: Path

    @classmethod
    def at(cls, address: str) -> "PublicFolder":
        """Open a folder.

        Raises:
            InputError: there is none, or it is empty.
        """
        folder = cls(Path(address))
        if not folder.root.exists():
            raise InputError(f"{address} does not exist", "give a run folder or a release folder")
        if not folder.files:
            raise InputError(f"{address} holds no public file", "give the folder of a finished run")
        return folder

    @cached_property
    def files(self) -> list[Path]:
        """Regular files outside `private/`, sorted."""
        if self.root.is_file():
            return [self.root]
        found = (path for path in self.root.rglob("*") if path.is_file() and not path.is_symlink())
        return sorted(p for p in found if p.relative_to(self.root).parts[0] != PRIVATE)

    def name(self, path: Path) -> str:
        """A file relative to the folder."""
        return path.name if path == self.root else str(path.relative_to(self.root))

    @cached_property
    def tables(self) -> dict[str, list[Row]]:
        """Rows of every table by name; parts of one table are put together."""
        tables: dict[str, list[Row]] = {}
        for path in self.files:
            for name, rows in _tables_of(path, self.name(path)):
                tables.setdefault(name, []).extend(rows)
        return tables

    @cached_property
    def documents(self) -> dict[str, Any]:
        """JSON files by name."""
        return {
            self.name(path): value
            for path in self.files
            if path.suffix == ".json" and (value := _json(path)) is not None
        }


def _tables_of(path: Path, name: str) -> Iterator[tuple[str, list[Row]]]:
    if path.stat().st_size > MOST_BYTES:
        return
    try:
        if path.suffix == ".parquet":
            yield _table_name(name), pq.read_table(path).to_pylist()
        elif path.suffix in (".csv", ".tsv"):
            text = path.read_text(errors="replace")
            delimiter = "\t" if path.suffix == ".tsv" else ","
            yield name, [*csv.DictReader(io.StringIO(text), delimiter=delimiter)]
        elif path.suffix == ".jsonl":
            yield name, [row for line in path.read_text().splitlines() if (row := _row(line))]
        elif path.suffix == ".json":
            yield from ((f"{name}{at}", rows) for at, rows in _lists_of(_json(path), "", 0))
    except (OSError, ValueError, pa.ArrowException, csv.Error):
        return


def _table_name(name: str) -> str:
    """`3_labels-0a1b/labels/part-00000.parquet` is a part of the table `labels`."""
    parts = name.split("/")
    return parts[-2] if len(parts) > 1 and parts[-1].startswith("part-") else name


def _row(line: str) -> Row | None:
    value = json.loads(line) if line.strip() else None
    return value if isinstance(value, dict) else None


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(errors="replace"))
    except (OSError, ValueError, RecursionError):
        return None


def _lists_of(value: Any, at: str, depth: int) -> Iterator[tuple[str, list[Row]]]:
    """Lists of objects anywhere in a document; the children of a node know their parent."""
    if depth > _MOST_DEPTH:
        return
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _lists_of(inner, f"{at}.{key}", depth + 1)
    elif isinstance(value, list):
        rows = [row for row in value if isinstance(row, dict)]
        if rows:
            yield at, [{k: v for k, v in row.items() if k not in _CHILDREN} for row in rows]
        for row in rows:
            for key, inner in row.items():
                yield from _lists_of(inner, f"{at}.{key}", depth + 1)
