"""Rows as products write them, invented after their documentation, not by writers of the tests."""

import gzip
import json

import pytest
from test_shape_round_trip import read

from vitw_ray.conversations.listing import list_input
from vitw_ray.conversations.shapes import recognise_rows
from vitw_ray.conversations.sources import Reject, iter_rows
from vitw_ray.conversations.survey import survey

HI = [("user", "Hi"), ("assistant", "Hello")]
THOUGHT = [("user", "Hi"), ("assistant", "[thinking]\nHello")]
MILLISECONDS = {"$date": {"$numberLong": "1714564800000"}}


def stored(name, text, kind):
    path = ["langchain", "schema", "messages", name]
    return {"lc": 1, "type": "constructor", "id": path, "kwargs": {"content": text, "type": kind}}


LANGSMITH = {
    "id": "run-1",
    "run_type": "llm",
    "start_time": "2025-01-02T03:04:05.123456",
    "extra": {"metadata": {"ls_model_name": "model-1", "user_id": "user-1"}},
    "inputs": {"messages": [[stored("HumanMessage", "Hi", "human")]]},
    "outputs": {
        "generations": [
            [
                {
                    "text": "Hello",
                    "generation_info": {"finish_reason": "stop"},
                    "type": "ChatGeneration",
                    "message": stored("AIMessage", "Hello", "ai"),
                }
            ]
        ],
        "llm_output": None,
    },
}
LANGFUSE = {
    "id": "observation-1",
    "traceId": "trace-1",
    "type": "GENERATION",
    "startTime": "2025-01-02T03:04:05.000Z",
    "model": "model-1",
    "input": [{"role": "user", "content": "Hi"}],
    "output": "Hello",
}


def deepseek(number, parent, child, **message):
    node = {"id": number, "parent": parent, "children": [child] if child else []}
    about = {"files": [], "model": "deepseek-chat", "inserted_at": "2025-02-01T10:00:00+08:00"}
    return node | {"message": about | message if message else None}


DEEPSEEK = {
    "id": "chat-1",
    "inserted_at": "2025-02-01T10:00:00+08:00",
    "updated_at": "2025-02-01T10:01:00+08:00",
    "mapping": {
        "root": deepseek("root", None, "1"),
        "1": deepseek("1", "root", "2", content="Hi", reasoning_content=None),
        "2": deepseek("2", "1", None, content="Hello", reasoning_content="I wonder."),
    },
}


def librechat(number, above, **message):
    about = {"conversationId": "chat-1", "user": "user-1", "createdAt": MILLISECONDS}
    return {"messageId": number, "parentMessageId": above, **about, **message}


NOBODY = "00000000-0000-0000-0000-000000000000"
ASKED = {"sender": "User", "text": "Hi", "isCreatedByUser": True, "model": None}
TOLD = {"sender": "GPT-4", "isCreatedByUser": False, "model": "model-1"}
LIBRECHAT_ROWS = [
    librechat("1", NOBODY, **ASKED),
    librechat("old", "1", text="An answer that was not wanted", **TOLD),
    librechat("2", "1", text="Hello", **TOLD),
]
LIBRECHAT = {
    "conversationId": "chat-1",
    "options": {"model": "model-1"},
    "messages": [
        librechat("1", NOBODY, **ASKED),
        librechat(
            "2",
            "1",
            text="",
            content=[{"type": "think", "think": "I wonder."}, {"type": "text", "text": "Hello"}],
            **TOLD,
        ),
    ],
}
MOSS = {"conversation_id": 7, "meta_instruction": "You are MOSS.", "num_turns": 11}
MANY = {
    f"turn_{n}": {"Human": f"<|Human|>: Hi {n}<eoh>\n", "MOSS": f"<|MOSS|>: Hello {n}<eom>\n"}
    for n in range(11, 0, -1)
}
PLAIN = "[Human]: Hi<eoh> [MOSS]: Hello<eoa>"


def typed(value):
    """A value as OTLP writes it in JSON."""
    if isinstance(value, list):
        return {"arrayValue": {"values": [typed(one) for one in value]}}
    if isinstance(value, dict):
        return {"kvlistValue": {"values": attributes(**value)}}
    return {"stringValue": value}


def attributes(**values):
    return [{"key": key.replace("__", "."), "value": typed(v)} for key, v in values.items()]


def event(name, **values):
    return {"name": name, "timeUnixNano": "1714564800000000000", "attributes": attributes(**values)}


def span(*events, **values):
    about = {"gen_ai__request__model": "model-1", "gen_ai__conversation__id": "chat-1"}
    about |= {"user__id": "user-1"}
    return {
        "traceId": "5b8efff798038103d269b633813fc60c",
        "spanId": "eee19b7ec3c1b174",
        "name": "chat model-1",
        "startTimeUnixNano": "1714564800000000000",
        "attributes": attributes(**about, **values),
        "events": list(events),
    }


def spoken(role, text):
    return {"role": role, "parts": [{"type": "text", "content": text}]}


SPANS = {
    "values with types": span(
        gen_ai__input__messages=[spoken("user", "Hi")],
        gen_ai__output__messages=[spoken("assistant", "Hello") | {"finish_reason": "stop"}],
    ),
    "an event with details": span(
        event(
            "gen_ai.client.inference.operation.details",
            gen_ai__input__messages=json.dumps([spoken("user", "Hi")]),
            gen_ai__output__messages=json.dumps([spoken("assistant", "Hello")]),
        )
    ),
    "an event for each message": span(
        event("gen_ai.user.message", content="Hi"),
        event("gen_ai.choice", index="0", message=json.dumps({"content": "Hello"})),
    ),
    "an event for each side": span(
        event(
            "gen_ai.content.prompt", gen_ai__prompt=json.dumps([{"role": "user", "content": "Hi"}])
        ),
        event(
            "gen_ai.content.completion",
            gen_ai__completion=json.dumps([{"role": "assistant", "content": "Hello"}]),
        ),
    ),
    "numbered attributes": span(
        gen_ai__prompt__0__role="user",
        gen_ai__prompt__0__content="Hi",
        gen_ai__completion__0__role="assistant",
        gen_ai__completion__0__content="Hello",
    ),
}
FORMATS = {
    **{
        f"OpenTelemetry: {name}": ([row], "otel", "chat-1", "user-1", "model-1", HI)
        for name, row in SPANS.items()
    },
    "LangSmith": ([LANGSMITH], "langsmith", "run-1", "user-1", "model-1", HI),
    "Langfuse": ([LANGFUSE], "langfuse", "observation-1", None, "model-1", HI),
    "DeepSeek": ([DEEPSEEK], "deepseek-export", "chat-1", None, "deepseek-chat", HI),
    "LibreChat": ([LIBRECHAT], "librechat", "chat-1", None, "model-1", THOUGHT),
    "LibreChat's messages": (LIBRECHAT_ROWS, "message-rows", "chat-1", "user-1", "model-1", HI),
    "MOSS 002": ([MOSS | {"plain_text": PLAIN}], "moss", "7", None, None, HI),
    "MOSS 003": (
        [MOSS | {"chat": MANY}],
        *("moss", "7", None, None),
        [(role, f"{text} {n}") for n in range(1, 12) for role, text in HI],
    ),
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_read_as_its_product_writes_it(name):
    rows, shape, *fields, turns = FORMATS[name]
    assert recognise_rows(rows).shape == shape
    found = [row for row in read(shape, rows).values() if isinstance(row, dict)]
    assert len(found) == 1
    assert [found[0][key] for key in ("conversation_id", "account", "model")] == fields
    assert found[0]["messages"] == turns
    assert not found[0]["repairs"]


def exported(*spans, key=("resourceSpans", "scopeSpans")):
    """A line of what a collector writes to a file: the spans of one service."""
    service = {"attributes": attributes(service__name="chat")}
    return {key[0]: [{"resource": service, key[1]: [{"scope": {"name": "s"}, "spans": [*spans]}]}]}


WORK = {
    "traceId": "t",
    "spanId": "s",
    "name": "GET /",
    "attributes": attributes(http__method="GET"),
}


def otlp(tmp_path, data):
    (tmp_path / "traces").write_bytes(data)
    found = survey(list_input([str(tmp_path / "traces")]))
    assert set(found.shapes.values()) == {"otel"}
    return [row for _, row in iter_rows(found.files[0], "otel")]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize(
    "key", [("resourceSpans", "scopeSpans"), ("resource_spans", "scope_spans")], ids="-".join
)
def test_each_span_of_a_collectors_export_is_a_row(tmp_path, key, indent, pack):
    chats = list(SPANS.values())
    exports = [exported(WORK, *chats[:2], key=key), exported(*chats[2:], WORK, key=key)]
    data = "\n".join(json.dumps(export, indent=indent) for export in exports).encode()
    rows = otlp(tmp_path, pack(data))
    assert rows == [WORK, *chats, WORK]
    found = read("otel", rows).values()
    assert [row if isinstance(row, str) else row["messages"] for row in found] == [
        "messages_missing",
        *[HI] * len(chats),
        "messages_missing",
    ]


def test_a_line_of_an_export_that_is_broken_costs_itself(tmp_path):
    good = json.dumps(exported(SPANS["numbered attributes"])).encode()
    lines = [good, b'{"resourceSpans": 7}', b'{"resourceSpans": [[]]}', good[:99], good]
    rows = otlp(tmp_path, b"\n".join(lines))
    assert [isinstance(row, Reject) for row in rows] == [False, False, True, True, False]
    assert rows[0] == rows[-1] == SPANS["numbered attributes"]


def test_an_attribute_that_is_nested_without_end_is_no_error():
    value = {"stringValue": "Hi"}
    for _ in range(300):
        value = {"arrayValue": {"values": [value]}}
    deep = SPANS["numbered attributes"]
    more = [{"key": "gen_ai.input.messages", "value": value}]
    (found,) = read("otel", [deep | {"attributes": [*deep["attributes"], *more]}]).values()
    assert found["messages"] == HI
