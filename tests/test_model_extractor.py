"""Many conversations in flight at once, results as they come, several threads on one model."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from scripted_model import FULL, ScriptedModel, answered

from vitw_ray.config import ExtractionConfig
from vitw_ray.errors import StageFailed
from vitw_ray.extraction.answers import in_order
from vitw_ray.extraction.model_extractor import EventLoop, ModelExtractor
from vitw_ray.extraction.questions import questions_for
from vitw_ray.inference.language_model import ModelFailure, Reading
from vitw_ray.records import Conversation, Message

QUESTIONS = questions_for(ExtractionConfig(questions="one_pass"))


def conversation(number: int) -> Conversation:
    return Conversation(f"c{number}", (Message("user", str(number)),))


def extractor(model, in_flight=4) -> ModelExtractor:
    return ModelExtractor(model, EventLoop(), QUESTIONS, gate=3, in_flight=in_flight)


def by_number(reading: Reading, question, attempt):
    number = int(reading.messages[0].content)
    if number % 5 == 3:
        raise ModelFailure("refused")
    return answered({**FULL, "subjectivity": 3 + number % 2})


def assert_each_is_of_its_number(results, expected: int) -> None:
    assert len(results) == expected
    for number, result in enumerate(results):
        if number % 5 == 3:
            assert result.error == "refused"
        else:
            assert result.answer.subjectivity == 3 + number % 2


def test_every_conversation_has_its_own_result():
    units = [conversation(n) for n in range(100)]
    assert_each_is_of_its_number(in_order(extractor(ScriptedModel(by_number)), units), 100)


def test_threads_share_the_model_and_each_has_its_own_results():
    shared = extractor(ScriptedModel(by_number))
    with ThreadPoolExecutor(8) as pool:
        units = [[conversation(n) for n in range(50)] for _ in range(8)]
        for results in pool.map(lambda unit: in_order(shared, unit), units):
            assert_each_is_of_its_number(results, 50)


def test_no_more_than_allowed_are_in_flight_over_all_threads():
    model = ScriptedModel(by_number)
    shared = extractor(model, in_flight=3)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: in_order(shared, [conversation(n) for n in range(40)]), range(4)))
    assert 1 < model.most_in_flight <= 3


def test_a_slow_conversation_holds_up_no_other():
    import asyncio

    released = threading.Event()

    class Slow(ScriptedModel):
        async def ask(self, reading, question, attempt):
            if reading.messages[0].content == "0":
                while not released.is_set():
                    await asyncio.sleep(0.01)
            return await super().ask(reading, question, attempt)

    results = iter(extractor(Slow(by_number)).extract([conversation(n) for n in range(40)]))
    others = [next(results) for _ in range(39)]
    assert 0 not in dict(others)
    released.set()
    assert next(results)[0] == 0


def test_a_conversation_that_cannot_be_read_is_an_error_row():
    class Unreading(ScriptedModel):
        def read(self, messages):
            if messages[0].content == "7":
                raise ValueError("the text stands here")
            return super().read(messages)

    results = in_order(extractor(Unreading(by_number)), [conversation(n) for n in range(10)])
    assert results[7].error == "unreadable"
    assert [n for n, result in enumerate(results) if result.error] == [3, 7, 8]


def test_a_model_that_is_broken_for_good_ends_the_unit():
    def broken(reading, question, attempt):
        raise StageFailed("the engine died", "look at it")

    with pytest.raises(StageFailed):
        in_order(extractor(ScriptedModel(broken)), [conversation(0)])
