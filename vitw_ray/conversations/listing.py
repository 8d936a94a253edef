"""Find the input files, and name what is passed over and why.

Files are local or on s3:// (any fsspec address). The first bytes of each say what it holds.
"""

import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path
from typing import Any, cast

from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from vitw_ray.conversations.archives import members_of
from vitw_ray.conversations.file_content import ARCHIVE, HEAD_BYTES, Content, content_of, needs_more
from vitw_ray.conversations.opening import address_of, explained, located, shown
from vitw_ray.errors import InputError
from vitw_ray.stages import SourceFile

LISTING_THREADS = 16  # ours: reading the first rows of a file mostly waits for storage
_BLOCK_BYTES = 1 << 20  # a block of bzip2 holds 900 kB of text
_STAGE_FOLDER = re.compile(r"[1-9]_[a-z]+-[0-9a-f]+")
_PARTITION = re.compile(r"[A-Za-z_]\w*=")
_NOT_REGULAR = "a pipe, socket or device"


@dataclass(frozen=True)
class Listing:
    """What `--input` names."""

    files: tuple[SourceFile, ...] = ()
    """Sorted by name."""
    passed_over: dict[str, str] = field(default_factory=dict)
    """Name of a file or folder -> why it is not read."""
    given: frozenset[str] = frozenset()
    """Names of the files that the user named one by one. They must be readable."""


@dataclass
class _Found:
    """What one input names: addresses, before names are relative to what all have in common."""

    base: str
    files: list[SourceFile] = field(default_factory=list)
    passed_over: dict[str, str] = field(default_factory=dict)
    given: bool = False


def list_input(inputs: Sequence[str]) -> Listing:
    """The files matched by paths, folders and globs, without duplicates.

    Folders are read recursively, except hidden files (names that start with `.` or `_`), links to
    folders, and the folders of runs.

    Raises:
        InputError: an input is missing, cannot be read, or names no file that may hold rows.
    """
    found: list[_Found] = []
    with ThreadPoolExecutor(LISTING_THREADS) as pool:
        for pattern in inputs:
            with explained(pattern):
                found.append(_named_by(pattern, pool))
    bases = [_without_partitions(one.base.split("/")) for one in found]
    shared = takewhile(lambda names: len(set(names)) == 1, zip(*bases, strict=False))
    depth = len(list(shared))

    def name(url: str) -> str:
        return shown("/".join(url.split("/")[depth:]))

    files = {
        (file.url, file.member): replace(
            file, name=name(file.url) + (f"!{shown(file.member)}" if file.member else "")
        )
        for one in found
        for file in one.files
    }
    listed = tuple(sorted(files.values(), key=lambda file: file.name))
    if len({file.name for file in listed}) < len(listed):
        twice = Counter(file.name for file in listed).most_common(1)[0][0]
        raise InputError(f"--input names two files shown as {twice}", "rename one of them")
    passed_over = {name(url): why for one in found for url, why in one.passed_over.items()}
    given = frozenset(name(file.url) for one in found if one.given for file in one.files)
    return Listing(listed, dict(sorted(passed_over.items())), given)


def _without_partitions(folders: list[str]) -> list[str]:
    """A base folder without `key=value` at its end, which belongs to the names of the files."""
    while folders and _PARTITION.match(folders[-1]):
        folders = folders[:-1]
    return folders


def _named_by(pattern: str, pool: ThreadPoolExecutor) -> _Found:
    fs, path = located(pattern)
    fs.invalidate_cache()  # the listing of an earlier call may be out of date
    try:
        matches = [fs.info(path)]
    except FileNotFoundError:
        folder, magic, _ = re.split(r"([*?[]|$)", path, maxsplit=1)
        if not magic:
            raise InputError(
                f"{shown(pattern)} does not exist", "correct the path in --input"
            ) from None
        matches = [fs.info(match) for match in fs.glob(path)]
        found = _Found(address_of(fs, folder.rpartition("/")[0]))
    else:
        is_folder = matches[0]["type"] == "directory"
        base = path if is_folder else path.rpartition("/")[0]
        found = _Found(address_of(fs, base), given=not is_folder)
        if is_folder and _is_run_folder(fs.ls(path, detail=False)):
            raise InputError(
                f"{shown(pattern)} is the folder of a run",
                "give the conversations that it read, in --input",
            )
    entries = [e for match in matches for e in _below(fs, match, found.passed_over)]
    for file, read, passed_over in pool.map(lambda entry: _looked_at(fs, entry), entries):
        found.files += read
        found.passed_over |= passed_over
        if found.given and not read:
            why = passed_over.get(file.url) or "an archive without readable files"
            raise InputError(
                f"{shown(pattern)} is {why}", "give JSON, JSON Lines, CSV or Parquet in --input"
            )
    if not found.files:
        raise InputError(
            f"{shown(pattern)} names no file with conversations{_listed(found.passed_over)}",
            "give another folder or pattern in --input",
        )
    return found


def _listed(passed_over: dict[str, str]) -> str:
    reasons = Counter(passed_over.values()).most_common(5)
    found = ", ".join(f"{n} {why}" for why, n in reasons)
    return f" (passed over: {found})" if found else ""


def _below(
    fs: AbstractFileSystem, entry: dict[str, Any], passed_over: dict[str, str]
) -> Iterator[dict[str, Any]]:
    """Files below a listing entry. `fs.walk` is not used: it skips folders it cannot list."""
    if entry["type"] != "directory":
        yield entry
        return
    inside = cast(list[dict[str, Any]], fs.ls(entry["name"], detail=True))
    if _is_run_folder([inner["name"] for inner in inside]):
        passed_over[address_of(fs, entry["name"].rstrip("/"))] = "a run folder"
        return
    for inner in inside:
        path = inner["name"].rstrip("/")
        if path == entry["name"].rstrip("/"):  # the placeholder object of a folder on s3
            continue
        if path.rpartition("/")[2].startswith((".", "_")):
            passed_over[address_of(fs, path)] = "hidden"
        # A link has the type "other". A broken link is kept, so that reading it raises an error.
        elif inner["type"] == "other" and fs.isdir(path):
            passed_over[address_of(fs, path)] = "a link to a folder"
        else:
            yield from _below(fs, inner, passed_over)


def _is_run_folder(paths: Sequence[str]) -> bool:
    return any(_STAGE_FOLDER.fullmatch(path.rstrip("/").rpartition("/")[2]) for path in paths)


def _looked_at(
    fs: AbstractFileSystem, entry: dict[str, Any]
) -> tuple[SourceFile, list[SourceFile], dict[str, str]]:
    """A file; what of it is read; and what of it is passed over, by address."""
    path = entry["name"]
    url = address_of(fs, path)
    with explained(url):
        size, version = _identity(fs, entry)
        file = SourceFile(url, "", max(size, 0), version)
        if size < 0:
            return file, [], {url: _NOT_REGULAR}
        content = _content(fs, path, size)
    if content.layout == ARCHIVE and not content.layers:
        members, passed_over = members_of(file)
        return file, members, {f"{url}!{name}": why for name, why in passed_over.items()}
    if not content.readable or content.layout == ARCHIVE:
        why = f"{content.layout} inside a compressed file (unpack it)"
        return file, [], {url: why if content.layout == ARCHIVE else content.layout}
    return file, [replace(file, content=str(content))], {}


def _identity(fs: AbstractFileSystem, entry: dict[str, Any]) -> tuple[int, str]:
    """Size and version of a file; size -1 for what is no file that can be read to its end."""
    if isinstance(fs, LocalFileSystem):
        path = Path(entry["name"])
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return -1, ""
        if not os.access(path, os.R_OK):
            raise PermissionError
        return status.st_size, str(status.st_mtime_ns)
    version = entry.get("ETag") or entry.get("mtime") or entry.get("created") or ""
    return entry["size"], str(version).strip('"')


def _content(fs: AbstractFileSystem, path: str, size: int) -> Content:
    head = _head(fs, path, size, HEAD_BYTES)
    if len(head) < size and needs_more(head):
        head = _head(fs, path, size, _BLOCK_BYTES)
    return content_of(head, path, whole=len(head) >= size)


def _head(fs: AbstractFileSystem, path: str, size: int, length: int) -> bytes:
    if not size:
        return b""
    if isinstance(fs, LocalFileSystem):
        with Path(path).open("rb") as file:
            return file.read(length)
    return cast(bytes, fs.cat_file(path, start=0, end=min(size, length)))
