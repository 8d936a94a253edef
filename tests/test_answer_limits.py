"""What a server may send back: it cannot fill the memory, or have conversations sent elsewhere."""

import asyncio
import gzip
import json
import tracemalloc

import pytest
from chat_server import Reply, chat_server, completion

from vitw_ray.config import Execution, ExtractionConfig
from vitw_ray.extraction.questions import questions_for
from vitw_ray.inference.answer_limits import MOST_ANSWER_BYTES
from vitw_ray.inference.language_model import ModelFailure
from vitw_ray.inference.openai_server import OpenAIServer
from vitw_ray.records import Message

CONFIG = ExtractionConfig(extractor="openai", model="tiny", questions="one_pass")
(QUESTION,) = questions_for(CONFIG).all
MESSAGES = (Message("user", "Be fair to Aldebaran."), Message("assistant", "I am."))
ANSWER = '{"subjectivity": 2}'


def code_after(reply: Reply) -> tuple[str, int]:
    """The code of a request that was answered so, and the most memory in use during it."""

    async def ask(url: str) -> str:
        model = OpenAIServer(CONFIG, Execution(server_url=url, request_timeout_s=20.0))
        try:
            return (await model.ask(model.read(MESSAGES), QUESTION, 0)).text
        except ModelFailure as failure:
            return failure.code
        finally:
            await model._client.close()

    with chat_server(lambda _: reply) as (_, url):
        asyncio.run(ask(url))  # imports what it needs
        tracemalloc.start()
        try:
            found = asyncio.run(ask(url))
            return found, tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


def whole(reply: Reply) -> bytes:
    return json.dumps(reply.body).encode()


def test_an_answer_longer_than_any_can_be_is_cut_and_is_no_answer():
    text = "x" * (64 << 20)
    reply = Reply(body=whole(completion(text)))
    code, most_bytes = code_after(reply)
    assert code == "server_refused_request"
    assert most_bytes < 6 * MOST_ANSWER_BYTES


def test_a_packed_answer_is_not_unpacked():
    bomb = gzip.compress(bytes(256 << 20))
    code, most_bytes = code_after(Reply(body=bomb, headers={"content-encoding": "gzip"}))
    assert code == "server_refused_request"
    assert most_bytes < 6 * MOST_ANSWER_BYTES


def test_an_answer_of_usual_length_is_read():
    assert code_after(completion(ANSWER + " " * 100_000))[0].startswith(ANSWER)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_conversation_is_sent_where_a_server_redirects_to(status):
    with chat_server(lambda _: completion(ANSWER)) as (elsewhere, other):
        code, _ = code_after(Reply(status, headers={"location": f"{other}/chat/completions"}))
    assert code == "server_unreachable"
    assert elsewhere.requests == []
