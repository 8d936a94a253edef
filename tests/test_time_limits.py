"""A request times out when it stands still, and not because an engine is slow or its queue long."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from vitw_ray.inference.time_limits import TimeLimits

SCALE = 0.05  # seconds of the tests per second that they speak of


class SlowEngine:
    """Works on some requests at a time, in their order; each takes some seconds."""

    def __init__(self, seconds: float, at_once: int = 1) -> None:
        self.seconds, self._free = seconds, asyncio.Semaphore(at_once)

    async def run(self) -> None:
        async with self._free:
            await asyncio.sleep(self.seconds * SCALE)


async def outcome(limits: TimeLimits, work: Callable[[], Coroutine[Any, Any, Any]]) -> str:
    try:
        async with limits.request():
            await work()
    except TimeoutError:
        return "time_out"
    return "answered"


def test_a_queue_of_sixty_requests_of_a_second_outlives_a_limit_of_five():
    async def sixty() -> list[str]:
        limits, engine = TimeLimits(5 * SCALE), SlowEngine(1.0)
        return await asyncio.gather(*(outcome(limits, engine.run) for _ in range(60)))

    assert asyncio.run(sixty()) == ["answered"] * 60


def test_an_engine_that_stands_still_fails_every_request_within_the_limit():
    async def stuck() -> tuple[list[str], float]:
        limits, start = TimeLimits(5 * SCALE), time.monotonic()
        found = await asyncio.gather(*(outcome(limits, asyncio.Event().wait) for _ in range(60)))
        return found, time.monotonic() - start

    found, seconds = asyncio.run(stuck())
    assert found == ["time_out"] * 60
    assert 4 * SCALE <= seconds < 60 * SCALE


def test_an_engine_that_stops_halfway_fails_what_is_left():
    async def halfway() -> list[str]:
        limits, engine = TimeLimits(5 * SCALE), SlowEngine(1.0)
        asyncio.get_running_loop().call_later(30.5 * SCALE, setattr, engine, "seconds", 1e9)
        return await asyncio.gather(*(outcome(limits, engine.run) for _ in range(60)))

    found = asyncio.run(halfway())
    assert found == sorted(found)  # first what is answered
    assert 10 < found.count("answered") < 40


def test_a_request_that_is_passed_over_times_out_though_later_ones_are_answered():
    async def passed_over() -> tuple[str, list[str]]:
        limits, engine = TimeLimits(5 * SCALE), SlowEngine(1.0)
        starved = asyncio.create_task(outcome(limits, asyncio.Event().wait))
        others = asyncio.gather(*(outcome(limits, engine.run) for _ in range(20)))
        return await starved, await others

    assert asyncio.run(passed_over()) == ("time_out", ["answered"] * 20)


def test_a_long_answer_is_awaited_as_long_as_it_grows():
    async def long_answer(grows: bool) -> list[str]:
        tokens = {0: 0}
        limits = TimeLimits(5 * SCALE, lambda: tokens)

        async def generate() -> None:
            for _ in range(20):
                await asyncio.sleep(SCALE)
                tokens[0] += grows

        waiting = SlowEngine(23.0)
        return await asyncio.gather(outcome(limits, generate), outcome(limits, waiting.run))

    assert asyncio.run(long_answer(grows=False)) == ["time_out"] * 2
    assert asyncio.run(long_answer(grows=True)) == ["answered"] * 2  # the second waits meanwhile


def test_a_failure_of_a_request_is_raised_as_it_is():
    async def failing() -> None:
        async with TimeLimits(1.0).request():
            raise LookupError

    with pytest.raises(LookupError):
        asyncio.run(failing())


def test_a_request_that_takes_long_to_end_does_not_end_the_checks_of_others():
    async def lingers() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(5 * SCALE)

    async def both() -> list[str]:
        limits = TimeLimits(2 * SCALE)
        first = asyncio.create_task(outcome(limits, lingers))
        await asyncio.sleep(4 * SCALE)
        return [await outcome(limits, asyncio.Event().wait), await first]

    assert asyncio.run(asyncio.wait_for(both(), 30)) == ["time_out"] * 2
