"""A run folder as it lies there: run.json, manifests, and tables as streams of rows."""

import hashlib
import hmac
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Self, cast

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from .expected import MADE_BY

Row = dict[str, Any]
BATCH_ROWS = 512  # ours: a batch of long chats fits into memory


PRIVATE = "private/"
DRIVERS = {
    "driver.lock",
    "driver.json",
    "progress.json",
}  # of a run that was started again after a purge


class Unreadable(Exception):
    """A check asks for what this run does not have, for a reason that is no fault."""


class NotRun(Unreadable):
    """... a stage that it did not come to."""

    def __init__(self, stage: str) -> None:
        super().__init__(f"the run ended before the stage {stage}")


class Purged(Unreadable):
    """... a private file, and `private/` was purged."""

    def __init__(self) -> None:
        super().__init__("private/ was purged")


@dataclass
class RunFolder:
    """A run folder: `run.json`, the manifests it names, and its tables as streams of rows."""

    fs: Any
    root: str
    run: Row

    @classmethod
    def at(cls, address: str) -> Self:
        """Open a local path or an s3:// address."""
        fs, root = fsspec.core.url_to_fs(address.rstrip("/"))
        return cls(fs, root, json.loads(fs.cat_file(f"{root}/run.json")))

    @cached_property
    def purged(self) -> bool:
        """Whether `private/` was deleted as a whole; of a part of it, the missing files are told.

        What counts is what lies there: no file at all, those of a waiting driver aside.
        """
        named = [entry["path"] for entry in self.entries() if is_private(entry)]
        if not named or self.fs.exists(f"{self.root}/{named[0]}"):
            return False
        left = self.fs.find(f"{self.root}/{PRIVATE}")
        return not {base_name(path) for path in left} - DRIVERS

    def is_gone(self, entry: Row) -> bool:
        """Whether a purge took this file."""
        return is_private(entry) and self.purged

    def open(self, path: str) -> BinaryIO:
        """A file of the folder.

        Raises:
            Purged: the file was deleted with all of `private/`.
        """
        if path.startswith(PRIVATE) and self.purged:
            raise Purged
        return cast(BinaryIO, self.fs.open(f"{self.root}/{path}", "rb"))

    @cached_property
    def manifests(self) -> dict[str, Row]:
        """Stage name -> its `_SUCCESS.json`."""
        places = {s["name"]: f"{self.root}/{s['folder']}/_SUCCESS.json" for s in self.run["stages"]}
        return {name: json.loads(self.fs.cat_file(path)) for name, path in places.items()}

    @cached_property
    def inputs(self) -> list[Row]:
        """The input files by name. Older versions named them in `run.json`.

        Raises:
            Purged: their names were deleted with all of `private/`.
        """
        described = self.run["inputs"]
        if all("name" in source for source in described):
            return described
        with self.open(f"{PRIVATE}inputs.json") as handle:
            named = json.load(handle)["files"]
        return [{**source, **name} for source, name in zip(described, named, strict=True)]

    @cached_property
    def rows_by_file(self) -> dict[str, int]:
        """Rows that were read of each input file, by its name."""
        rows = self.manifests["conversations"]["details"]["rows_by_file"]
        if isinstance(rows, dict):  # of a version that named them
            return rows
        return {source["name"]: n for source, n in zip(self.inputs, rows, strict=True)}

    def digest_of(self, entry: Row) -> Any:
        """An empty digest of a file: keyed with the secret of the run for a private one."""
        secret = f"{self.root}/{PRIVATE}secret"
        given = self.run["config"].get("execution", {}).get("secret_file")
        if not is_private(entry) or (given is None and not self.fs.exists(secret)):
            return hashlib.sha256()
        key = Path(given).read_bytes() if given else self.fs.cat_file(secret)
        return hmac.new(key.strip(), b"file\0", "sha256")

    def entries(self, *tables: str) -> list[Row]:
        """What the manifests say of the files of these tables, or of all files; parts in order."""
        for stage in (MADE_BY.get(table, "conversations") for table in tables):
            if stage not in self.manifests:
                raise NotRun(stage)
        files = [file for manifest in self.manifests.values() for file in manifest["files"]]
        chosen = [file for file in files if not tables or file["table"] in tables]
        return sorted(chosen, key=lambda file: (file["table"], base_name(file["path"])))

    def setting(self, section: str, name: str) -> Any:
        """A field of the configuration."""
        return self.run["config"][section][name]

    def rows(self, table: str, columns: Sequence[str] | None = None) -> Iterator[Row]:
        """The rows of a table, part by part."""
        for entry in self.entries(table):
            yield from self.part(entry["path"], columns)

    def part(self, path: str, columns: Sequence[str] | None = None) -> Iterator[Row]:
        """The rows of one part, never more than a batch in memory."""
        with self.open(path) as handle:
            file = pq.ParquetFile(handle)
            for batch in file.iter_batches(BATCH_ROWS, columns=list(columns) if columns else None):
                yield from batch.to_pylist()

    def beside(
        self,
        left: tuple[str, Sequence[str] | None],
        right: tuple[str, Sequence[str] | None],
    ) -> "Iterator[tuple[Row | None, Row | None]]":
        """Two tables, each with some columns, joined by conversation.

        The rows of a part are in the part of the other table with the same number.
        """
        a, b = self.entries(left[0]), self.entries(right[0])
        if len(a) != len(b):
            yield from side_by_side(self.rows(*left), self.rows(*right))
            return
        for one, other in zip(a, b, strict=True):
            rows = self.part(one["path"], left[1]), self.part(other["path"], right[1])
            yield from side_by_side(*rows)

    def schema(self, path: str) -> pa.Schema:
        """The Arrow schema of a part."""
        with self.open(path) as handle:
            return pq.ParquetFile(handle).schema_arrow

    def text(self, name: str) -> str:
        """A file that is no table."""
        return self.fs.cat_file(f"{self.root}/{self.entries(name)[0]['path']}").decode()


def is_private(entry: Row) -> bool:
    """Whether a file of a manifest lies under `private/`."""
    return entry["path"].startswith(PRIVATE)


def base_name(path: str) -> str:
    """The last part of a path."""
    return path.rsplit("/", 1)[-1]


def place(row: Row) -> tuple[int, str]:
    """Where a conversation stands in a sorted table: 64-bit BLAKE2b of its id, then the id."""
    name = row["conversation_id"]
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big"), name


def side_by_side(a: Iterator[Row], b: Iterator[Row]) -> Iterator[tuple[Row | None, Row | None]]:
    """Two tables sorted by conversation, joined: the rows of one id, or one row and None."""
    end = (1 << 64, ""), None  # behind every place
    lefts, rights = (((place(row), row) for row in rows) for rows in (a, b))
    left, right = next(lefts, end), next(rights, end)
    while left is not end or right is not end:
        here = min(left[0], right[0])
        in_left, in_right = left[0] == here, right[0] == here
        yield left[1] if in_left else None, right[1] if in_right else None
        left = next(lefts, end) if in_left else left
        right = next(rights, end) if in_right else right
