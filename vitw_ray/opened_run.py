"""Read a run from Python: its tables with names resolved, its settings, counts and page.

What a run holds is taken from `run.json` and from the manifests that it names, never from a
listing. A file is read when it is asked for, so that a run on s3:// opens with one request.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from vitw_ray.errors import OutputError
from vitw_ray.records import TABLES
from vitw_ray.resolved_names import cluster_names, resolved_schema, stored_columns, with_names
from vitw_ray.run_folder import RUN_FILE, SUCCESS, read_run_file, tables_of
from vitw_ray.setting_checks import near_names
from vitw_ray.storage import Storage
from vitw_ray.stored_tables import StoredTable, other_version

if TYPE_CHECKING:
    import pandas as pd

WRITTEN_BY: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("conversations", "rejects"), "conversations"),
        "extractions": "extractions",
        **dict.fromkeys(("labels", "merges"), "labels"),
        **dict.fromkeys(("taxonomy", "task_assignments"), "taxonomy"),
        **dict.fromkeys(("response_types", "associations", "cooccurrence"), "statistics"),
        **dict.fromkeys(("variation", "mirroring", "explicitness", "task_values"), "statistics"),
        **dict.fromkeys(("model_comparison", "corrected"), "statistics"),
        "certificate": "certificate",
    }
)
"""Table -> the stage that writes it."""
BATCH_ROWS = 1024  # ours: a few MB of chats
TABLE_BATCH_ROWS = 65_536  # ours: few chunks, and no second copy of a table


def open_run(address: str | os.PathLike[str]) -> "OpenedRun":
    """Open the folder that a run has written, local or s3://.

    Raises:
        OutputError: no run is there, or its `run.json` cannot be understood.
    """
    storage = Storage(os.fspath(address))
    try:
        content = read_run_file(storage)
        run = None if content is None else OpenedRun(storage, dict(content))
    except (TypeError, ValueError):
        raise OutputError(
            f"{storage.address(RUN_FILE)} is no JSON object",
            "delete it and run again: what is finished is skipped",
        ) from None
    if run is None:
        if not storage.exists(""):
            raise OutputError(f"{storage.root} does not exist", "correct the address")
        raise OutputError(
            f"{storage.root} holds no {RUN_FILE}: no run folder, or no run has ended there",
            "give the --output of a run, or run again: what is finished is kept",
        )
    needed = ("config", "stages", "tables", "totals")
    if missing := [name for name in needed if name not in run.content]:
        raise other_version(f"{RUN_FILE} has no {' and no '.join(missing)}", run.version)
    return run


@dataclass(frozen=True, repr=False, eq=False)
class Table:
    """A table of a run. `arrow` is the table itself; DuckDB, Polars and others take it as it is."""

    name: str
    arrow: pa.Table

    def pandas(self) -> "pd.DataFrame":
        """The table as a data frame."""
        return self.arrow.to_pandas()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """What other libraries read Arrow by, without a copy."""
        return self.arrow.__arrow_c_stream__(requested_schema)

    def __len__(self) -> int:
        """Number of rows."""
        return self.arrow.num_rows

    def __repr__(self) -> str:
        """Names and numbers only: cells may hold conversation text."""
        return f"<{self.name}: {len(self):,} rows of {', '.join(self.arrow.column_names)}>"


@dataclass(frozen=True, repr=False, eq=False)
class OpenedRun:
    """A run folder as `run.json` describes it; made by `open_run`."""

    storage: Storage
    content: Mapping[str, Any]
    """All that `run.json` says."""

    @property
    def address(self) -> str:
        """Where the run lies."""
        return self.storage.root

    @property
    def version(self) -> str:
        """The version of vitw_ray that wrote it."""
        return str(self.content.get("vitw_ray", "of an unknown number"))

    @property
    def config(self) -> Mapping[str, Mapping[str, Any]]:
        """All settings, by section: `run.config["labels"]["min_conversations"]`."""
        return self.content["config"]

    @property
    def totals(self) -> Mapping[str, int]:
        """Rows read, conversations, rejected, extractions, failed."""
        return self.content["totals"]

    @property
    def stages(self) -> Mapping[str, Mapping[str, Any]]:
        """Finished stages by name: rows in and out, seconds, what else they say of themselves."""
        return {stage["name"]: stage for stage in self.content["stages"]}

    @property
    def tables(self) -> Mapping[str, int]:
        """Rows of every table, in the order in which tables are written."""
        rows = self.content["tables"]
        return {name: rows[name]["rows"] for name in TABLES if name in rows}

    @property
    def report(self) -> str | None:
        """Address of the page, when the run has one."""
        return self.storage.address("report.html") if self.content.get("report") else None

    def table(self, name: str, columns: Sequence[str] | None = None) -> Table:
        """A table, or some of its columns, with a column of names after each one of cluster ids.

        Raises:
            OutputError: the table or a column does not exist, its stage has not run, or its files
                are gone or of another version.
        """
        stored, wanted = self._stored(name), _columns(name, columns)
        schema = pa.schema([resolved_schema(name).field(column) for column in wanted])
        batches = self._resolved(stored, wanted, TABLE_BATCH_ROWS)
        return Table(name, pa.Table.from_batches(batches, schema))

    def batches(
        self, name: str, columns: Sequence[str] | None = None, rows: int = BATCH_ROWS
    ) -> Iterator[pa.RecordBatch]:
        """As `table`, but `rows` rows at most at a time, for tables that memory does not hold."""
        return self._resolved(self._stored(name), _columns(name, columns), rows)

    def _resolved(
        self, stored: StoredTable, columns: Sequence[str], rows: int
    ) -> Iterator[pa.RecordBatch]:
        name = stored.ref.name
        needed = stored_columns(name, columns)
        for batch in stored.batches(needed, rows):
            named = not set(columns) <= set(needed)
            yield with_names(name, batch, columns, self._names if named else {})

    @cached_property
    def _names(self) -> Mapping[str, str]:
        return cluster_names(self.table("taxonomy", ("level", "cluster_id", "name")).arrow)

    def _stored(self, name: str) -> StoredTable:
        if name not in TABLES:
            raise OutputError(f"there is no table {name}", _choose(name, TABLES))
        stage = self.stages.get(WRITTEN_BY[name])
        if stage is None:
            raise OutputError(
                f"{self.address} has no table {name}: its stage {WRITTEN_BY[name]} has not run",
                "make it with vitw certify"
                if name == "certificate"
                else f"run up to {WRITTEN_BY[name]} or further",
            )
        path = f"{stage['folder']}/{SUCCESS}"
        try:
            ref = tables_of(json.loads(self.storage.read(path)))[name]
        except FileNotFoundError:
            raise OutputError(
                f"{self.storage.address(path)} is gone", "restore it, or run again"
            ) from None
        except (KeyError, TypeError, ValueError):
            raise other_version(
                f"{self.storage.address(path)} does not list the table {name}", self.version
            ) from None
        return StoredTable(self.storage, ref, self.version)

    def __repr__(self) -> str:
        """What a person wants to know first."""
        totals = ", ".join(f"{count:,} {name}" for name, count in self.totals.items())
        tables = ", ".join(f"{name} {rows:,}" for name, rows in self.tables.items())
        return (
            f"<run {self.address}, by vitw_ray {self.version}\n"
            f" totals  {totals}\n"
            f" stages  {', '.join(self.stages)}\n"
            f" tables  {tables}\n"
            f" report  {self.report}>"
        )


def _columns(name: str, columns: Sequence[str] | None) -> list[str]:
    known = resolved_schema(name).names
    for column in columns or ():
        if column not in known:
            raise OutputError(f"the table {name} has no column {column}", _choose(column, known))
    return known if columns is None else list(columns)


def _choose(name: str, known: Iterable[str]) -> str:
    return f"choose {near_names(name, known) or ', '.join(known)}"
