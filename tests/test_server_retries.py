"""A prompt that fails alone is given up in seconds; a server that is away is waited for."""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from email.utils import formatdate
from types import SimpleNamespace
from typing import Any

import pytest
from chat_server import Reply, chat_server, completion

from vitw_ray.config import Execution, ExtractionConfig
from vitw_ray.extraction.questions import questions_for
from vitw_ray.inference import server_retries
from vitw_ray.inference.language_model import Completion, ModelFailure
from vitw_ray.inference.openai_server import OpenAIServer
from vitw_ray.records import Message

pytest.importorskip("openai")
CONFIG = ExtractionConfig(extractor="openai", model="tiny", questions="one_pass")
(QUESTION,) = questions_for(CONFIG).all
ANSWER = completion(json.dumps({"subjectivity": 2}))
BAD = "bad"


class Served:
    """A server whose reply to a conversation, by its first word, `fault` may replace."""

    def __init__(self, fault: Callable[[str], Reply | None]) -> None:
        self.fault = fault
        self.asked = Counter[str]()

    def __call__(self, body: dict[str, Any]) -> Reply:
        said = body["messages"][-1]["content"]
        word = said.split("[USER]")[1].split()[0] if "[USER]" in said else "probe"
        self.asked[word] += 1
        return self.fault(word) or ANSWER


def ask_all(url: str, words: list[str], in_flight: int = 8) -> dict[str, Completion | str]:
    """Ask about conversations of one word each; the answer, or the code of the failure."""

    async def ask() -> dict[str, Completion | str]:
        model = OpenAIServer(CONFIG, Execution(server_url=url))
        free, found = asyncio.Semaphore(in_flight), {}

        async def one(word: str) -> None:
            async with free:
                try:
                    found[word] = await model.ask(model.read([Message("user", word)]), QUESTION, 0)
                except ModelFailure as failure:
                    found[word] = failure.code

        await asyncio.gather(*(one(word) for word in words))
        await model._client.close()
        return found

    return asyncio.run(ask())


def failed(found: dict[str, Completion | str]) -> dict[str, str]:
    return {word: one for word, one in found.items() if isinstance(one, str)}


@pytest.fixture
def quick(monkeypatch):
    """The waits a hundredth of what they are."""
    for name in ("FIRST_WAIT_S", "LONGEST_WAIT_S", "LONGEST_WAIT_ALONE_S"):
        monkeypatch.setattr(server_retries, name, getattr(server_retries, name) / 100)


def test_prompts_that_fail_alone_are_tried_four_times_and_their_neighbours_once(quick):
    words = [f"{BAD if n % 20 == 0 else 'good'}{n}" for n in range(200)]
    served = Served(lambda word: Reply(500) if word.startswith(BAD) else None)
    with chat_server(served) as (_, url):
        found = ask_all(url, words)
    bad = {word for word in words if word.startswith(BAD)}
    assert failed(found) == dict.fromkeys(bad, "server_error")
    asked = {word: served.asked[word] for word in words}
    assert asked == {word: 4 if word in bad else 1 for word in words}


def test_a_prompt_without_neighbours_fails_alone_where_the_server_answers_a_probe(quick):
    served = Served(lambda word: Reply(500) if word == BAD else None)
    with chat_server(served) as (_, url):
        assert ask_all(url, [BAD]) == {BAD: "server_error"}
    assert served.asked[BAD] == server_retries.TRIES_ALONE_ILL  # of all that were sent, all failed
    assert 1 <= served.asked["probe"] < served.asked[BAD]


def test_giving_up_one_prompt_takes_seconds():
    waits = [
        server_retries._wait_s(retry, retry) for retry in range(server_retries.TRIES_ALONE - 1)
    ]
    assert sum(waits) < 4


@pytest.mark.parametrize("reply", [Reply(503), Reply(drop=True)], ids=["503", "hangs up"])
def test_a_server_that_is_away_is_waited_for_and_nothing_fails(quick, reply):
    back = threading.Event()
    tries = Counter[str]()

    def fault(word: str) -> Reply | None:
        tries[word] += word != "probe"
        if tries[word] == server_retries.TRIES_ALONE + 3:  # one that failed alone would be over
            back.set()
        return reply if len(tries) >= 40 and not back.is_set() else None

    with chat_server(Served(fault)) as (_, url):
        assert failed(ask_all(url, [f"w{n}" for n in range(100)])) == {}
    assert back.is_set()


def test_a_server_that_stays_away_is_asked_thirteen_times_and_shares_its_probes(quick):
    served = Served(lambda word: Reply(503))
    words = [f"w{n}" for n in range(8)]
    with chat_server(served) as (_, url):
        assert failed(ask_all(url, words)) == dict.fromkeys(words, "server_unreachable")
    assert {served.asked[word] for word in words} == {server_retries.MAX_RETRIES + 1}
    assert served.asked["probe"] <= 4 * server_retries.MAX_RETRIES  # of 8 times as many waits


def test_one_half_of_all_calls_that_fail_at_random_fail_no_prompt_before_eight_tries(quick):
    calls = Counter[str]()

    def fault(word: str) -> Reply | None:
        calls[word] += 1
        return Reply(502) if calls[word] < server_retries.TRIES_ALONE_ILL else None

    with chat_server(Served(fault)) as (_, url):
        assert failed(ask_all(url, [f"w{n}" for n in range(20)])) == {}


def test_a_server_that_answers_what_it_has_and_nothing_new_is_waited_for(quick):
    """As one that is shut down: its old answers are no sign that it is there."""
    released, back = [threading.Event() for _ in range(8)], threading.Event()
    tries = Counter[str]()

    def fault(word: str) -> Reply | None:
        if word.startswith("old"):
            return Reply(body=ANSWER.body, hang_until=released[int(word[3:])])
        tries[word] += word != "probe"
        if tries[word] == server_retries.TRIES_ALONE_ILL + 1:
            back.set()
        for event in released[: tries[word] + 1]:
            threading.Timer(0.003, event.set).start()
        return None if back.is_set() else Reply(503)

    released[0].set()
    words = [*(f"old{n}" for n in range(8)), *(f"new{n}" for n in range(8))]
    with chat_server(Served(fault)) as (_, url):
        assert failed(ask_all(url, words)) == {}
    assert back.is_set()


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_obeyed_and_never_held_against_a_prompt(quick, status):
    until: list[float] = []
    early: list[float] = []

    def fault(word: str) -> Reply | None:
        now = time.monotonic()
        if word != BAD:
            return None
        if not until:
            until.append(now + 0.9)
            return Reply(status, headers={"retry-after": "1"})
        early.extend([now] if now < until[0] else [])
        return None

    with chat_server(Served(fault)) as (_, url):
        assert failed(ask_all(url, [BAD, *(f"w{n}" for n in range(40))])) == {}
    assert early == []


def test_a_prompt_that_is_always_limited_is_the_servers_failure(quick):
    served = Served(lambda word: Reply(429) if word == BAD else None)
    with chat_server(served) as (_, url):
        found = ask_all(url, [BAD, *(f"w{n}" for n in range(40))])
    assert failed(found) == {BAD: "server_unreachable"}
    assert served.asked[BAD] == server_retries.MAX_RETRIES + 1


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after-ms": "250", "retry-after": "3"}, 0.25),
        ({"retry-after": "0"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": formatdate(time.time() - 50)}, None),
    ],
)
def test_a_wait_is_obeyed_where_it_makes_sense(headers, told):
    failure: Any = SimpleNamespace(response=SimpleNamespace(headers=headers))
    assert server_retries._told_to_wait(failure) == told


def test_a_wait_may_be_a_date():
    headers = {"retry-after": formatdate(time.time() + 50)}
    failure: Any = SimpleNamespace(response=SimpleNamespace(headers=headers))
    assert 45 < server_retries._told_to_wait(failure) <= 50  # type: ignore[operator]


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Reply(500, headers={"x-should-retry": "false"}), "server_unreachable"),
        (Reply(429, headers={"retry-after": "3600"}), "server_unreachable"),
    ],
)
def test_a_server_that_says_it_is_no_use_is_asked_once(quick, reply, code):
    served = Served(lambda word: reply)
    with chat_server(served) as (_, url):
        assert ask_all(url, [BAD]) == {BAD: code}
    assert served.asked[BAD] == 1
