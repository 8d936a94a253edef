"""An extractor around a language model: many conversations in flight, results as they come.

The model lives in an asyncio loop in a thread of its own. Threads that work on units prepare
conversations, hand them over, and take back what is done, so the model never waits for a unit to
end and a slow conversation holds up nobody.
"""

import asyncio
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any

from vitw_ray.config import RunConfig
from vitw_ray.extraction.answers import Extracted
from vitw_ray.extraction.asking import extract_one
from vitw_ray.extraction.questions import questions_for
from vitw_ray.inference.language_model import LanguageModel, Reading
from vitw_ray.inference.make import make_language_model
from vitw_ray.inference.question import Question
from vitw_ray.records import Conversation


class EventLoop:
    """An asyncio loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, name="model", daemon=True).start()

    def start(self, coroutine: Any) -> "Future[Any]":
        """Let a coroutine run there."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def run(self, coroutine: Any) -> Any:
        """Run a coroutine there and wait for it."""
        return self.start(coroutine).result()


class ModelExtractor:
    """Asks a model the questions of a run; called from several threads at once."""

    def __init__(
        self,
        model: LanguageModel,
        loop: EventLoop,
        questions: Sequence[Question],
        *,
        gate: int,
        in_flight: int,
    ) -> None:
        """Take over a model that lives in `loop`.

        Args:
            model: answers the questions.
            loop: where the model's coroutines run.
            questions: in the order in which they are asked.
            gate: level of subjectivity from which all questions are asked.
            in_flight: conversations that the model works on at once, over all threads.
        """
        self._model, self._loop, self._questions, self._gate = model, loop, questions, gate
        self._free = threading.BoundedSemaphore(in_flight)

    def extract(self, conversations: Sequence[Conversation]) -> Iterable[tuple[int, Extracted]]:
        """Results in the order in which they come.

        Error codes: `unreadable` for a conversation that cannot be made a prompt, and those of
        `asking`.

        Raises:
            StageFailed: the model is broken for good.
        """
        done: SimpleQueue[tuple[int, Future[Extracted]]] = SimpleQueue()
        waiting = 0
        for number, conversation in enumerate(conversations):
            reading = self._read(conversation)
            if reading is None:
                yield number, Extracted(None, error="unreadable")
                continue
            self._free.acquire()
            future = self._loop.start(
                extract_one(self._model, reading, self._questions, self._gate)
            )
            future.add_done_callback(lambda of, number=number: self._done(done, number, of))
            waiting += 1
            while not done.empty():
                waiting -= 1
                yield _result(done.get())
        for _ in range(waiting):
            yield _result(done.get())

    def _read(self, conversation: Conversation) -> Reading | None:
        try:
            return self._model.read(conversation.messages)
        except Exception:  # the contract of an extractor: one bad row never costs its batch
            return None

    def _done(
        self, done: "SimpleQueue[tuple[int, Future[Extracted]]]", number: int, of: "Future[Any]"
    ) -> None:
        self._free.release()
        done.put((number, of))

    def describe(self) -> Mapping[str, Any]:
        """What the model says of itself."""
        return self._model.describe()

    def close(self) -> None:
        """End the model."""
        self._model.close()


def make_extractor(config: RunConfig) -> ModelExtractor:
    """The extractor of a run whose settings name a language model; opens the model.

    Raises:
        ConfigError: settings that the model refuses.
    """
    questions = questions_for(config.extraction)
    model, loop = make_language_model(config, questions), EventLoop()
    loop.run(model.open())
    return ModelExtractor(
        model,
        loop,
        questions,
        gate=config.extraction.subjective_from,
        in_flight=config.execution.requests_in_flight,
    )


def _result(done: tuple[int, "Future[Extracted]"]) -> tuple[int, Extracted]:
    number, future = done
    return number, future.result()
