"""One input file in storage -> a stream of its unpacked bytes.

Two kinds of failure are kept apart here. Storage that fails is an `InputError`: the attempt ends
and can be repeated. A file that is damaged is an `OSError` of the unpacking: it will be so again.
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
_STORAGE_BUFFER_BYTES = 1 << 20  # ours: large enough that Python's share of the reading is small
_STORAGE_BLOCK_BYTES = 8 << 20  # ours: s3fs fetches 50 MB at once unless told


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Whatever a storage library raises, as an `InputError` that names the input."""
    try:
        yield
    except VitwRayError:
        raise
    except Exception as error:  # every library has classes of its own, with no common one
        raise InputError(
            f"{what} cannot be read ({type(error).__name__})",
            "check the address and the permissions, and for s3:// the endpoint and credentials "
            "(AWS_ENDPOINT_URL, AWS_*)",
        ) from error


class _StorageFile(io.RawIOBase):
    """A file in storage, of which every failure is an `InputError`.

    A lost connection that passed for damage of the file would become one reject, and all rows
    behind it would be missing for good.
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
    """The bytes of a file, unpacked."""
    with io.BufferedReader(_StorageFile(url), _STORAGE_BUFFER_BYTES) as packed:
        codec = CODECS.get(PurePosixPath(url).suffix)
        if codec is None:
            yield packed
            return
        # Arrow unpacks in small pieces, so a bomb never stands in memory whole, and unlike
        # zstandard's stream it notices a missing end.
        stream = pa.CompressedInputStream(pa.PythonFile(packed, mode="r"), codec)
        yield io.BufferedReader(cast(Any, stream), CHUNK_BYTES)
