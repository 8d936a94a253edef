"""Counts what is read from storage: files opened, bytes, and rows of sorted runs and pieces."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Self
from unittest.mock import patch

import pyarrow.parquet as pq

from vitw_ray.hash_buckets import Buckets
from vitw_ray.storage import Storage


class CountedReads:
    """Counts within a `with` block, in this process.

    Attributes:
        opens: files opened, and parts of files read by one request.
        bytes: read from them.
        rows: of row groups and pieces read.
    """

    def __init__(self) -> None:
        self.opens = self.bytes = self.rows = 0
        self._patches = ExitStack()

    def __enter__(self) -> Self:
        """Count from now on."""
        open_, read = Storage.open, Storage.read

        def counted_open(storage: Storage, path: str) -> Any:
            self.opens += 1
            return _CountedFile(open_(storage, path), self)

        def counted_read(storage: Storage, path: str, *span: int) -> bytes:
            self.opens += 1
            data = read(storage, path, *span)
            self.bytes += len(data)
            return data

        self._replace(Storage, "open", counted_open)
        self._replace(Storage, "read", counted_read)
        for owner, name in (
            (pq.ParquetFile, "read_row_group"),
            (pq.ParquetFile, "read_row_groups"),
            (Buckets, "_piece"),
        ):
            self._replace(owner, name, self._with_rows(getattr(owner, name)))
        return self

    def _replace(self, owner: type, name: str, function: Callable[..., Any]) -> None:
        self._patches.enter_context(patch.object(owner, name, function))

    def _with_rows(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            table = function(*arguments, **options)
            self.rows += table.num_rows
            return table

        return call

    def __exit__(self, *_: object) -> None:
        """Count no longer."""
        self._patches.close()


class _CountedFile:
    """A file that counts the bytes that are read."""

    def __init__(self, file: Any, counts: CountedReads) -> None:
        self._file, self._counts = file, counts

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._counts.bytes += len(data)
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> Self:
        self._file.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._file.__exit__(*error)
