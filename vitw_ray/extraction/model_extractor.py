"""An extractor on top of a language model: many conversations in flight, results as they complete.

The model runs in an asyncio loop on a thread of its own. The threads that work on units prepare
conversations, submit them to the loop and collect results. The model therefore never waits for a
unit to end, and a slow conversation does not delay the others.
"""

import asyncio
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any

from vitw_ray.config import RunConfig
from vitw_ray.extraction.answers import Extracted
from vitw_ray.extraction.asking import extract_one, read_fully
from vitw_ray.extraction.closed import Calibration, Logprobs
from vitw_ray.extraction.questions import QuestionSet, questions_for
from vitw_ray.inference.language_model import LanguageModel, Reading
from vitw_ray.inference.make import make_language_model
from vitw_ray.records import Conversation


class EventLoop:
    """An asyncio loop that runs in its own thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, name="model", daemon=True).start()

    def start(self, coroutine: Any) -> "Future[Any]":
        """Schedule a coroutine on the loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def run(self, coroutine: Any) -> Any:
        """Run a coroutine on the loop and wait for its result."""
        return self.start(coroutine).result()


class ModelExtractor:
    """Asks a model the questions of a run. Thread-safe."""

    def __init__(
        self,
        model: LanguageModel,
        loop: EventLoop,
        questions: QuestionSet,
        *,
        gate: int,
        in_flight: int,
    ) -> None:
        """Wrap a model that was opened on `loop`.

        Args:
            model: answers the questions.
            loop: runs the model's coroutines.
            questions: what is asked about a conversation.
            gate: lowest level of subjectivity at which all questions are asked.
            in_flight: most conversations that the model works on concurrently, over all threads.
        """
        self._model, self._loop, self._questions, self._gate = model, loop, questions, gate
        self._free = threading.BoundedSemaphore(in_flight)
        self._calibration: Calibration | None = None

    @property
    def questions(self) -> QuestionSet:
        """What is asked about a conversation."""
        return self._questions

    def use(self, calibration: Calibration) -> None:
        """Read closed answers with this calibration from now on."""
        self._calibration = calibration

    def read_labelled(
        self, conversations: Sequence[Conversation]
    ) -> list[tuple[Extracted, Logprobs]]:
        """Ask everything about each conversation, whatever its level.

        Returns:
            For each, in order: the answer as the model gives it, and the log-probabilities of its
            closed answers; none where it failed or where no question is closed.
        """
        pending = []
        for conversation in conversations:
            reading = self._read(conversation)
            if reading is None:
                pending.append((Extracted(None, error="unreadable"), {}))
                continue
            self._free.acquire()
            future = self._loop.start(read_fully(self._model, reading, self._questions))
            future.add_done_callback(lambda _: self._free.release())
            pending.append(future)
        return [found if isinstance(found, tuple) else found.result() for found in pending]

    def extract(self, conversations: Sequence[Conversation]) -> Iterable[tuple[int, Extracted]]:
        """Yield results in order of completion.

        Error codes: `unreadable` for a conversation from which no prompt can be built, and those
        of `asking`.

        Raises:
            StageFailed: the model failed and cannot be restarted.
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
                extract_one(self._model, reading, self._questions, self._gate, self._calibration)
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
        except Exception:  # the contract of `Extractor`: one bad row never fails its batch
            return None

    def _done(
        self, done: "SimpleQueue[tuple[int, Future[Extracted]]]", number: int, of: "Future[Any]"
    ) -> None:
        self._free.release()
        done.put((number, of))

    def describe(self) -> Mapping[str, Any]:
        """The description that the model gives of itself."""
        return self._model.describe()

    def close(self) -> None:
        """Shut the model down."""
        self._model.close()


def make_extractor(config: RunConfig) -> ModelExtractor:
    """Create the extractor of a run with a language model, and open the model.

    Raises:
        ConfigError: the model rejects a setting.
    """
    questions = questions_for(config.extraction)
    model, loop = make_language_model(config, questions.all), EventLoop()
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
