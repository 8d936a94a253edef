"""If an engine dies, the fatal request is found, all others are answered, and starts are few."""

import asyncio
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitw_ray.errors import StageFailed
from vitw_ray.inference.language_model import ModelFailure
from vitw_ray.inference.recovery import BROKEN_AFTER, DIED, EngineDied, Recovery


class MortalEngine:
    """Returns each request after a moment; dies of a fatal request, with all others in flight."""

    def __init__(self, killers: frozenset[int]) -> None:
        self.killers = killers
        self.dead = asyncio.Event()
        self.closed = False

    async def run(self, request: int) -> int:
        if self.dead.is_set():
            raise EngineDied
        if request < 0:
            raise ModelFailure("time_out")
        await asyncio.sleep(0)
        if request in self.killers:
            self.dead.set()
        for _ in range(3):
            await asyncio.sleep(0)
            if self.dead.is_set():
                raise EngineDied
        return request

    def close(self) -> None:
        self.closed = True


def run_all(requests: list[int], killers: frozenset[int]) -> tuple[dict[int, object], int]:
    """Outcome of each request (itself, or a code), and the number of restarts."""

    async def start() -> MortalEngine:
        return MortalEngine(killers)

    async def outcome(recovery: Recovery[int, int], request: int) -> object:
        try:
            return await recovery.run(request)
        except ModelFailure as failure:
            return failure.code

    async def all_at_once() -> tuple[dict[int, object], int]:
        recovery: Recovery[int, int] = Recovery(start)
        await recovery.open()
        found = await asyncio.gather(*(outcome(recovery, request) for request in requests))
        return dict(zip(requests, found, strict=True)), recovery.restarts

    return asyncio.run(asyncio.wait_for(all_at_once(), 30))


@pytest.mark.parametrize("size", [2, 3, 8, 33, 100, 256])
def test_one_fatal_request_fails_alone_and_costs_at_most_1_plus_log2_n_restarts(size):
    for killer in {0, 1, size // 2, size - 1}:
        found, restarts = run_all(list(range(size)), frozenset([killer]))
        assert found == {n: DIED if n == killer else n for n in range(size)}
        assert restarts <= 1 + math.ceil(math.log2(size))


@given(st.integers(1, 60), st.sets(st.integers(0, 59), max_size=BROKEN_AFTER - 1))
def test_a_few_fatal_requests_are_found_and_only_they_fail(size, killers):
    found, restarts = run_all(list(range(size)), frozenset(killers))
    assert found == {n: DIED if n in killers else n for n in range(size)}
    present = sum(killer < size for killer in killers)
    assert restarts <= present * (2 + math.ceil(math.log2(size)))


def test_an_ordinary_failure_during_a_search_keeps_its_code():
    found, _ = run_all([-1, 1, 2, 3, -2], frozenset([2]))
    assert found == {-1: "time_out", 1: 1, 2: DIED, 3: 3, -2: "time_out"}


def test_an_engine_that_dies_once_without_a_fatal_request_loses_no_answer():
    async def accident() -> tuple[list[int], int]:
        engines: list[MortalEngine] = []

        async def start() -> MortalEngine:
            engines.append(MortalEngine(frozenset()))
            return engines[-1]

        recovery: Recovery[int, int] = Recovery(start)
        await recovery.open()
        requests = [asyncio.create_task(recovery.run(n)) for n in range(10)]
        await asyncio.sleep(0)
        engines[0].dead.set()
        found = await asyncio.gather(*requests)
        assert [engine.closed for engine in engines] == [True, False]
        return found, recovery.restarts

    found, restarts = asyncio.run(asyncio.wait_for(accident(), 30))
    assert found == list(range(10))
    assert restarts == 1


def test_an_engine_that_dies_on_every_request_ends_the_run():
    with pytest.raises(StageFailed, match="in a row"):
        run_all(list(range(40)), frozenset(range(40)))


def test_an_engine_that_does_not_restart_fails_all_waiting_requests():
    async def never_again() -> None:
        engines = 0

        async def start() -> MortalEngine:
            nonlocal engines
            engines += 1
            if engines > 1:
                raise StageFailed("no engine", "fix it")
            return MortalEngine(frozenset([0]))

        recovery: Recovery[int, int] = Recovery(start)
        await recovery.open()
        found = await asyncio.gather(*(recovery.run(n) for n in range(5)), return_exceptions=True)
        assert [type(outcome) for outcome in found] == [StageFailed] * 5
        with pytest.raises(StageFailed):
            await recovery.run(6)

    asyncio.run(asyncio.wait_for(never_again(), 30))
