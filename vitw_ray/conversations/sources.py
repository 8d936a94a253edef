"""Where the conversations come from: the input files, their shape, and their raw rows.

First step of stage 1. Files are local or on s3:// (any fsspec address). What is wrong with a file
from its first byte is an `InputError`, before any work is done; what is wrong with a row, or with
the rest of a file, is a `Reject` in its place.
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

from vitw_ray.config import SourceFormat
from vitw_ray.conversations.opening import CODECS, explained, opened
from vitw_ray.conversations.parquet import read_parquet
from vitw_ray.conversations.rows import (
    FileBroken,
    Raw,
    Reject,
    json_layout,
    read_json,
)
from vitw_ray.conversations.shapes import SHAPES, best_shape, try_shapes
from vitw_ray.errors import InputError
from vitw_ray.stages import SourceFile

SUFFIXES = (
    ".parquet",
    *(kind + packed for kind in (".jsonl", ".ndjson", ".json") for packed in ("", *CODECS)),
)
"""What an input file's name ends with."""
_FIRST_ROWS = 20  # ours: rows that show a file's shape ...
_FIRST_ROWS_TRIED = 1000  # ours: ... and how many rows, good or bad, are looked at for them
_TRUNCATED = "Truncated compressed stream"  # Arrow's words; other damage has other words
_COLUMN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,39}")  # ours: what may be shown of a key

__all__ = ["SUFFIXES", "Reject", "SourceFile", "find_files", "iter_rows", "recognise"]


def find_files(inputs: Sequence[str]) -> list[SourceFile]:
    """The files that paths, folders and globs name, each once, sorted by name.

    Folders are read recursively, without what is hidden (names that start with `.` or `_`) and
    without links to folders. In folders and globs, files of other suffixes are passed over.

    Raises:
        InputError: an input that is missing, cannot be read, or names no file of a known suffix.
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
    """The folder that a pattern starts from; size and version of each file, by address."""
    fs, path = url_to_fs(pattern)
    fs.invalidate_cache()  # another call may have listed the folder as it was before
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
                "name the file after what it holds",
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
    """Files of a listing's entry. Not by `fs.walk`: that passes over folders it may not list."""
    if entry["type"] != "directory":
        yield entry["name"]
        return
    for inner in cast(list[dict[str, Any]], fs.ls(entry["name"], detail=True)):
        path = inner["name"].rstrip("/")
        is_itself = path == entry["name"].rstrip("/")  # as the placeholder of a folder on s3
        # A link is of type "other"; a broken one is kept, so that it is missed.
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
    """Row numbers (from 0) and rows; of a columnar file, with `shape`, only the columns it reads.

    A row that cannot be read is a `Reject`; so is, once, the rest of a file that breaks off.

    Raises:
        InputError: the storage fails.
    """
    number = -1
    try:
        for number, row in _numbered_rows(file, shape):
            yield number, row
    except FileBroken as broken:
        yield number + 1, Reject(broken.reason)
    except (OSError, pa.ArrowException) as error:  # of the unpacking
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


def recognise(file: SourceFile, source_format: SourceFormat = "auto") -> str | None:
    """The shape of a file, from its first rows; None for a file without rows.

    Raises:
        InputError: the file is not what its suffix says, none of its first rows is an object, or
            no known shape fits them.
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

    columns, outcomes = try_shapes(islice(good_rows(), _FIRST_ROWS))
    if not good and not rejects:
        return None
    if not good:
        raise InputError(
            f"{file.url}: none of its first {rejects.total()} rows can be read ({_codes(rejects)})",
            "check that the file is whole, and what its suffix says",
        )
    if source_format != "auto":
        return source_format
    shape = best_shape(outcomes)
    if shape is not None:
        return shape
    if outcomes:
        looks_like, reasons = next(iter(outcomes.items()))
        problem = f"looks like {looks_like}, but no first row can be read ({_codes(reasons)})"
    else:
        problem = f"has none of the known shapes; its columns are {_shown(columns)}"
    raise InputError(
        f"{file.url} {problem}",
        f"convert it to one of {' '.join(SHAPES)}, or name its shape with --source-format",
    )


def _codes(reasons: Counter[str]) -> str:
    return ", ".join(f"{code} {count}" for code, count in reasons.most_common())


def _shown(columns: set[str]) -> str:
    """Names of columns; a key that does not look like a name may be somebody's words."""
    names = sorted(filter(_COLUMN_NAME.fullmatch, columns))
    return ", ".join(names[:12]) + (", ..." if len(names) < len(columns) or len(names) > 12 else "")
