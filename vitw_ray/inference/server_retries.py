"""Which failed requests to a server are sent again, and how often.

A server that fails as a whole is waited for, over a minute. A request that fails alone, while the
server answers others, is sent a few times within seconds: its neighbours must not wait for it, and
the run asks it once more at its end.

Whether the server answers others is seen in its answers to requests that were sent after the last
failure; where there are none, a short request of our own finds out.
"""

import asyncio
import math
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeVar

from vitw_ray.inference.language_model import FAILED_ALONE, ModelFailure

if TYPE_CHECKING:
    from openai import APIConnectionError, APIStatusError

MAX_RETRIES = 12  # ours: at 0.5 to 8 s between retries, this outlasts a rate limit of one minute
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 8.0  # as openai's client waits
LONGEST_WAIT_ALONE_S = 2.0  # ours: a server that answers others need not be spared
LONGEST_RETRY_AFTER_S = 120.0  # as openai's client obeys a server; beyond it gives up
TRIES_ALONE = 4  # ours: more of one prompt find hardly any answer
TRIES_ALONE_ILL = 8  # ours: of random failures of one half, one request in 65,000 fails twice so
ILL = 0.25  # ours: share of requests, when first sent, above which a server fails at random
_RECENT = 100  # ours: requests by which that is judged

Response = TypeVar("Response")


class Retries:
    """Sends requests to one server until they are answered or given up. Of one asyncio loop."""

    def __init__(self, probe: Callable[[], Awaitable[bool]]) -> None:
        """`probe` sends a short request; whether it was answered."""
        self._probe = probe
        self._answered_of = -math.inf  # when the last request was sent that has been answered
        self._answered_at_once: deque[bool] = deque(maxlen=_RECENT)
        self._probing: asyncio.Task[bool] | None = None
        self._probed_at = -math.inf

    async def answer(self, send: Callable[[], Awaitable[Response]]) -> Response:
        """The response to a request, which is sent again while its failures may pass.

        Raises:
            ModelFailure: it fails alone.
            APIStatusError, APIConnectionError: the last failure, where the server fails as a whole
                or says that it is no use.
        """
        alone = 0  # failures in a row while the server answered others
        now_s = asyncio.get_running_loop().time
        for retry in range(MAX_RETRIES + 1):
            sent_at = now_s()
            response, failure = await _once(send)
            if not retry:
                self._answered_at_once.append(failure is None)
            if failure is None:
                self._answered_of = max(self._answered_of, sent_at)
                return response  # type: ignore[return-value]
            told_s = _told_to_wait(failure)
            if retry == MAX_RETRIES or not _may_pass(failure, told_s):
                raise failure
            is_limit, failed_at = _is_limit(failure, told_s), now_s()
            if not is_limit and alone + 1 >= self._tries_alone:
                break
            await asyncio.sleep(told_s or _wait_s(retry, alone))
            if not is_limit:
                # Of requests that were sent before it, a server that goes away answers some.
                others = self._answered_of > failed_at or await self._is_there(failed_at)
                alone = alone + 1 if others else 0
        raise ModelFailure(FAILED_ALONE)

    @property
    def _tries_alone(self) -> int:
        recent = self._answered_at_once
        return TRIES_ALONE_ILL if recent.count(False) > ILL * len(recent) else TRIES_ALONE

    async def _is_there(self, since: float) -> bool:
        """Whether the server has answered a probe sent since then; requests share probes."""
        if self._probing is None or self._probed_at < since:
            self._probed_at = asyncio.get_running_loop().time()
            self._probing = asyncio.ensure_future(self._probe())
        return await asyncio.shield(self._probing)  # one that times out ends nobody else's


async def _once(
    send: Callable[[], Awaitable[Response]],
) -> "tuple[Response | None, APIStatusError | APIConnectionError | None]":
    import openai

    try:
        return await send(), None
    except (openai.APIStatusError, openai.APIConnectionError) as error:
        return None, error


def _wait_s(retry: int, alone: int) -> float:
    longest = LONGEST_WAIT_ALONE_S if alone else LONGEST_WAIT_S
    return min(FIRST_WAIT_S * 2**retry, longest) * random.uniform(0.75, 1)


def _told_to_wait(failure: "APIStatusError | APIConnectionError") -> float | None:
    """Seconds that the server asks to wait; None where it says nothing that makes sense."""
    headers = getattr(getattr(failure, "response", None), "headers", {})
    for name, unit_s in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            told_s = float(headers[name]) * unit_s
        except (KeyError, ValueError):
            continue
        return told_s if told_s > 0 else None
    try:
        until = parsedate_to_datetime(headers["retry-after"]).timestamp()
    except (KeyError, ValueError, OverflowError):
        return None
    return max(0.0, until - time.time()) or None


def _is_limit(failure: "APIStatusError | APIConnectionError", told_s: float | None) -> bool:
    """Whether the server asks everybody to wait, whatever the request says."""
    status = getattr(failure, "status_code", None)
    return status == 429 or (status == 503 and told_s is not None)


def _may_pass(failure: "APIStatusError | APIConnectionError", told_s: float | None) -> bool:
    """As openai's client decides it."""
    import openai

    if not isinstance(failure, openai.APIStatusError):  # no connection
        return True
    if told_s is not None and told_s > LONGEST_RETRY_AFTER_S:
        return False
    said = failure.response.headers.get("x-should-retry")
    if said in ("true", "false"):
        return said == "true"
    return failure.status_code in (408, 409, 429) or failure.status_code >= 500
