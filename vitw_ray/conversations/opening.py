"""Open an input file in storage as a stream of decompressed bytes.

Two kinds of failure are distinguished. A storage failure is an `InputError`: the attempt ends and
can be retried. A damaged file is an `OSError` of the decompressor: a retry would not help.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any, cast

import pyarrow as pa
from fsspec.core import url_to_fs

from vitw_ray.conversations.rows import CHUNK_BYTES
from vitw_ray.errors import InputError, VitwRayError

CODECS = {".gz": "gzip", ".zst": "zstd"}
_STORAGE_BUFFER_BYTES = 1 << 20  # ours: large enough to make Python's overhead per read small
_STORAGE_BLOCK_BYTES = 8 << 20  # ours: the default of s3fs is 50 MB


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Convert any exception of a storage library to an `InputError` that names the input."""
    try:
        yield
    except VitwRayError:
        raise
    except Exception as error:  # the libraries' exceptions share no base class
        raise InputError(
            f"{what} cannot be read ({type(error).__name__})",
            "check the address and the permissions, and for s3:// the endpoint and credentials "
            "(AWS_ENDPOINT_URL, AWS_*)",
        ) from error


class _StorageFile(io.RawIOBase):
    """A file in storage; every read failure is an `InputError`.

    If a lost connection were taken for a damaged file, it would become one reject, and all later
    rows of the file would be lost without an error.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        with explained(url):
            fs, path = url_to_fs(url)
            self._file = fs.open(path, "rb", block_size=_STORAGE_BLOCK_BYTES)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with explained(self._url):
            data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


@contextmanager
def opened(url: str) -> Iterator[io.BufferedIOBase]:
    """Open a file; compressed files are decompressed."""
    with io.BufferedReader(_StorageFile(url), _STORAGE_BUFFER_BYTES) as packed:
        codec = CODECS.get(PurePosixPath(url).suffix)
        if codec is None:
            yield packed
            return
        # Arrow decompresses in small chunks, so a decompression bomb is never in memory as a
        # whole. Unlike zstandard's stream it detects a truncated file.
        stream = pa.CompressedInputStream(pa.PythonFile(packed, mode="r"), codec)
        yield io.BufferedReader(cast(Any, stream), CHUNK_BYTES)
