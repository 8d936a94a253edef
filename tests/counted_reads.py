"""Counts what is read from storage: files opened, bytes, and rows of sorted runs and pieces."""

from typing import Any, Self

import pyarrow.parquet as pq
import pytest

from vitw_ray import hash_buckets
from vitw_ray.storage import Storage


class CountedReads:
    """Counts within a `with` block, in this process.

    Attributes:
        opens: files opened, and pieces read.
        bytes: read from them.
        rows: of row groups and pieces read.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch | None = None) -> None:
        self._patch = monkeypatch or pytest.MonkeyPatch()
        self.opens = self.bytes = self.rows = 0

    def __enter__(self) -> Self:
        self._context = self._patch.context()
        patch = self._context.__enter__()
        open_, read = Storage.open, Storage.read
        one, several = pq.ParquetFile.read_row_group, pq.ParquetFile.read_row_groups
        piece = hash_buckets.Buckets._piece

        def counted_open(storage: Storage, path: str) -> Any:
            self.opens += 1
            return _CountedFile(open_(storage, path), self)

        def counted_read(storage: Storage, path: str, *span: int) -> bytes:
            self.opens += 1
            data = read(storage, path, *span)
            self.bytes += len(data)
            return data

        def counted(function: Any) -> Any:
            def call(*arguments: Any, **options: Any) -> Any:
                table = function(*arguments, **options)
                self.rows += table.num_rows
                return table

            return call

        patch.setattr(Storage, "open", counted_open)
        patch.setattr(Storage, "read", counted_read)
        patch.setattr(pq.ParquetFile, "read_row_group", counted(one))
        patch.setattr(pq.ParquetFile, "read_row_groups", counted(several))
        patch.setattr(hash_buckets.Buckets, "_piece", counted(piece))
        return self

    def __exit__(self, *error: Any) -> None:
        self._context.__exit__(*error)


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
