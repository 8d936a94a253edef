"""Tables of a run as they lie in its folder: part after part, none whole in memory.

Every part is checked against its schema in `records.py`, and a part that is gone is told apart from
one that was deleted with `private/`.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from vitw_ray.errors import OutputError
from vitw_ray.run_folder import FileEntry, TableRef, check_schema
from vitw_ray.storage import PRIVATE, Storage
from vitw_ray.versions import versions


def one_array(column: pa.ChunkedArray) -> pa.Array:
    """A column as one array, also where a table without rows has no chunk."""
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


@dataclass(frozen=True)
class StoredTable:
    """A table that a manifest names, in a folder that `version` of the package has written."""

    storage: Storage
    ref: TableRef
    version: str

    def batches(self, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        """Some columns, `rows` rows at most at a time; one part is open at a time.

        Raises:
            OutputError: a part is gone, cannot be read, or has other columns.
        """
        for file in self.ref.files:
            handle = self._open(file)
            if handle is None:
                continue
            try:
                with handle:
                    part = pq.ParquetFile(handle)
                    check_schema(self.storage, file, part.schema_arrow)
                    yield from part.iter_batches(rows, columns=list(columns))
            except (pa.ArrowException, OSError) as error:
                raise OutputError(
                    f"{self._address(file)} cannot be read ({type(error).__name__})",
                    self._fix(file),
                ) from error

    def _open(self, file: FileEntry) -> BinaryIO | None:
        """One part; None for a private one that is gone while others of the table are public."""
        try:
            return self.storage.open(file.path)
        except FileNotFoundError:
            pass
        name = self.ref.name
        if not file.is_private:
            raise OutputError(
                f"{self._address(file)}, a part of the table {name}, is gone", self._fix(file)
            )
        if all(part.is_private for part in self.ref.files):
            raise OutputError(
                f"the table {name} is private, and {self._address(file)} is gone: {PRIVATE}/ of"
                " this run was deleted",
                f"open a copy of the run that has its {PRIVATE}/, or run into another --output",
            )
        warnings.warn(
            f"{name}: {file.rows:,} of {self.ref.rows:,} rows are left out, because {PRIVATE}/ of"
            " this run was deleted",
            stacklevel=2,
        )
        return None

    def _address(self, file: FileEntry) -> str:
        return self.storage.address(file.path)

    def _fix(self, file: FileEntry) -> str:
        stage = file.path.removeprefix(f"{PRIVATE}/").split("/")[0]
        return f"restore it, or delete {self.storage.address(stage)} and run again"


def other_version(problem: str, version: str) -> OutputError:
    """The error for a run of a form that this version does not write."""
    return OutputError(
        f"{problem}: the run was written by vitw_ray {version}, this is {versions()['vitw_ray']}",
        f"read it with vitw_ray {version}, or run again with this version",
    )
