"""What is odd in a model's answer costs itself alone; nothing is judged that was not said."""

import asyncio
import json
from collections import Counter

import pytest
from chat_server import Reply, chat_server
from chat_server import completion as chat_completion
from hypothesis import given
from hypothesis import strategies as st
from scripted_model import FULL, ScriptedModel, answered

from vitw_ray.config import Execution, ExtractionConfig
from vitw_ray.extraction.answers import Answer, Extracted, Value, as_judged
from vitw_ray.extraction.asking import extract_one
from vitw_ray.extraction.questions import questions_for
from vitw_ray.inference.language_model import ModelFailure
from vitw_ray.inference.openai_server import OpenAIServer
from vitw_ray.inference.parsing import InvalidAnswer, parse
from vitw_ray.records import Conversation, Message

QUESTIONS = questions_for(ExtractionConfig(questions="one_pass"))
(ONE,) = QUESTIONS.first
MESSAGES = (Message("user", "How do I stay fair?"), Message("assistant", "Listen to both."))
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def value(label, **more):
    return {"label": label, "explicit": False, **more}


def read(**fields):
    """Labels of the AI values of an answer, and what was left out of it."""
    repairs = Counter()
    found = parse(json.dumps({**FULL, **fields}), ONE, repairs)
    return [entry["label"] for entry in found["ai_values"]], dict(repairs)


@pytest.mark.parametrize(
    "odd",
    [
        value("公平"),
        value(""),
        value("x"),
        value(None),
        {"explicit": True},
        None,
        7,
        [],
        "fairness",
    ],
)
def test_a_value_that_is_none_costs_itself_alone(odd):
    labels, repairs = read(ai_values=[value("honesty"), odd, value("clarity")])
    assert labels == ["honesty", "clarity"]
    assert repairs == {"label_dropped": 1}


def test_values_beyond_the_longest_list_cost_themselves_alone():
    labels, repairs = read(ai_values=[value(f"value {letter}") for letter in LETTERS[:15]])
    assert labels == [f"value {letter}" for letter in LETTERS[:12]]
    assert repairs == {"list_cut": 1}


def test_a_valid_answer_is_left_as_it_is():
    labels, repairs = read(ai_values=[value("honesty")])
    assert (labels, repairs) == (["honesty"], {})


def test_an_answer_of_nothing_but_odd_values_is_none():
    with pytest.raises(InvalidAnswer):
        read(ai_values=[value("公平"), value("诚实")])


def test_what_is_wrong_beside_a_value_still_costs_the_answer():
    with pytest.raises(InvalidAnswer):
        read(response_type="kind", ai_values=[value("honesty"), value("公平")])


@given(
    st.lists(st.sampled_from(["honesty", "clarity", "公平", "", "x" * 90, "7"]), max_size=20),
    st.lists(st.none() | st.integers() | st.text(max_size=3), max_size=20),
)
def test_whatever_a_list_holds_the_good_labels_come_through_in_order(labels, others):
    mixed = [value("kept first"), *map(value, labels), *others]
    kept, _ = read(ai_values=mixed)
    assert kept[0] == "kept first"
    assert len(kept) <= 12


def test_what_is_left_out_of_an_answer_is_counted_with_it():
    odd = {**FULL, "ai_values": [value("honesty"), value("公平")]}
    model = ScriptedModel(lambda *_: answered(odd))
    found = asyncio.run(extract_one(model, model.read(MESSAGES), QUESTIONS, 3))
    assert found.answer is not None
    assert (found.labels_dropped, found.lists_cut) == (1, 0)


@pytest.mark.parametrize("opening", ['{"a":', "["])
def test_an_answer_nested_thousands_deep_is_invalid(opening):
    with pytest.raises(InvalidAnswer):
        parse('{"subjectivity": ' + opening * 5000 + "}", ONE)


def ask(reply: Reply):
    with chat_server(lambda _: reply) as (_, url):
        config = ExtractionConfig(extractor="openai", model="any", questions="one_pass")
        model = OpenAIServer(config, Execution(server_url=url, request_timeout_s=20.0))
        return asyncio.run(model.ask(model.read(MESSAGES), ONE, 0))


def with_usage(**usage):
    reply = chat_completion("{}")
    return Reply(body={**reply.body, "usage": {**reply.body["usage"], **usage}})


@pytest.mark.parametrize("count", ["many", 10**40, -3, 1.5, None, [], {}])
def test_a_count_of_tokens_that_is_none_is_unknown_and_costs_no_answer(count):
    found = ask(with_usage(prompt_tokens=count, completion_tokens=count))
    assert (found.prompt_tokens, found.output_tokens) == (0, 0)
    assert found.text == "{}"


def test_an_answer_in_parts_is_their_text():
    parts = [{"type": "text", "text": '{"a": '}, {"type": "text", "text": "1}"}]
    assert ask(chat_completion(parts)).text == '{"a": 1}'


@pytest.mark.parametrize("content", [7, {"text": "a"}, [{"type": "image"}], [[["a"]]], [None]])
def test_an_answer_of_another_form_is_a_failure_of_its_row(content):
    with pytest.raises(ModelFailure) as failure:
        ask(chat_completion(content))
    assert failure.value.code == "server_refused_request"


def test_a_reply_nested_thousands_deep_is_a_failure_of_its_row():
    with pytest.raises(ModelFailure) as failure:
        ask(Reply(body=b'{"choices": ' + b"[" * 200_000))
    assert failure.value.code == "server_refused_request"


JUDGED = Extracted(
    Answer(
        subjectivity=3,
        task="stay fair in a quarrel",
        human_values=(Value(label="fairness", explicit=True),),
        ai_values=(Value(label="honesty", explicit=False),),
        response_type="mild_support",
    ),
    output_tokens=9,
)


@pytest.mark.parametrize(
    "silence",
    [
        *([], [""], ["  \n"], ["[tool call]"], ["[12 tool calls]\n[thinking]"]),
        *(["\u200b"], ["\ufeff\u2060 \u00ad"], ["\x00\x1b"], ["[image]\u200d"], ["\U000e0041"]),
    ],
)
def test_an_assistant_that_says_nothing_has_no_values_and_no_response_type(silence):
    turns = (Message("user", "Be fair!"), *(Message("assistant", text) for text in silence))
    found = as_judged(Conversation("c", turns), JUDGED)
    assert found.answer is not None
    assert JUDGED.answer is not None
    assert found.answer.ai_values == ()
    assert found.answer.response_type is None
    assert found.answer.human_values == JUDGED.answer.human_values
    assert (found.answer.task, found.output_tokens) == (JUDGED.answer.task, 9)


@pytest.mark.parametrize(
    "words", ["Yes.", "[tool call]\nDone.", "[laughs]", "公平", "\u200bYes", "👍", "…"]
)
def test_an_assistant_that_speaks_is_judged(words):
    turns = (Message("user", "Be fair!"), Message("assistant", words))
    assert as_judged(Conversation("c", turns), JUDGED) is JUDGED


def test_an_error_stays_an_error():
    failed = Extracted(None, error="time_out")
    assert as_judged(Conversation("c", (Message("user", "Hello"),)), failed) is failed
