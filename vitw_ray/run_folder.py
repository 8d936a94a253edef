"""The run folder: what a run leaves behind, and how a stage becomes visible.

    DIR/run.json                              current files of every table, config, versions, counts
    DIR/report.html                           the current page
    DIR/<number>_<stage>-<key>/_SUCCESS.json  a finished stage: counts, times, and each file's rows,
                                              bytes and SHA-256
    DIR/<number>_<stage>-<key>/<table>/       tables and pages that hold aggregates only
    DIR/private/<number>_<stage>-<key>/       tables that hold text, or text made from one chat
    DIR/private/answers-<extractor key>/      committed answers, kept from run to run
    DIR/private/reader-checks/                how well a reader read the calibration set
    DIR/private/screen-<key>/                 head, certificate, and what was screened out
    DIR/private/vectors-<embedder key>/       vectors of labels and tasks, kept from run to run
    DIR/releases/<kind>-<number>/             what `vitw publish` has written
    DIR/private/releases/                     the ledger of releases, and strict ones as drawn
    DIR/private/inputs.json                   the input files by name
    DIR/private/secret                        the key of all keyed hashes

A stage's key is a hash of all that decides its content, so a finished folder can be skipped,
another key is another folder, and nothing is overwritten or mixed. A stage is visible once
`_SUCCESS.json` exists; it is created whole, once, and only if absent. Readers go by manifests,
never by listings.
Deleting `private/` leaves a finished run with all its aggregates.
"""

import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from vitw_ray.errors import OutputError
from vitw_ray.keys import Keyed, digest_of_files
from vitw_ray.records import TABLES
from vitw_ray.storage import PRIVATE, Storage
from vitw_ray.versions import versions

RUN_FILE = "run.json"
INPUTS_FILE = f"{PRIVATE}/inputs.json"
SUCCESS = "_SUCCESS.json"
_ATTEMPT = re.compile(r"^(part-\d{5})-[0-9a-f]{8}(?=\.parquet$)")
ROW_GROUP_ROWS = 256  # ours: what an actor reads at once; small, as chats are long


@dataclass(frozen=True)
class FileEntry:
    """One file of a finished stage; `path` is relative to the run folder."""

    path: str
    table: str
    rows: int
    bytes: int
    sha256: str

    @property
    def is_private(self) -> bool:
        """Whether it lies under `private/`."""
        return self.path.startswith(f"{PRIVATE}/")


@dataclass(frozen=True)
class TableRef:
    """A table as its manifest names it."""

    name: str
    files: tuple[FileEntry, ...]

    @property
    def rows(self) -> int:
        """Rows of all files."""
        return sum(file.rows for file in self.files)

    @property
    def public(self) -> "TableRef":
        """Its files outside `private/`: what a purge leaves."""
        return TableRef(self.name, tuple(file for file in self.files if not file.is_private))

    @property
    def private(self) -> "TableRef":
        """Its files under `private/`."""
        return TableRef(self.name, tuple(file for file in self.files if file.is_private))

    @property
    def digest(self) -> str:
        """Hash of the content, whatever folder it lies in."""
        return digest_of_files((_plain_name(f.path), f.sha256) for f in self.files)


@dataclass(frozen=True)
class StageReport:
    """What a stage says of itself when it is done."""

    files: Sequence[FileEntry]
    rows_in: int
    rows_out: int
    rejected: Mapping[str, int] = field(default_factory=dict)
    failed: Mapping[str, int] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StageFolder:
    """Where one stage writes: a public and a private place of the same name. Picklable."""

    storage: Storage
    name: str  # <number>_<stage>-<key>
    keyed: Keyed | None = None  # hashes private files

    def path(self, *parts: str, private: bool = False) -> str:
        """Path relative to the run folder."""
        return "/".join([*([PRIVATE] if private else []), self.name, *parts])

    def write_table(
        self, name: str, table: pa.Table, part: int = 0, *, private: bool = False
    ) -> FileEntry:
        """Write one part of a table in its schema; the same rows give the same bytes."""
        buffer = io.BytesIO()
        pq.write_table(
            table.cast(TABLES[name]), buffer, compression="zstd", row_group_size=ROW_GROUP_ROWS
        )
        path = self.path(name, f"part-{part:05d}.parquet", private=private)
        data = buffer.getvalue()
        entry = self._entry(path, name, table.num_rows, data)
        if self.storage.create(path, data) or self.storage.read(path) == data:
            return entry
        # Another attempt has written other bytes. What it wrote stays, as it may be published
        # already: the manifest says which file counts.
        other = path.replace(".parquet", f"-{hashlib.sha256(data).hexdigest()[:8]}.parquet")
        self.storage.write(other, data)
        return replace(entry, path=other)

    def write_text(self, name: str, text: str, rows: int = 1) -> FileEntry:
        """Write a page or a CSV file."""
        data = text.encode()
        self.storage.write(self.path(name), data)
        return self._entry(self.path(name), name, rows, data)

    def write_private(self, kind: str, name: str, data: bytes) -> FileEntry:
        """Write a file that is no table, below `private/`; `kind` is its folder."""
        path = self.path(kind, name, private=True)
        self.storage.write(path, data)
        return self._entry(path, kind, 1, data)

    def _entry(self, path: str, table: str, rows: int, data: bytes) -> FileEntry:
        return FileEntry(path, table, rows, len(data), seal(path, data, self.keyed))

    def manifest(self) -> dict[str, Any] | None:
        """The manifest of the finished stage, or None."""
        return read_manifest(self.storage, self.name)

    def publish(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Make the stage visible. Whoever comes second takes the manifest that stands."""
        self.storage.create(self.path(SUCCESS), pretty_json(manifest))
        standing = self.manifest()
        if standing is None:
            raise OutputError(
                f"{self.path(SUCCESS)} was written and is gone",
                "keep other programs out of the folder",
            )
        return standing


def seal(path: str, data: bytes, keyed: Keyed | None) -> str:
    """The hash of a file that its manifest states."""
    if path.startswith(f"{PRIVATE}/") and keyed is not None:  # a plain hash would confirm a guess
        return keyed.hex("file", data, 32)
    return hashlib.sha256(data).hexdigest()


def read_manifest(storage: Storage, folder: str) -> dict[str, Any] | None:
    """The manifest in a stage's folder; None if the stage is not finished."""
    try:
        return json.loads(storage.read(f"{folder}/{SUCCESS}"))
    except FileNotFoundError:
        return None
    except ValueError:
        raise OutputError(
            f"{storage.address(folder)}/{SUCCESS} is damaged",
            "delete that file and run again: the stage is made again from what is there",
        ) from None


def _plain_name(path: str) -> str:
    """Name of a part, whichever attempt wrote it."""
    return _ATTEMPT.sub(r"\1", Path(path).name)


def part_number(file: FileEntry) -> int:
    """Which part of its table a file is."""
    return int(_plain_name(file.path).removeprefix("part-").removesuffix(".parquet"))


def tables_of(manifest: Mapping[str, Any]) -> dict[str, TableRef]:
    """The tables that a finished stage wrote."""
    files = [FileEntry(**entry) for entry in manifest["files"]]
    names = dict.fromkeys(file.table for file in files if file.table in TABLES)
    return {name: TableRef(name, tuple(f for f in files if f.table == name)) for name in names}


@contextmanager
def open_part(storage: Storage, file: FileEntry) -> Iterator[BinaryIO]:
    """One file of a table, to read from.

    Raises:
        OutputError: it is gone, as private files are once `private/` is deleted.
    """
    try:
        handle = storage.open(file.path)
    except FileNotFoundError:
        private = file.is_private
        raise OutputError(
            f"the table {file.table} is needed, and {storage.address(file.path)} is gone"
            + (f": {PRIVATE}/ was deleted" if private else ""),
            f"restore it, or make all anew in another --output; {RUN_FILE}, the page, the release"
            f" and the tables outside {PRIVATE}/ can be used without it",
        ) from None
    with handle:
        yield handle


def read_part(storage: Storage, file: FileEntry, columns: Sequence[str] | None = None) -> pa.Table:
    """One file of a table, or some of its columns.

    Raises:
        OutputError: it is gone, or its columns are not those of `records.py`.
    """
    with open_part(storage, file) as handle:
        try:
            table = pq.read_table(handle, columns=list(columns) if columns else None)
        except pa.ArrowInvalid:  # a column that is not there, or a damaged file
            check_schema(storage, file, pq.read_schema(handle), columns)
            raise
    check_schema(storage, file, table.schema, columns)
    return table


def check_schema(
    storage: Storage, file: FileEntry, found: pa.Schema, columns: Sequence[str] | None = None
) -> None:
    """See that a file has the columns of its table as `records.py` states them.

    Args:
        storage: of the run folder.
        file: the file.
        found: its schema.
        columns: those that matter; default: all.

    Raises:
        OutputError: they differ, as in a folder that another version has written.
    """
    expected = TABLES[file.table]
    names = columns or dict.fromkeys([*expected.names, *found.names])
    differing = [
        name
        for name in names
        if not (name in expected.names and name in found.names)
        or not found.field(name).equals(expected.field(name))
    ]
    if not differing and columns is None and found.names != expected.names:
        differing = ["the order of its columns"]
    if differing:
        stage = file.path.removeprefix(f"{PRIVATE}/").split("/")[0]
        manifest = StageFolder(storage, stage).manifest() or {}
        version = manifest.get("versions", {}).get("vitw_ray")
        writer = f"vitw_ray {version}" if version else "another version"
        raise OutputError(
            f"the table {file.table} in {storage.address(stage)} was written by {writer} and"
            f" differs from that of vitw_ray {versions()['vitw_ray']} in {', '.join(differing)}",
            f"run the command of that run again, which makes it anew, or read it with {writer}",
        )


def read_table(storage: Storage, table: TableRef, columns: Sequence[str] | None = None) -> pa.Table:
    """A small table whole."""
    schema = TABLES[table.name]
    parts = [read_part(storage, file, columns) for file in table.files]
    if not parts:
        return (pa.schema([schema.field(c) for c in columns]) if columns else schema).empty_table()
    return pa.concat_tables(parts)


def read_run_file(storage: Storage) -> dict[str, Any] | None:
    """What `run.json` says, or None before the first run."""
    return json.loads(storage.read(RUN_FILE)) if storage.exists(RUN_FILE) else None


def write_run_file(storage: Storage, run: Mapping[str, Any]) -> None:
    """Rewrite `run.json` and the copy of the page beside it, each only when its content changes."""
    _rewrite(storage, RUN_FILE, pretty_json(run))
    if run["report"] is not None:
        _rewrite(storage, "report.html", storage.read(run["report"]))


def write_inputs_file(storage: Storage, inputs: Mapping[str, Any]) -> None:
    """Rewrite `private/inputs.json` when its content changes."""
    _rewrite(storage, INPUTS_FILE, pretty_json(inputs))


def _rewrite(storage: Storage, path: str, data: bytes) -> None:
    if not storage.exists(path) or storage.read(path) != data:
        storage.write(path, data)


def pretty_json(value: Mapping[str, Any]) -> bytes:
    """JSON for people and programs: sorted, indented, ends with a newline."""
    return (json.dumps(value, sort_keys=True, indent=1, default=str) + "\n").encode()


def entries(files: Iterable[FileEntry]) -> list[dict[str, Any]]:
    """File entries as a manifest holds them."""
    return [asdict(file) for file in files]
