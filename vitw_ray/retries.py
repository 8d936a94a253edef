"""Storage failures that pass: which they are, and the one place that tries an operation again.

A bad sector, a lost connection, a time-out or a server error is often gone a moment later. A full
disk, a missing file or a refused permission is not. Here a single operation is tried again, by the
process that made it; `cluster` then tries the unit of work again, where Ray can on another node.
"""

import errno
import sys
from collections.abc import Callable
from typing import TypeVar

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


def _client_errors() -> tuple[type[BaseException], ...]:
    modules = ((sys.modules.get(module), name) for module, name in _OF_CLIENTS)
    return tuple(getattr(module, name) for module, name in modules if module is not None)
