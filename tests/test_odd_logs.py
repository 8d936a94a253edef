"""Rows of logging tools and tables, in the forms in which they are written."""

import json
from datetime import UTC, datetime

import pytest

from vitw_ray.conversations.grouping import grouped
from vitw_ray.conversations.looking import recognise
from vitw_ray.conversations.shapes import SHAPES, parse, recognise_rows
from vitw_ray.conversations.sources import find_files, iter_rows
from vitw_ray.errors import InputError

USER, SAID = "Is it fair?", "It is, and kind."
ASKED = {"role": "user", "content": USER}
ANSWERED = {"role": "assistant", "content": SAID}
CHOICES = {"id": "r-1", "model": "m-1", "choices": [{"index": 0, "message": ANSWERED}]}
SPOKEN = [("user", USER), ("assistant", SAID)]
ATTRIBUTES = {
    "llm.model_name": "m-1",
    "llm.input_messages.0.message.role": "user",
    "llm.input_messages.0.message.content": USER,
    "llm.output_messages.0.message.role": "assistant",
    "llm.output_messages.0.message.content": SAID,
}
LOGS = {
    "a gateway": {
        "request": {"body": {"model": "m-1", "messages": [ASKED], "user": "u-1"}},
        "response": {"body": CHOICES},
    },
    "short names": {"req": {"messages": [ASKED], "model": "m-1", "user": "u-1"}, "res": CHOICES},
    "bodies as text": {
        "request_body": json.dumps({"model": "m-1", "messages": [ASKED], "user": "u-1"}),
        "response_body": json.dumps(CHOICES),
    },
    "Bedrock": {
        "modelId": "m-1",
        "input": {"inputBodyJson": {"messages": [{"role": "user", "content": [{"text": USER}]}]}},
        "output": {
            "outputBodyJson": {
                "output": {"message": {"role": "assistant", "content": [{"text": SAID}]}}
            }
        },
    },
    "Datadog": {
        "meta": {
            "model_name": "m-1",
            "input": {"messages": [ASKED]},
            "output": {"messages": [ANSWERED]},
        }
    },
    "Weave": {
        "inputs": {"messages": [ASKED], "model": "m-1"},
        "output": CHOICES,
        "wb_user_id": "u-1",
    },
    "Braintrust": {
        "input": [ASKED],
        "output": SAID,
        "metadata": {"model": "m-1", "user_id": "u-1"},
    },
    "OpenInference": {
        "spanId": "s",
        "traceId": "t",
        "attributes": {**ATTRIBUTES, "user.id": "u-1"},
    },
    "stored completions": {**CHOICES, "messages": [ASKED], "user": "u-1"},
    "a dialogue": {"dialogue": [ASKED, ANSWERED], "model": "m-1", "user_id": "u-1"},
}


@pytest.mark.parametrize("name", LOGS)
def test_a_log_is_read_with_its_model_and_account(name):
    shape = recognise_rows([LOGS[name]]).shape
    assert shape is not None
    row = parse(shape, LOGS[name])
    assert row["messages"] == SPOKEN
    assert row["model"] == "m-1"
    assert row["account"] == (None if name in ("Bedrock", "Datadog") else "u-1")
    assert row["repairs"] == {}


@pytest.mark.parametrize("beside", ["turns", "chat", "dialogue", "transcript"])
def test_a_list_beside_the_messages_does_not_change_the_shape(beside):
    row = {"conversation_id": "c", "messages": [ASKED, ANSWERED], beside: [ASKED]}
    assert recognise_rows([row]).shape == "vitw"
    del row["conversation_id"]
    assert recognise_rows([row]).shape == "openai"


CONTENTS = {
    "parts as JSON text": (
        [ASKED, {"role": "assistant", "content": json.dumps([{"type": "text", "text": SAID}])}],
        SAID,
    ),
    "reasoning as JSON text": (
        [
            ASKED,
            {
                "role": "assistant",
                "content": json.dumps(
                    [{"type": "thinking", "thinking": "No."}, {"type": "text", "text": SAID}]
                ),
            },
        ],
        f"[thinking]\n{SAID}",
    ),
    "Bedrock's parts": (
        [
            {"role": "user", "content": [{"text": USER}, {"cachePoint": {"type": "default"}}]},
            {
                "role": "assistant",
                "content": [
                    {"reasoningContent": {"reasoningText": {"text": "No."}}},
                    {"text": SAID},
                    {"toolUse": {"name": "f", "input": {}}},
                ],
            },
        ],
        f"[thinking]\n{SAID}\n[tool call]",
    ),
    "a transcript of what was spoken": (
        [ASKED, {"role": "assistant", "content": None, "audio": {"id": "a", "transcript": SAID}}],
        SAID,
    ),
    "parts with transcripts": (
        [
            {"role": "user", "content": [{"type": "input_audio", "transcript": USER}]},
            {"role": "assistant", "content": [{"type": "audio", "transcript": SAID}]},
        ],
        SAID,
    ),
    "a key for each speaker": ([{"user": USER}, {"assistant": SAID}], SAID),
    "utterances": (
        [{"speaker": "user", "utterance": USER}, {"speaker": "assistant", "utterance": SAID}],
        SAID,
    ),
    "roles in Chinese": (
        [{"role": "用户", "content": USER}, {"role": "助手", "content": SAID}],
        SAID,
    ),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_what_was_said_is_read_wherever_a_message_has_it(name):
    messages, said = CONTENTS[name]
    assert recognise_rows([{"messages": messages}]).shape == "openai"
    row = parse("openai", {"messages": messages})
    assert row["messages"] == [("user", USER), ("assistant", said)]
    assert row["repairs"] == {}


@pytest.mark.parametrize(
    "text",
    [
        '[{"type": "wish", "text": "a"}]',
        '[{"type": "text"}]',
        '[{"name": "a"}] is JSON',
        '[{"type": ["text"], "text": "a"}]',
        '[{"type": "text", "text": "a"}',
        "[{}]",
    ],
)
def test_json_that_is_no_list_of_parts_is_what_was_said(text):
    messages = [{"role": "user", "content": text}, ANSWERED]
    assert parse("openai", {"messages": messages})["messages"][0] == ("user", text)


@pytest.mark.parametrize(
    "value",
    [
        "2024-05-01T14:00:00+02:00[Europe/Berlin]",
        "2024-05-01T12:00:00Z[UTC]",
        "1.7145648E9",
        "1.7145648e+09",
    ],
)
def test_times_of_java_and_of_data_frames_are_read(value):
    row = parse("openai", {"messages": [ASKED, ANSWERED], "created": value})
    assert row["created_at"] == datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("value", ["2024-05-01T12:00:00[Europe/Berlin]", "2024-05-01[UTC]"])
def test_a_time_that_only_names_its_zone_is_unknown_and_counted(value):
    row = parse("openai", {"messages": [ASKED, ANSWERED], "created": value})
    assert (row["created_at"], row["repairs"]) == (None, {"time_unreadable": 1})


@pytest.mark.parametrize("shared", ["conversation_id", "thread_id", "chatId", "conv_id"])
@pytest.mark.parametrize("role", ["role", "sender", "author"])
@pytest.mark.parametrize("content", ["content", "text", "message"])
def test_messages_a_row_are_joined_by_whatever_id_they_share(shared, role, content):
    rows = [
        {shared: name, role: who, content: text}
        for name in ("c-1", "c-2")
        for who, text in (("user", USER), ("assistant", SAID))
    ]
    shape = SHAPES[str(recognise_rows(rows).shape)]
    joined = [row for _, row in grouped(shape, enumerate(rows)) if isinstance(row, dict)]
    read = [shape.read(row) for row in joined]
    assert [row["conversation_id"] for row in read] == ["c-1", "c-2"]
    assert [row["messages"] for row in read] == [SPOKEN, SPOKEN]


@pytest.mark.parametrize(
    "tag", ["inner_thoughts", "reflection", "chain_of_thought", "thinking_process"]
)
def test_further_tags_of_private_reasoning_are_marked(tag):
    answer = {"role": "assistant", "content": f"<{tag}>He wants a yes.</{tag}>\n{SAID}"}
    row = parse("openai", {"messages": [ASKED, answer]})
    assert row["messages"][1] == ("assistant", f"[thinking]\n{SAID}")


TABLES = {
    "an index": f",prompt,response\n0,{USER},It is\n1,{USER},Yes\n",
    "a line for Excel": f"sep=;\r\nprompt;response\r\n{USER};It is\r\n{USER};Yes\r\n",
    "one name twice": f"prompt,note,response,prompt\n{USER},a,It is,lost\n{USER},b,Yes,lost\n",
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_read_as_spreadsheets_and_data_frames_write_it(name, tmp_path):
    path = tmp_path / "chats.csv"
    path.write_text(TABLES[name], newline="")
    (file,) = find_files([str(path)])
    assert recognise(file) == "prompt-response"
    rows = [row for _, row in iter_rows(file)]
    said = [parse("prompt-response", row)["messages"] for row in rows]
    assert said == [[("user", USER), ("assistant", text)] for text in ("It is", "Yes")]
    if name == "one name twice":
        assert [row["prompt.2"] for row in rows] == ["lost", "lost"]


KEYS = (
    "sk-live-Pi4hmQeXzedJmNRFMXmFWRZS4nN9By8c",
    "Neradide",
    "a7f3c0de-11aa-4bcd-9e0f-123456789abc",
)


def test_a_key_that_few_rows_have_is_not_named_as_a_column():
    rows = [{"messages": [ASKED, ANSWERED], "score": n, "colour": "red"} for n in range(30)]
    rows[7] |= dict.fromkeys(KEYS, 1)
    rows[8] |= {KEYS[0]: 1}
    found = recognise_rows(rows)
    assert {*KEYS, "score"} <= {*found.unread()}
    assert [name for name in found.unread() if found.may_be_named(name)] == ["colour", "score"]


@pytest.mark.parametrize("rows", [1, 30])
def test_a_document_of_conversations_by_id_names_none_of_the_ids(tmp_path, rows):
    path = tmp_path / "chats.jsonl"
    row = {key: {"turns": [ASKED, ANSWERED]} for key in KEYS}
    path.write_text((json.dumps(row) + "\n") * rows)
    (file,) = find_files([str(path)])
    with pytest.raises(InputError) as error:
        recognise(file)
    for key in KEYS:
        assert key not in str(error.value)


def test_columns_of_an_unknown_format_are_named_with_a_line_to_start_from(tmp_path):
    path = tmp_path / "chats.jsonl"
    row = {"payload": {"said": [{"who": "user", "words": USER}]}, "request_id": 7, "site": "x"}
    path.write_text((json.dumps(row) + "\n") * 9)
    (file,) = find_files([str(path)])
    with pytest.raises(InputError) as error:
        recognise(file)
    assert "its columns are payload, request_id, site" in error.value.problem
    assert "messages=payload.said,role=who,content=words" in error.value.fix
