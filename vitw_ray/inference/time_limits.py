"""The time limit of a request, which leaves out the time in the engine's queue.

An engine is given more requests than it works on at once, in the order in which they are to be
answered. On a slow engine the last of them wait for as long as all others take. So the time of a
request counts from the last progress of a request that was sent before it, or of itself: an answer,
or a token where tokens can be seen. While anything ahead advances, a request that waits is not
late. An engine at a standstill is noticed within the limit, and so is a request that is passed
over.

Time is counted in checks of the event loop: while the process itself stands still, on a starved
node or a laptop that sleeps, no request grows late.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

CHECKS = 20  # ours, per limit: a request is ended at most a twentieth of its limit late
CHECK_EVERY_S = 1.0  # ours, at most: looking at a thousand requests takes under a millisecond


class _Request:
    def __init__(self, scope: asyncio.Timeout) -> None:
        self.scope = scope
        self.idle_s = 0.0
        self.tokens = 0


class TimeLimits:
    """Ends requests that make no progress; all methods run in one asyncio loop."""

    def __init__(
        self, limit_s: float, tokens: Callable[[], Mapping[int, int]] | None = None
    ) -> None:
        """Set the limit.

        Args:
            limit_s: longest time without progress.
            tokens: returns the number of tokens that each request has so far, by the request's
                number; a request that is not in it has none.
        """
        self.limit_s = limit_s
        self._tokens = tokens
        self._requests: dict[int, _Request] = {}  # in the order in which they were sent
        self._next = 0
        self._timer: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def request(self) -> AsyncIterator[int]:
        """Limit the time of the block; yields the number of the request.

        Raises:
            TimeoutError: neither it nor a request before it has made progress for so long.
        """
        number, self._next = self._next, self._next + 1
        async with asyncio.timeout(None) as scope:
            self._requests[number] = _Request(scope)
            self._check_later()
            try:
                yield number
            finally:
                del self._requests[number]
                if not scope.expired():
                    self._advance(number)

    def _advance(self, first: int) -> None:
        """Note the end of a request as progress of all that were sent after it."""
        for number, request in self._requests.items():
            if number > first:
                request.idle_s = 0.0

    def _check_later(self) -> None:
        if self._timer is None and self._requests:
            step_s = min(self.limit_s / CHECKS, CHECK_EVERY_S)
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(step_s, self._check, step_s)

    def _check(self, step_s: float) -> None:
        self._timer = None
        tokens = self._tokens() if self._tokens else {}
        advanced = False
        for number, request in self._requests.items():
            written = tokens.get(number, 0)
            advanced |= written > request.tokens
            request.tokens = max(written, request.tokens)
            request.idle_s = 0.0 if advanced else request.idle_s + step_s
            if request.idle_s > self.limit_s and not request.scope.expired():
                request.scope.reschedule(asyncio.get_running_loop().time())
        self._check_later()
