"""Storage failures that pass: which they are, and the one place that tries an operation again.

A bad sector, a lost connection, a time-out or a server error is often gone a moment later. A full
disk, a missing file or a refused permission is not. Here a single operation is tried again, by the
process that made it; `cluster` then tries the unit of work again, where Ray can on another node.
"""

import errno
import io
import sys
from collections.abc import Callable
from typing import Any, BinaryIO, TypeVar

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

ATTEMPTS = 4  # ours: with the waits about 2 s in all, less than a lease takes to expire
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.25, 2.0  # ours
_NUMBERS = {
    *(errno.EIO, errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.ETIMEDOUT, errno.ESTALE),
    *(errno.ECONNRESET, errno.ECONNABORTED, errno.ECONNREFUSED, errno.EPIPE),
    *(errno.ENETDOWN, errno.ENETUNREACH, errno.ENETRESET, errno.EHOSTUNREACH),
    getattr(errno, "EREMOTEIO", errno.EIO),  # what s3fs makes of 500
}
# Classes of libraries that are loaded only where a bucket is used.
_OF_CLIENTS = (
    *(("botocore.exceptions", "HTTPClientError"), ("botocore.exceptions", "IncompleteReadError")),
    ("aiohttp", "ClientError"),
)

Result = TypeVar("Result")


def may_pass(error: BaseException) -> bool:
    """Whether the same operation may work a moment later."""
    if isinstance(error, TimeoutError | ConnectionError):
        return True
    if isinstance(error, OSError):
        return error.errno in _NUMBERS
    return isinstance(error, _client_errors())


def patiently(operation: Callable[[], Result]) -> Result:
    """The result of an operation, which is tried again while its failures may pass."""
    attempts = Retrying(
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_random_exponential(_FIRST_WAIT_S, max=_LONGEST_WAIT_S),
        retry=retry_if_exception(may_pass),
        reraise=True,
    )
    return attempts(operation)


class PatientFile(io.RawIOBase):
    """A seekable file, each read of which is made by `attempt`: it starts where it was before."""

    def __init__(self, file: BinaryIO, attempt: Callable[[Callable[[], bytes]], bytes]) -> None:
        self._file, self._attempt = file, attempt

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Up to `size` bytes; all that are left without a size."""
        start = self._file.tell()

        def once() -> bytes:
            self._file.seek(start)
            return self._file.read(-1 if size is None else size)

        return self._attempt(once)

    def readinto(self, buffer: Any, /) -> int:
        """Read into a buffer; the number of bytes."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        """All bytes that are left."""
        return self.read()

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move to a place; the place."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The place of the next byte."""
        return self._file.tell()

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            self._file.close()
        super().close()


def _client_errors() -> tuple[type[BaseException], ...]:
    modules = ((sys.modules.get(module), name) for module, name in _OF_CLIENTS)
    return tuple(getattr(module, name) for module, name in modules if module is not None)
