"""Requests on an engine that may die, and which of them kills it.

When an engine dies, every request that was in flight is a suspect. The engine is started again and
the suspects are tried in halves, with nothing else in flight: a half that lets it live is answered,
a half that kills it is halved again. A request that kills the engine all by itself is quarantined;
its neighbours are answered. One killer among n suspects costs at most 1 + log2(n) starts.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Protocol, TypeVar

from vitw_ray.errors import StageFailed
from vitw_ray.inference.language_model import ModelFailure
from vitw_ray.progress import log

DIED = "engine_died"
BROKEN_AFTER = (
    8  # ours: every start answers a trial request, so even a few killers in a row can be true
)

RequestT = TypeVar("RequestT")
ResultT = TypeVar("ResultT")
RequestIn = TypeVar("RequestIn", contravariant=True)
ResultOut = TypeVar("ResultOut", covariant=True)


class EngineDied(Exception):
    """The engine is gone, and all that was in flight with it."""


class Engine(Protocol[RequestIn, ResultOut]):
    """One life of an engine."""

    async def run(self, request: RequestIn) -> ResultOut:
        """Answer one request.

        Raises:
            EngineDied: the engine is dead.
            ModelFailure: this request failed and the engine lives.
        """
        ...

    def close(self) -> None:
        """End it, dead or alive."""
        ...


class _Suspect(Generic[RequestT, ResultT]):
    def __init__(self, request: RequestT) -> None:
        self.request = request
        self.outcome: asyncio.Future[ResultT] = asyncio.get_running_loop().create_future()


class Recovery(Generic[RequestT, ResultT]):
    """Starts engines, one after the other, and keeps each request's promise of an outcome.

    All methods belong to one asyncio loop.
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
        """Answer a request, whatever becomes of the engine meanwhile.

        Raises:
            ModelFailure: `engine_died` for a request that kills the engine, or what the engine says
                of this request.
            StageFailed: the engine dies on everything, or does not start any more.
        """
        while not self._open.is_set():  # it may have closed again before this wait woke up
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
        """Find the killer among suspects of whom one is known to be guilty."""
        if len(suspects) == 1:
            await self._try(suspects)
            return
        middle = len(suspects) // 2
        first, second = suspects[:middle], suspects[middle:]
        if await self._try(first):
            await self._try(second)
        else:  # the first half is innocent, so the second is guilty: no need to see it kill
            await self._halve(second)

    async def _try(self, suspects: Sequence[_Suspect[RequestT, ResultT]]) -> bool:
        """Run suspects with nothing else in flight; true when they killed the engine."""
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
        except Exception as failure:  # travels to whoever waits for the outcome
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
                "look at the engine's own log on the node; what is answered is kept",
            )

    async def _restart(self) -> None:
        if self._engine is not None:
            self._engine.close()
        self._engine = await self._start()
        self.restarts += 1
