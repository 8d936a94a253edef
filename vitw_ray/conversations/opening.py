"""Open an input file in storage as a stream of decompressed bytes.

Two kinds of failure are distinguished. A storage failure is an `InputError`: what may pass is tried
again (`retries`), then the attempt ends. A damaged file is an exception of `unpacking.DAMAGE`: a
retry would not help.
"""

import io
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import fsspec
from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from vitw_ray.conversations.file_content import Content
from vitw_ray.conversations.rows import CHUNK_BYTES, FileBroken
from vitw_ray.conversations.unpacking import unwrapped
from vitw_ray.errors import InputError, InputFailed, VitwRayError
from vitw_ray.retries import PatientFile, may_pass, patiently
from vitw_ray.stages import SourceFile

_STORAGE_BUFFER_BYTES = 1 << 20  # ours: large enough to make Python's overhead per read small
_STORAGE_BLOCK_BYTES = 8 << 20  # ours: the default of s3fs is 50 MB
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def shown(name: str) -> str:
    """A file name for a message or a table.

    What is not UTF-8 or could control a terminal is escaped.
    """
    text = name.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Convert any exception of a storage library to an `InputError` that names the input."""
    try:
        yield
    except VitwRayError:
        raise
    except Exception as error:  # the libraries' exceptions share no base class
        kind = InputFailed if may_pass(error) else InputError
        raise kind(
            f"{shown(what)} cannot be read ({type(error).__name__})",
            "check the address and the permissions, and for s3:// the endpoint and credentials "
            "(AWS_ENDPOINT_URL, AWS_*)",
        ) from error


def located(address: str) -> tuple[AbstractFileSystem, str]:
    """The file system of an address, and the path there.

    `::` chains file systems for fsspec. In a path it is part of a name.
    """
    scheme = _SCHEME.match(address)
    if "::" not in address or (scheme is None and _SCHEME.search(address)):
        return url_to_fs(address)
    fs: Any = fsspec.filesystem(scheme[0].removesuffix("://") if scheme else "file")
    return fs, fs._strip_protocol(address)


def address_of(fs: AbstractFileSystem, path: str) -> str:
    """The reverse of `located`; a local path needs no scheme."""
    return path if isinstance(fs, LocalFileSystem) else fs.unstrip_protocol(path)


@contextmanager
def stored(url: str, block_bytes: int = _STORAGE_BLOCK_BYTES) -> Iterator[io.BufferedIOBase]:
    """Open a file as it is stored; every read that fails is an `InputError`.

    If a lost connection were taken for a damaged file, it would become one reject, and all later
    rows of the file would be lost without an error.
    """

    def attempt(operation: Callable[[], Any]) -> Any:
        with explained(url):
            return patiently(operation)

    with explained(url):
        fs, path = located(url)
    file = attempt(lambda: fs.open(path, "rb", block_size=block_bytes))
    buffer_bytes = min(_STORAGE_BUFFER_BYTES, block_bytes)
    with io.BufferedReader(PatientFile(file, attempt), buffer_bytes) as stream:
        yield stream


@contextmanager
def opened(file: SourceFile) -> Iterator[io.BufferedIOBase]:
    """Open an input file, or the member of an archive, below all of its layers.

    Raises:
        FileBroken: the archive is damaged, or the member is encrypted.
    """
    with stored(file.url) as stream:
        content: io.BufferedIOBase = _member(stream, file.member) if file.member else stream
        for layer in Content.parse(file.content).layers:
            content = unwrapped(content, layer)
        yield content


def _member(stream: io.BufferedIOBase, name: str) -> io.BufferedIOBase:
    """A member of a zip archive; it is decompressed in small chunks."""
    try:
        archive = zipfile.ZipFile(cast(Any, stream))  # the stream's owner closes it
        member = archive.open(name)
    except (zipfile.BadZipFile, NotImplementedError, KeyError, RuntimeError, ValueError):
        raise FileBroken("archive_unreadable") from None
    return io.BufferedReader(cast(Any, member), CHUNK_BYTES)
