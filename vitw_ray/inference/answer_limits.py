"""Bounds on what a server may send back: it is not trusted, and its answer is read whole.

An answer is cut where it is longer than any can be, and what is cut is no JSON. A packed answer is
not unpacked: the client does not ask for one, and a few kilobytes can hold gigabytes.
"""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from httpx2 import AsyncByteStream, Response

MOST_ANSWER_BYTES = 4 << 20  # ours: an answer has kilobytes, with its probabilities tens of them
UNPACKED = {"Accept-Encoding": "identity"}


async def bounded(response: "Response") -> None:
    """A hook of the client: bounds the body of a response before it is read."""
    response.headers.pop("content-encoding", None)
    response.stream = _cut_off(cast("AsyncByteStream", response.stream))


def _cut_off(stream: "AsyncByteStream") -> "AsyncByteStream":
    from httpx2 import AsyncByteStream

    class Bounded(AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            left = MOST_ANSWER_BYTES
            async for piece in stream:
                yield piece[:left]
                left -= len(piece)
                if left <= 0:
                    return

        async def aclose(self) -> None:
            await stream.aclose()

    return Bounded()
