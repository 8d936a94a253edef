"""Restart an engine that died, and find the request that kills it.

When an engine dies, every request in flight is a suspect. The engine is restarted and the suspects
are bisected, with no other requests in flight: a half that does not kill the engine is answered, a
half that does is split again. A request that kills the engine on its own is quarantined; all others
are answered. One fatal request among n suspects costs at most 1 + log2(n) starts.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Protocol, TypeVar

from vitw_ray.errors import StageFailed
from vitw_ray.inference.language_model import ModelFailure
from vitw_ray.progress import log

DIED = "engine_died"
BROKEN_AFTER = 8  # ours: each start passes a test request, so a few fatal requests can be genuine

RequestT = TypeVar("RequestT")
ResultT = TypeVar("ResultT")
RequestIn = TypeVar("RequestIn", contravariant=True)
ResultOut = TypeVar("ResultOut", covariant=True)


class EngineDied(Exception):
    """The engine died, with all requests in flight."""


class Engine(Protocol[RequestIn, ResultOut]):
    """One engine process, from its start to its end."""

    async def run(self, request: RequestIn) -> ResultOut:
        """Answer one request.

        Raises:
            EngineDied: the engine is dead.
            ModelFailure: this request failed; the engine is still alive.
        """
        ...

    def close(self) -> None:
        """End the engine, whether it is dead or alive."""
        ...


class _Suspect(Generic[RequestT, ResultT]):
    def __init__(self, request: RequestT) -> None:
        self.request = request
        self.outcome: asyncio.Future[ResultT] = asyncio.get_running_loop().create_future()


class Recovery(Generic[RequestT, ResultT]):
    """Restarts the engine when it dies, and gives every request an outcome.

    All methods must run in one asyncio loop.
    """

    def __init__(self, start: Callable[[], Awaitable[Engine[RequestT, ResultT]]]) -> None:
        self._start = start
        self._engine: Engine[RequestT, ResultT] | None = None
        self._open = asyncio.Event()  # requests may go to the engine
        self._running = 0
        self._suspects: list[_Suspect[RequestT, ResultT]] = []
        self._task: asyncio.Task[None] | None = None
        self._failure: StageFailed | None = None
        self._killers_in_a_row = 0
        self.restarts = 0

    async def open(self) -> None:
        """Start the first engine."""
        self._engine = await self._start()
        self._open.set()

    def close(self) -> None:
        """End the engine."""
        if self._engine is not None:
            self._engine.close()

    async def run(self, request: RequestT) -> ResultT:
        """Answer a request, even if the engine dies in the meantime.

        Raises:
            ModelFailure: `engine_died` for a request that kills the engine, or the engine's own
                failure of this request.
            StageFailed: the engine dies on every request, or does not start again.
        """
        while not self._open.is_set():  # it may be cleared again before this task wakes up
            await self._open.wait()
        if self._failure is not None:
            raise self._failure
        assert self._engine is not None
        self._running += 1
        try:
            result = await self._engine.run(request)
            self._killers_in_a_row = 0
            return result
        except EngineDied:
            self._open.clear()
            suspect: _Suspect[RequestT, ResultT] = _Suspect(request)
            self._suspects.append(suspect)
        finally:
            self._running -= 1
            if self._suspects and self._running == 0 and self._task is None:
                self._task = asyncio.create_task(self._recover())
        return await suspect.outcome

    async def _recover(self) -> None:
        suspects, self._suspects = self._suspects, []
        log.warning("the engine died with %d requests in flight; starting it again", len(suspects))
        try:
            await self._restart()
            await self._halve(suspects)
        except StageFailed as failure:
            self._failure = failure
            for suspect in suspects:
                if not suspect.outcome.done():
                    suspect.outcome.set_exception(failure)
        self._task = None
        self._open.set()

    async def _halve(self, suspects: Sequence[_Suspect[RequestT, ResultT]]) -> None:
        """Find the fatal request among suspects that are known to contain one."""
        if len(suspects) == 1:
            await self._try(suspects)
            return
        middle = len(suspects) // 2
        first, second = suspects[:middle], suspects[middle:]
        if await self._try(first):
            await self._try(second)
        else:  # the first half is not fatal, so the second is: no need to run it as a whole
            await self._halve(second)

    async def _try(self, suspects: Sequence[_Suspect[RequestT, ResultT]]) -> bool:
        """Run suspects with no other requests in flight; return whether they killed the engine."""
        await asyncio.gather(*(self._run_suspect(suspect) for suspect in suspects))
        left = [suspect for suspect in suspects if not suspect.outcome.done()]
        if not left:
            return False
        await self._restart()
        if len(suspects) > 1:
            await self._halve(left)
        else:
            self._quarantine(left[0])
        return True

    async def _run_suspect(self, suspect: _Suspect[RequestT, ResultT]) -> None:
        assert self._engine is not None
        try:
            result = await self._engine.run(suspect.request)
        except EngineDied:
            return
        except Exception as failure:  # re-raised in the task that awaits the outcome
            suspect.outcome.set_exception(failure)
        else:
            self._killers_in_a_row = 0
            suspect.outcome.set_result(result)

    def _quarantine(self, suspect: _Suspect[RequestT, ResultT]) -> None:
        suspect.outcome.set_exception(ModelFailure(DIED))
        self._killers_in_a_row += 1
        if self._killers_in_a_row >= BROKEN_AFTER:
            raise StageFailed(
                f"the engine died on each of {BROKEN_AFTER} requests in a row",
                "see the engine's log on the node; committed answers are kept",
            )

    async def _restart(self) -> None:
        if self._engine is not None:
            self._engine.close()
        self._engine = await self._start()
        self.restarts += 1
