"""What a review needs of a run; `vitw_ray.opened_run.OpenedRun` has it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import pyarrow as pa

from vitw_ray.storage import Storage


class ReadTable(Protocol):
    """A table of a run."""

    @property
    def arrow(self) -> pa.Table:
        """The table itself."""
        ...


class ReviewedRun(Protocol):
    """A finished run whose `private/` is there."""

    @property
    def storage(self) -> Storage:
        """Of the run folder."""
        ...

    @property
    def address(self) -> str:
        """Where the run lies."""
        ...

    @property
    def config(self) -> Mapping[str, Mapping[str, Any]]:
        """All settings, by section."""
        ...

    @property
    def stages(self) -> Mapping[str, Mapping[str, Any]]:
        """Finished stages by name."""
        ...

    def table(self, name: str, columns: Sequence[str] | None = None) -> ReadTable:
        """A small table, or some of its columns."""
        ...

    def batches(
        self, name: str, columns: Sequence[str] | None = None, rows: int = 1024
    ) -> Iterator[pa.RecordBatch]:
        """A table of any size, `rows` rows at most at a time."""
        ...
