"""Find the input files, detect their shape, and read their raw rows.

First step of stage 1. Files are local or on s3:// (any fsspec address). A file that cannot be read
at all is an `InputError` before any work is done. A bad row, or a file that breaks off, is a
`Reject` at that row.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice, takewhile
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from vitw_ray.conversations.opening import CODECS, explained, opened
from vitw_ray.conversations.parquet import read_parquet
from vitw_ray.conversations.rows import (
    FileBroken,
    Raw,
    Reject,
    json_layout,
    read_json,
)
from vitw_ray.conversations.shapes import SHAPES, recognise_rows
from vitw_ray.errors import InputError
from vitw_ray.stages import SourceFile

SUFFIXES = (
    ".parquet",
    *(kind + packed for kind in (".jsonl", ".ndjson", ".json") for packed in ("", *CODECS)),
)
"""Accepted endings of an input file's name."""
_FIRST_ROWS = 20  # ours: good rows used to detect a file's shape
_FIRST_ROWS_TRIED = 1000  # ours: rows, good or bad, that are read to find them
_TRUNCATED = "Truncated compressed stream"  # Arrow's message; other damage has other messages
_COLUMN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,39}")  # ours: keys safe to show in a message

__all__ = ["SUFFIXES", "Reject", "SourceFile", "find_files", "iter_rows", "recognise"]


def find_files(inputs: Sequence[str]) -> list[SourceFile]:
    """The files matched by paths, folders and globs, without duplicates, sorted by name.

    Folders are read recursively, except hidden files (names that start with `.` or `_`) and links
    to folders. In folders and globs, files with other suffixes are skipped.

    Raises:
        InputError: an input is missing, cannot be read, or has no file with a known suffix.
    """
    found: dict[str, tuple[int, str]] = {}
    bases: list[list[str]] = []
    for pattern in inputs:
        with explained(pattern):
            base, files = _named_by(pattern)
        bases.append(base.split("/"))
        found |= files
    shared = takewhile(lambda names: len(set(names)) == 1, zip(*bases, strict=False))
    depth = len(list(shared))
    files = [
        SourceFile(url, "/".join(url.split("/")[depth:]), *identity)
        for url, identity in found.items()
    ]
    return sorted(files, key=lambda file: file.name)


def _named_by(pattern: str) -> tuple[str, dict[str, tuple[int, str]]]:
    """The base folder of a pattern; size and version of each matched file, by address."""
    fs, path = url_to_fs(pattern)
    fs.invalidate_cache()  # the listing of an earlier call may be out of date
    try:
        matches = [fs.info(path)]
    except FileNotFoundError:
        folder, magic, _ = re.split(r"([*?[]|$)", path, maxsplit=1)
        if not magic:
            raise InputError(f"{pattern} does not exist", "correct the path in --input") from None
        matches = [fs.info(match) for match in fs.glob(path)]
        base = folder.rpartition("/")[0]
    else:
        is_folder = matches[0]["type"] == "directory"
        base = path if is_folder else path.rpartition("/")[0]
        if not (is_folder or path.endswith(SUFFIXES)):
            raise InputError(
                f"{pattern} has none of the suffixes {' '.join(SUFFIXES)}",
                "rename the file to a suffix that matches its content",
            )
    paths = [path for match in matches for path in _files_below(fs, match)]
    files = {_address(fs, path): _identity(fs, path) for path in paths if path.endswith(SUFFIXES)}
    if not files:
        raise InputError(
            f"{pattern} names no file of a known suffix ({' '.join(SUFFIXES)})",
            "give another folder or pattern in --input",
        )
    return _address(fs, base), files


def _files_below(fs: AbstractFileSystem, entry: dict[str, Any]) -> Iterator[str]:
    """Files below a listing entry. `fs.walk` is not used: it skips folders it cannot list."""
    if entry["type"] != "directory":
        yield entry["name"]
        return
    for inner in cast(list[dict[str, Any]], fs.ls(entry["name"], detail=True)):
        path = inner["name"].rstrip("/")
        is_itself = path == entry["name"].rstrip("/")  # the placeholder object of a folder on s3
        # A link has the type "other". A broken link is kept, so that reading it raises an error.
        linked_folder = inner["type"] == "other" and fs.isdir(path)
        if not (is_itself or linked_folder or path.rpartition("/")[2].startswith((".", "_"))):
            yield from _files_below(fs, inner)


def _address(fs: AbstractFileSystem, path: str) -> str:
    return path if isinstance(fs, LocalFileSystem) else fs.unstrip_protocol(path)


def _identity(fs: AbstractFileSystem, path: str) -> tuple[int, str]:
    if isinstance(fs, LocalFileSystem):
        stat = Path(path).stat()
        if not os.access(path, os.R_OK):
            raise PermissionError
        return stat.st_size, str(stat.st_mtime_ns)
    info = fs.info(path)
    version = info.get("ETag") or info.get("mtime") or info.get("created") or ""
    return info["size"], str(version).strip('"')


def iter_rows(file: SourceFile, shape: str | None = None) -> Iterator[tuple[int, Raw | Reject]]:
    """Yield row numbers (from 0) and rows.

    With `shape`, only the columns that the shape needs are read from a columnar file. A row that
    cannot be read is a `Reject`. A file that breaks off gives one `Reject` for its remaining rows.

    Raises:
        InputError: the storage fails.
    """
    number = -1
    try:
        for number, row in _numbered_rows(file, shape):
            yield number, row
    except FileBroken as broken:
        yield number + 1, Reject(broken.reason)
    except (OSError, pa.ArrowException) as error:  # from decompression
        truncated = str(error).startswith(_TRUNCATED)
        yield number + 1, Reject("file_truncated" if truncated else "file_unreadable")


def _numbered_rows(file: SourceFile, shape: str | None) -> Iterator[tuple[int, Raw | Reject]]:
    if file.name.endswith(".parquet"):
        columns = SHAPES[shape].columns.split() if shape else None
        with opened(file.url) as stream:
            yield from read_parquet(stream, columns)
        return
    layout = "lines"
    if file.name.endswith((".json", *(f".json{packed}" for packed in CODECS))):
        with opened(file.url) as stream:
            layout = json_layout(stream)
    with opened(file.url) as stream:
        yield from enumerate(read_json(stream, layout))


def recognise(file: SourceFile, source_format: str = "auto") -> str | None:
    """Detect the shape of a file from its first rows; None for a file without rows.

    Raises:
        InputError: none of the first rows can be read as an object, or no known shape fits.
    """
    rejects: Counter[str] = Counter()
    good = 0

    def good_rows() -> Iterator[Raw]:
        nonlocal good
        for _, row in islice(iter_rows(file), _FIRST_ROWS_TRIED):
            if isinstance(row, Reject):
                rejects[row.reason] += 1
            else:
                good += 1
                yield row

    found = recognise_rows(islice(good_rows(), _FIRST_ROWS))
    if not good and not rejects:
        return None
    if not good:
        raise InputError(
            f"{file.url}: none of its first {rejects.total()} rows can be read ({_codes(rejects)})",
            "check that the file is complete and that its suffix matches its content",
        )
    if source_format != "auto":
        return source_format
    if found.shape is not None:
        return found.shape
    if found.nearest is not None:
        why = _codes(found.reasons)
        problem = f"looks like {found.nearest}, but no row can be read ({why})"
        problem += f"; its columns are {_shown(set(found.columns))}"
    else:
        problem = f"has none of the known shapes; its columns are {_shown(set(found.columns))}"
    raise InputError(
        f"{file.url} {problem}",
        f"convert it to one of {' '.join(SHAPES)}, or name its shape with --source-format,"
        f" or say where its fields are: --map '{found.map_line}'",
    )


def _codes(reasons: Counter[str]) -> str:
    return ", ".join(f"{code} {count}" for code, count in reasons.most_common())


def _shown(columns: set[str]) -> str:
    """Column names for a message; keys that do not look like names may be conversation text."""
    names = sorted(filter(_COLUMN_NAME.fullmatch, columns))
    return ", ".join(names[:12]) + (", ..." if len(names) < len(columns) or len(names) > 12 else "")
