"""`OpenAIServer` against a real HTTP server: every behaviour of the server has one outcome."""

import asyncio
import json
import logging
import pickle
import socket
import sys
import threading
import time
import traceback

import pytest
from chat_server import Reply, chat_server, completion
from hypothesis import given, settings
from hypothesis import strategies as st

from vitw_ray.config import Execution, ExtractionConfig
from vitw_ray.errors import ConfigError
from vitw_ray.extraction.questions import questions_for
from vitw_ray.inference import openai_server, server_retries
from vitw_ray.inference.language_model import Completion, ModelFailure
from vitw_ray.inference.openai_server import OpenAIServer
from vitw_ray.inference.parsing import InvalidAnswer, parse
from vitw_ray.inference.question import closing, conversation_text, opening
from vitw_ray.records import Message

KEY = "sk-open-sesame"
SAID = "My neighbour Aldebaran owes me a goat."
MESSAGES = (Message("user", SAID), Message("assistant", "Talk to him, kindly."))
ANSWER = '{"subjectivity": 2}'
IN_FENCE = f"Here it is:\n```json\n{ANSWER}\n```"
CONFIG = ExtractionConfig(
    extractor="openai", model="tiny", max_output_tokens=100, questions="one_pass"
)
(QUESTION,) = questions_for(CONFIG).all
run = asyncio.Runner().run  # a model belongs to one loop
_made: list[OpenAIServer] = []  # models of the current test


@pytest.fixture(autouse=True)
def fast_retries(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.02)
    monkeypatch.setattr(server_retries, "FIRST_WAIT_S", 0.02)
    monkeypatch.setattr(server_retries, "MAX_RETRIES", 2)
    monkeypatch.setattr(openai_server, "CHECK_RETRIES", 1)
    yield
    while _made:
        run(_made.pop()._client.close())


@pytest.fixture
def served():
    with chat_server(lambda _: completion(ANSWER)) as (server, url):
        yield server, url


def model_at(url: str, config: ExtractionConfig = CONFIG, timeout_s: float = 20.0, questions=()):
    execution = Execution(server_url=url, request_timeout_s=timeout_s)
    _made.append(OpenAIServer(config, execution, questions))
    return _made[-1]


def ask(model: OpenAIServer, attempt: int = 0, question=QUESTION, messages=MESSAGES) -> Completion:
    return run(model.ask(model.read(messages), question, attempt))


def failure(model: OpenAIServer) -> str:
    with pytest.raises(ModelFailure) as caught:
        ask(model)
    return caught.value.code


def body_of(server) -> dict:
    return server.requests[-1].body


def words_of(body: dict) -> list[str]:
    """The words that the schema of a probe allows; empty without a schema."""
    schema = body.get("response_format", {}).get("json_schema", {}).get("schema", {})
    allowed = schema.get("properties", {}).get("word", {})
    return [allowed["const"]] if "const" in allowed else allowed.get("enum", [])


def constrained(body: dict) -> Reply:
    """Reply of a server with constrained decoding."""
    words = words_of(body)
    return completion(json.dumps({"word": words[0]}) if words else ANSWER)


# What is sent


@pytest.mark.parametrize("ways", ["short", "one_pass", "separate"])
def test_the_messages_contain_exactly_the_text_of_the_question(served, ways):
    server, url = served
    config = ExtractionConfig(extractor="openai", model="tiny", questions=ways)
    for question in questions_for(config).all:
        ask(model_at(url, config), question=question)
        system, user = body_of(server)["messages"]
        assert (system["role"], user["role"]) == ("system", "user")
        assert system["content"] == question.before
        whole = opening(question) + conversation_text(MESSAGES) + closing(question)
        assert f"{system['content']}\n\n{user['content']}" == whole


@settings(max_examples=12)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=60), max_size=4))
def test_any_text_arrives_unchanged(texts):
    messages = [Message("user", text) for text in texts]
    with chat_server(lambda _: completion(ANSWER)) as (server, url):
        ask(model_at(url), messages=messages)
        sent = body_of(server)["messages"][1]["content"]
    assert sent.endswith(conversation_text(messages) + closing(QUESTION))


def test_the_schema_is_sent_and_strict(served):
    server, url = served
    ask(model_at(url))
    form = body_of(server)["response_format"]
    assert form["type"] == "json_schema"
    assert form["json_schema"] == {"name": "one_pass", "strict": True, "schema": QUESTION.schema}


def test_a_retry_has_twice_the_token_limit_and_a_higher_temperature(served):
    server, url = served
    ask(model_at(url), attempt=0)
    assert (body_of(server)["max_tokens"], body_of(server)["temperature"]) == (100, 0.0)
    ask(model_at(url), attempt=1)
    assert (body_of(server)["max_tokens"], body_of(server)["temperature"]) == (200, 0.7)
    warm = ExtractionConfig(extractor="openai", model="tiny", temperature=1.1)
    ask(model_at(url, warm), attempt=1)
    assert body_of(server)["temperature"] == 1.1


def test_standard_and_server_specific_sampling_parameters_are_passed_through(served):
    server, url = served
    sampling = {"top_p": 0.9, "min_p": 0.1, "chat_template_kwargs": {"enable_thinking": False}}
    config = ExtractionConfig(
        extractor="openai", model="tiny", sampling_kwargs=json.dumps(sampling)
    )
    ask(model_at(url, config))
    assert sampling.items() <= body_of(server).items()


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("messages", "leave messages out"),
        ("response_format", "leave response_format out"),
        ("n", "leave n out"),
        ("stream", "leave stream out"),
        ("structured_outputs", "leave structured_outputs out"),
        ("model", "--model"),
        ("temperature", "--temperature"),
        ("max_tokens", "--max-output-tokens"),
    ],
)
def test_a_reserved_sampling_parameter_is_rejected(name, fix):
    config = ExtractionConfig(
        extractor="openai", model="tiny", sampling_kwargs=json.dumps({name: 1})
    )
    with pytest.raises(ConfigError, match=f"--sampling-kwargs sets {name}") as caught:
        model_at("http://127.0.0.1:1/v1", config)
    assert fix in caught.value.fix


def test_a_long_conversation_is_cut_to_its_budget(served):
    server, url = served
    config = ExtractionConfig(extractor="openai", model="tiny", transcript_tokens=100)
    model = model_at(url, config)
    messages = [Message("user", "word " * 1000)]
    reading = model.read(messages)
    assert 0.8 < reading.truncated_share < 1
    ask(model, messages=messages)
    assert reading.text in body_of(server)["messages"][1]["content"]
    assert len(reading.text) < 500


def test_a_list_of_labels_is_sent_in_place_of_a_conversation(served):
    server, url = served
    model = model_at(url)
    run(model.ask(model.read_text("\n\n- kindness"), QUESTION, 0))
    assert body_of(server)["messages"][1]["content"].endswith("- kindness" + closing(QUESTION))


def test_the_key_is_read_only_from_the_environment(served, monkeypatch):
    server, url = served
    ask(model_at(url))
    assert server.requests[-1].key == f"Bearer {KEY}"
    monkeypatch.delenv("OPENAI_API_KEY")
    ask(model_at(url))  # a local server needs no key
    assert KEY not in server.requests[-1].key


# What is returned


def test_an_answer_has_its_token_counts(served):
    assert ask(model_at(served[1])) == Completion(ANSWER, False, 300, 20, 256)


def test_missing_token_counts_are_zero(served):
    server, url = served
    reply = completion(ANSWER)
    server.in_turn(Reply(body={**reply.body, "usage": None}))
    assert ask(model_at(url)) == Completion(ANSWER, False, 0, 0, 0)


def test_an_answer_at_the_token_limit_is_marked_as_cut(served):
    server, url = served
    server.in_turn(completion('{"subjectivity": ', "length"))
    assert ask(model_at(url)).cut


@pytest.mark.parametrize(
    "content",
    [
        ANSWER,
        IN_FENCE,
        f"<think>They ask {{'for': 1}} goat. Hm.</think>\n\n{ANSWER}",
        f"They ask for {{one}} goat. Hm.\n</think>\n{ANSWER}",  # the opening tag is in the prompt
    ],
)
def test_an_answer_wrapped_in_other_text_is_parsed(served, content):
    server, url = served
    server.in_turn(completion(content))
    assert parse(ask(model_at(url)).text, QUESTION) == {"subjectivity": 2}


@pytest.mark.parametrize(
    "content", ["I would rather not say.", None, f"<think>Perhaps {ANSWER}, or else", "{", "[1]"]
)
def test_other_output_is_not_an_answer(served, content):
    server, url = served
    server.in_turn(completion(content))
    with pytest.raises(InvalidAnswer):
        parse(ask(model_at(url)).text, QUESTION)


def test_a_think_tag_inside_an_answer_is_kept():
    config = ExtractionConfig(extractor="openai", model="m", questions="separate", evidence=True)
    question = next(q for q in questions_for(config).all if q.name == "human_values")
    value = {"label": "honesty", "explicit": True, "quote": "so </think> honest"}
    assert parse(json.dumps({"human_values": [value]}), question)["human_values"] == [value]


# Failures, each with one outcome

HTML = Reply(body=b"<html>Aldebaran</html>", headers={"content-type": "text/html"})
FAILURES = {
    "a refusal": (completion(None, refusal="I cannot read this."), "refused"),
    "a content filter": (completion("", "content_filter"), "refused"),
    "a rejected schema or request": (Reply(400), "server_refused_request"),
    "an unknown model": (Reply(404), "server_refused_request"),
    "a conversation too large": (Reply(413), "server_refused_request"),
    "an invalid request": (Reply(422), "server_refused_request"),
    "a web page": (HTML, "server_refused_request"),
    "broken JSON": (Reply(body=f'{{"choices": "{SAID}'.encode()), "server_refused_request"),
    "no choices": (Reply(body={"choices": []}), "server_refused_request"),
    "too many requests, always": (Reply(429), "server_unreachable"),
    "server errors, always": (Reply(503), "server_unreachable"),
    "dropped connections, always": (Reply(drop=True), "server_unreachable"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_has_one_code(served, name):
    server, url = served
    reply, code = FAILURES[name]
    server.in_turn(reply)
    assert failure(model_at(url)) == code
    asked = [request for request in server.requests if len(request.body["messages"]) == 2]
    assert len(asked) == (3 if code == "server_unreachable" else 1)  # probes left out


@pytest.mark.parametrize(
    "passing",
    [
        [Reply(500), Reply(502)],
        [Reply(drop=True)],
        [Reply(429, headers={"retry-after": "1"})],
    ],
    ids=["server errors", "a dropped connection", "too many requests"],
)
def test_temporary_failures_are_retried(served, passing):
    server, url = served
    server.in_turn(*passing, completion(ANSWER))
    assert ask(model_at(url)).text == ANSWER
    assert len(passing) < len(server.requests) <= len(passing) + 2  # one may be a probe


def test_retry_after_is_honoured(served):
    server, url = served
    server.in_turn(Reply(429, headers={"retry-after": "1"}), completion(ANSWER))
    ask(model_at(url))
    first, second = server.requests
    assert second.time_s - first.time_s >= 1.0  # without the header: at once


def test_a_request_that_hangs_times_out_and_is_not_retried(served):
    server, url = served
    over = threading.Event()
    server.in_turn(Reply(hang_until=over))
    assert failure(model_at(url, timeout_s=0.3)) == "time_out"
    assert len(server.requests) == 1
    over.set()


def test_an_address_without_a_server_is_unreachable():
    assert failure(model_at(free_address())) == "server_unreachable"


def test_a_wrong_key_fails_the_run_and_not_only_the_row(served):
    server, url = served
    server.in_turn(Reply(401))
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        ask(model_at(url))


def free_address() -> str:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}/v1"


# What is never shown


@pytest.mark.parametrize("name", [*FAILURES, "a wrong key", "a time-out"])
def test_neither_key_nor_conversation_is_in_an_exception_or_a_log(served, caplog, name):
    server, url = served
    over = threading.Event()
    others = {"a wrong key": Reply(401), "a time-out": Reply(hang_until=over)}
    server.in_turn(others[name] if name in others else FAILURES[name][0])
    caplog.set_level(logging.DEBUG)
    model = model_at(url, timeout_s=0.5 if name == "a time-out" else 20.0)
    told = [json.dumps(model.describe())]
    for way in (lambda: ask(model), lambda: run(model.open())):
        with pytest.raises((ModelFailure, ConfigError)) as caught:
            way()
        assert (caught.value.__cause__, caught.value.__context__) == (None, None)
        told += [repr(pickle.dumps(caught.value)), *traceback.format_exception(caught.value)]
    over.set()
    told += [record.getMessage() for record in caplog.records]
    assert len(told) > 5
    for text in told:
        assert KEY not in text
        assert "Aldebaran" not in text


@pytest.mark.parametrize(
    "url", [f"http://me:{KEY}@127.0.0.1/v1", f"http://127.0.0.1/v1?key={KEY}", f"{KEY}:8000"]
)
def test_an_address_with_a_key_is_rejected_without_showing_the_key(url):
    with pytest.raises(ConfigError, match="--server-url") as caught:
        model_at(url)
    assert KEY not in str(caught.value)


# What is checked at the start


def test_a_server_that_enforces_schemas_is_detected(served, caplog):
    server, url = served
    server.play = constrained
    model = model_at(url)
    run(model.open())
    assert model.describe()["schema_enforced"] is True
    assert model.describe()["served_model"] == "tiny-2026"
    assert not caplog.records


def test_each_probe_uses_a_new_word_that_is_not_in_the_prompt(served):
    server, url = served
    server.play = constrained
    for _ in range(2):
        run(model_at(url).open())
    words = [words_of(request.body)[0] for request in server.requests]
    assert len(set(words)) == 2
    for word, request in zip(words, server.requests, strict=True):
        assert word not in json.dumps(request.body["messages"])


def test_a_server_that_ignores_the_schema_is_used_with_a_warning(served, caplog):
    server, url = served
    server.in_turn(completion('{"word": "yes"}'))
    model = model_at(url)
    run(model.open())
    assert model.describe()["schema_enforced"] is False
    assert "only validated afterwards" in caplog.text
    ask(model)
    assert "response_format" in body_of(server)


@pytest.mark.parametrize("refuses", ["any schema", "the schema of the question"])
def test_a_server_that_rejects_the_schema_is_used_without_it(served, caplog, refuses):
    server, url = served

    def play(body):
        form = body.get("response_format")
        if form and (refuses == "any schema" or "anyOf" in form["json_schema"]["schema"]):
            return Reply(400)
        return constrained(body)

    server.play = play
    model = model_at(url, questions=[QUESTION])
    run(model.open())
    assert model.describe()["schema_enforced"] is False
    assert "rejects a schema" in caplog.text
    assert ask(model).text == ANSWER


def test_a_server_that_needs_the_newer_name_of_the_token_limit_gets_it(served):
    server, url = served
    refusal = {"error": {"message": "use max_completion_tokens", "param": "max_tokens"}}
    server.play = lambda body: (
        Reply(400, body=refusal) if "max_tokens" in body else constrained(body)
    )
    model = model_at(url)
    run(model.open())
    ask(model)
    assert model.describe()["schema_enforced"] is True
    assert body_of(server)["max_completion_tokens"] == 100


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (Reply(401), "OPENAI_API_KEY"),
        (Reply(403), "OPENAI_API_KEY"),
        (Reply(404), "does not know the model tiny"),
        (Reply(400), "status 400"),
        (Reply(503), "status 503"),
        (Reply(drop=True), "no server answers"),
        (HTML, "gave another kind of answer"),
    ],
    ids=str,
)
def test_a_run_that_cannot_work_fails_at_start(served, reply, says):
    server, url = served
    server.in_turn(reply)
    with pytest.raises(ConfigError, match=says):
        run(model_at(url).open())


def test_a_missing_package_is_reported_with_the_extra_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ConfigError, match="needs the package openai") as caught:
        model_at("http://127.0.0.1:1/v1")
    assert ".[server]" in caught.value.fix


# Concurrency


def test_hundreds_of_requests_are_in_flight_from_a_loop_in_a_separate_thread(served):
    server, url = served
    crowd = 300
    everybody = threading.Event()

    def play(_):
        if server.at_once == crowd:
            everybody.set()
        return Reply(body=completion(ANSWER).body, hang_until=everybody)

    server.play = play
    model = model_at(url)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    reading = model.read(MESSAGES)
    asked = [
        asyncio.run_coroutine_threadsafe(model.ask(reading, QUESTION, 0), loop)
        for _ in range(crowd)
    ]
    assert {future.result(60).text for future in asked} == {ANSWER}
    assert server.most_at_once == crowd

    model.close()
    until = time.monotonic() + 10
    while server.open_connections and time.monotonic() < until:
        time.sleep(0.01)
    assert server.open_connections == 0
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_a_slow_request_does_not_delay_others(served):
    server, url = served
    over = threading.Event()
    server.play = lambda body: (
        Reply(body=completion(ANSWER).body, hang_until=over)
        if SAID in body["messages"][1]["content"]
        else completion(ANSWER)
    )
    model = model_at(url)

    async def both():
        slow = asyncio.create_task(model.ask(model.read(MESSAGES), QUESTION, 0))
        quick = await model.ask(model.read([Message("user", "Hello.")]), QUESTION, 0)
        held = not slow.done()
        over.set()
        return quick, held, await slow

    quick, held, slow = run(both())
    assert held
    assert quick.text == slow.text == ANSWER
