"""Rows of every known shape, good and bad."""

import json
import re
from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitw_ray.conversations.fields import MAX_NAME_CHARS, RowRejected, read_time
from vitw_ray.conversations.shapes import SHAPES, parse, recognise_rows
from vitw_ray.records import CONVERSATIONS, ROLES

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
HELLO = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]
SPOKEN = [("user", "Hello"), ("assistant", "Hi")]


def chatgpt_node(role, text, parent, children=(), **message):
    content = {"content_type": "text", "parts": [text]}
    body = {"author": {"role": role}, "content": content, "metadata": {}, **message}
    return {"message": body, "parent": parent, "children": list(children)}


SAMPLES = {
    "vitw": {
        "conversation_id": "c1",
        "prompt_id": "p1",
        "account_id": "a1",
        "model": "m",
        "language": "en",
        "source": "mine",
        "created_at": "2024-05-01T12:00:00Z",
        "messages": HELLO,
        "license": "ignored",
    },
    "wildchat": {
        "conversation_hash": "c1",
        "model": "m",
        "language": "English",
        "timestamp": "2024-05-01 14:00:00+02:00",
        "hashed_ip": "a1",
        "conversation": [{**m, "language": "English", "turn_identifier": 1} for m in HELLO],
    },
    "lmsys": {
        "conversation_id": "c1",
        "model": "m",
        "language": "English",
        "conversation": HELLO,
        "turn": 1,
    },
    "sharegpt": {
        "id": "c1",
        "conversations": [{"from": "human", "value": "Hello"}, {"from": "gpt", "value": "Hi"}],
    },
    "openai": {"messages": HELLO},
    "oasst": {
        "message_tree_id": "c1",
        "tree_state": "ready_for_export",
        "prompt": {
            "role": "prompter",
            "text": "Hello",
            "lang": "en",
            "user_id": "a1",
            "created_date": "2024-05-01T12:00:00+00:00",
            "replies": [
                {"role": "assistant", "text": "Go away", "rank": 1, "replies": []},
                {"role": "assistant", "text": "Hi", "rank": 0, "replies": []},
            ],
        },
    },
    "hh-rlhf": {
        "chosen": "\n\nHuman: Hello\n\nAssistant: Hi",
        "rejected": "\n\nHuman: Hello\n\nAssistant: Go away",
    },
    "claude-export": {
        "uuid": "c1",
        "name": "A greeting",
        "created_at": "2024-05-01T12:00:00.000000Z",
        "account": {"uuid": "a1"},
        "chat_messages": [
            {"sender": "human", "text": "Hello", "content": [], "attachments": [], "files": []},
            {"sender": "assistant", "text": "", "content": [{"type": "text", "text": "Hi"}]},
        ],
    },
    "chatgpt-export": {
        "id": "c1",
        "title": "A greeting",
        "create_time": NOON.timestamp(),
        "current_node": "n3",
        "mapping": {
            "n0": {"message": None, "parent": None, "children": ["n1"]},
            "n1": chatgpt_node("user", "Hello", "n0", ["n2", "n3"]),
            "n2": chatgpt_node("assistant", "Go away", "n1"),
            "n3": chatgpt_node("assistant", "Hi", "n1", metadata={"model_slug": "m"}),
        },
    },
}
CONTENT_OF = {  # one message in the shapes that accept any content
    "vitw": lambda content: {"conversation_id": "c", "messages": [{"role": "user", **content}]},
    "openai": lambda content: {"messages": [{"role": "user", **content}]},
}


def reason(shape, raw):
    with pytest.raises(RowRejected) as rejected:
        parse(shape, raw)
    return rejected.value.reason


def spoken(shape, raw):
    return parse(shape, raw)["messages"]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_row_of_every_shape_becomes_the_same_conversation(shape):
    row = parse(shape, SAMPLES[shape])
    assert row["messages"] == SPOKEN
    assert row["conversation_id"] == ("c1" if shape not in ("openai", "hh-rlhf") else None)


@pytest.mark.parametrize(
    ("shape", "fields"),
    [
        ("vitw", {"prompt_id": "p1", "account": "a1", "model": "m", "source": "mine"}),
        ("wildchat", {"account": "a1", "model": "m", "language": "English", "created_at": NOON}),
        ("lmsys", {"account": None, "model": "m", "language": "English", "created_at": None}),
        ("oasst", {"account": "a1", "model": None, "language": "en", "created_at": NOON}),
        ("claude-export", {"account": "a1", "model": None, "created_at": NOON}),
        ("chatgpt-export", {"account": None, "model": "m", "created_at": NOON}),
    ],
)
def test_metadata_of_a_shape_is_kept(shape, fields):
    row = parse(shape, SAMPLES[shape])
    assert {name: row[name] for name in fields} == fields


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_detected_from_one_row(shape):
    assert recognise_rows([SAMPLES[shape]]).shape == shape


def test_the_shape_that_parses_most_rows_is_the_shape_of_a_file():
    rows = [SAMPLES["openai"]] * 3 + [SAMPLES["sharegpt"]]
    assert recognise_rows(rows).shape == "openai"


def test_a_missing_id_in_some_rows_does_not_change_the_shape():
    without_id = {k: v for k, v in SAMPLES["vitw"].items() if k != "conversation_id"}
    assert recognise_rows([without_id, without_id, SAMPLES["vitw"]]).shape == "vitw"


def test_matching_columns_are_not_enough_for_a_shape():
    found = recognise_rows([{"items": [1, 2], "price": 3}])
    assert (found.shape, found.nearest) == (None, "sharegpt")
    assert set(found.columns) == {"items", "price"}
    assert found.reasons == {"message_wrong_type": 1}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_reads_only_the_columns_that_it_names(shape):
    seen = set()

    class Watched(dict):
        def get(self, key, default=None):
            seen.add(key)
            return super().get(key, default)

        def __getitem__(self, key):
            seen.add(key)
            return super().__getitem__(key)

    parse(shape, Watched(SAMPLES[shape]))
    assert seen <= set(SHAPES[shape].columns.split())


def test_a_battle_gives_its_first_side_under_the_question_id():
    other = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Go away"}]
    battle = {
        "question_id": "q1",
        "model_a": "m",
        "model_b": "n",
        "winner": "model_b",
        "judge": "arena_user_7",
        "conversation_a": HELLO,
        "conversation_b": other,
        "tstamp": NOON.timestamp(),
    }
    row = parse("lmsys", battle)
    assert recognise_rows([battle]).shape == "lmsys"
    assert (row["conversation_id"], row["prompt_id"]) == ("q1:a", "q1")
    assert (row["messages"], row["model"], row["account"]) == (SPOKEN, "m", "arena_user_7")
    assert row["created_at"] == NOON


def test_the_account_of_an_early_wildchat_copy_is_read_from_its_turns():
    turns = [{**HELLO[0], "hashed_ip": "a1", "timestamp": None}, {**HELLO[1], "hashed_ip": None}]
    row = parse("wildchat", {"conversation_id": "c1", "conversation": turns})
    assert (row["conversation_id"], row["account"]) == ("c1", "a1")


def test_the_old_sharegpt_key_is_read():
    items = SAMPLES["sharegpt"]["conversations"]
    assert spoken("sharegpt", {"id": "c1", "items": items}) == SPOKEN


def test_without_ranks_the_first_reply_of_a_tree_is_followed():
    replies = [{"role": "assistant", "text": text, "rank": None} for text in ("Hi", "Bye")]
    tree = {"prompt": {"role": "prompter", "text": "Hello", "replies": replies}}
    assert spoken("oasst", tree) == SPOKEN


def test_a_ranked_reply_is_preferred_to_an_unranked_one():
    replies = [
        {"role": "assistant", "text": "Bye", "rank": float("nan")},
        {"role": "assistant", "text": "Ciao"},
        {"role": "assistant", "text": "Hi", "rank": 1},
    ]
    tree = {"prompt": {"role": "prompter", "text": "Hello", "replies": replies}}
    assert spoken("oasst", tree) == SPOKEN


def test_a_transcript_keeps_its_text_except_the_separator():
    chosen = "\n\nHuman:  Two spaces.\n\nThen: a paragraph \n\nAssistant:Fine\n"
    assert spoken("hh-rlhf", {"chosen": chosen, "rejected": ""}) == [
        ("user", " Two spaces.\n\nThen: a paragraph "),
        ("assistant", "Fine\n"),
    ]


def test_claude_attachments_are_marked_and_not_read():
    message = {
        "sender": "human",
        "text": "Hello",
        "attachments": [{"file_name": "a.txt", "extracted_content": "secret"}],
        "files": [{"file_name": "b.png"}],
    }
    assert spoken("claude-export", {"uuid": "c", "chat_messages": [message]}) == [
        ("user", "Hello\n[attachment]\n[attachment]")
    ]


def test_the_path_to_the_current_node_is_read():
    assert spoken("chatgpt-export", {**SAMPLES["chatgpt-export"], "current_node": "n2"}) == [
        ("user", "Hello"),
        ("assistant", "Go away"),
    ]


def test_without_a_current_node_the_last_leaf_is_taken():
    assert spoken("chatgpt-export", {**SAMPLES["chatgpt-export"], "current_node": None}) == SPOKEN


@pytest.mark.parametrize("parent", ["n3", "nowhere", 7, ["n0"]])
def test_a_broken_tree_is_a_reject(parent):
    mapping = {**SAMPLES["chatgpt-export"]["mapping"], "n1": chatgpt_node("user", "Hello", parent)}
    assert reason("chatgpt-export", {"mapping": mapping, "current_node": "n3"}) == "tree_broken"


@pytest.mark.parametrize(
    ("message", "turn"),
    [
        ({"recipient": "python"}, ("assistant", "[tool call]")),
        ({"content": {"content_type": "thoughts", "thoughts": []}}, ("assistant", "[thinking]")),
        ({"content": {"content_type": "code", "text": "x = 1"}}, ("assistant", "x = 1")),
        ({"content": {"content_type": "user_editable_context"}}, ("system", "[system message]")),
        ({"author": {"role": "tool"}}, ("tool", "[tool message]")),
        (
            {"content": {"parts": [{"content_type": "image_asset_pointer"}, "What is it?"]}},
            ("assistant", "[image]\nWhat is it?"),
        ),
    ],
)
def test_additional_chatgpt_content_becomes_a_marker(message, turn):
    mapping = {
        "n1": chatgpt_node("user", "Hello", None),
        "n2": chatgpt_node("assistant", "secret", "n1", **message),
    }
    raw = {"mapping": mapping, "current_node": "n2"}
    assert spoken("chatgpt-export", raw) == [("user", "Hello"), turn]


def test_hidden_chatgpt_messages_are_left_out():
    hidden = {"is_visually_hidden_from_conversation": True}
    mapping = {
        "n0": chatgpt_node("system", "", None, metadata=hidden),
        "n1": chatgpt_node("user", "Hello", "n0"),
    }
    raw = {"mapping": mapping, "current_node": "n1"}
    assert spoken("chatgpt-export", raw) == [("user", "Hello")]


@pytest.mark.parametrize("shape", ["vitw", "openai", "wildchat", "lmsys"])
@pytest.mark.parametrize("role", ["system", "developer", "tool", "function"])
def test_text_of_system_and_tool_messages_is_removed(shape, role):
    key = "conversation" if shape in ("wildchat", "lmsys") else "messages"
    turns = [{"role": role, "content": "be very secret"}, *HELLO]
    row = parse(shape, {**SAMPLES[shape], key: turns})
    assert row["messages"][1:] == SPOKEN
    assert row["messages"][0][1] in ("[system message]", "[tool message]")
    assert "secret" not in str(row)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("  as it is\n\u2028 \x00 é 😀 ", "  as it is\n\u2028 \x00 é 😀 "),
        ([{"type": "text", "text": "a"}, "b", {"text": "c"}], "a\nb\nc"),
        (
            [{"type": "image_url", "image_url": {"url": "x"}}, {"type": "text", "text": "a"}],
            "[image]\na",
        ),
        ([{"type": "input_audio"}, {"type": "text", "text": "a"}], "[audio]\na"),
        ([{"type": "text", "text": "a"}, {"type": "file", "file": {}}], "a\n[attachment]"),
        ([{"type": "refusal", "refusal": "No."}], "No."),
        (
            [{"type": "thinking", "thinking": "secret"}, {"type": "text", "text": "a"}],
            "[thinking]\na",
        ),
        ([{"type": "tool_use", "input": {}}, {"type": "text", "text": "a"}], "[tool call]\na"),
        ([{"type": ["odd"]}, {"type": "text", "text": "a"}], "[attachment]\na"),
    ],
)
@pytest.mark.parametrize("shape", CONTENT_OF)
def test_text_is_unchanged_and_other_content_becomes_a_marker(shape, content, text):
    assert spoken(shape, CONTENT_OF[shape]({"content": content})) == [("user", text)]


def test_a_tool_call_without_text_is_a_turn():
    turns = [HELLO[0], {"role": "assistant", "content": None, "tool_calls": [{"id": "x"}]}]
    assert spoken("openai", {"messages": turns}) == [
        ("user", "Hello"),
        ("assistant", "[tool call]"),
    ]


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("human", "user"),
        ("Prompter", "user"),
        (" USER ", "user"),
        ("gpt", "assistant"),
        ("chatgpt", "assistant"),
        ("bot", "assistant"),
        ("model", "assistant"),
        ("bing", "assistant"),
    ],
)
def test_alternative_role_names_are_known(name, role):
    assert spoken("openai", {"messages": [{"role": name, "content": "x"}]}) == [(role, "x")]


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        (None, "messages_missing"),
        ("user: Hello", "messages_wrong_type"),
        ({"role": "user"}, "messages_wrong_type"),
        (["Hello"], "message_wrong_type"),
        ([None], "message_wrong_type"),
        ([{"content": "Hello"}], "role_unknown"),
        ([{"role": 1, "content": "Hello"}], "role_unknown"),
        ([{"role": "narrator", "content": "Hello"}], "role_unknown"),
        ([{"role": "user", "content": 1}], "content_wrong_type"),
        ([{"role": "user", "content": {"text": "a"}}], "content_wrong_type"),
        ([{"role": "user", "content": [1]}], "content_wrong_type"),
        ([{"role": "user", "content": [{"type": "text", "text": None}]}], "content_wrong_type"),
        ([{"role": "user", "content": "\ud800"}], "lone_surrogate"),
        ([], "conversation_empty"),
        ([{"role": "user", "content": " \n"}], "conversation_empty"),
        ([{"role": "system", "content": "Hello"}], "conversation_empty"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "conversation_empty"),
    ],
)
@pytest.mark.parametrize("shape", ["vitw", "openai"])
def test_bad_messages_have_a_code_each(shape, messages, code):
    assert reason(shape, {"conversation_id": "c", "messages": messages}) == code


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("conversation_id", ["c"], "id_wrong_type"),
        ("conversation_id", 1.5, "id_wrong_type"),
        ("conversation_id", True, "id_wrong_type"),
        ("conversation_id", "x" * (MAX_NAME_CHARS + 1), "field_too_long"),
        ("conversation_id", 2**2000, "field_too_long"),
        ("conversation_id", "\udfff", "lone_surrogate"),
        ("account_id", {}, "id_wrong_type"),
        ("model", 4, "field_wrong_type"),
        ("language", ["en"], "field_wrong_type"),
        ("source", "\ud800", "lone_surrogate"),
        ("created_at", "yesterday", "created_at_wrong_type"),
        ("created_at", True, "created_at_wrong_type"),
        ("created_at", float("nan"), "created_at_wrong_type"),
        ("created_at", float("inf"), "created_at_wrong_type"),
        ("created_at", 2**2000, "created_at_wrong_type"),
        ("created_at", "0001-01-01T00:00:00+23:00", "created_at_wrong_type"),
        ("created_at", {"$date": 1}, "created_at_wrong_type"),
    ],
)
def test_bad_fields_have_a_code_each(field, value, code):
    assert reason("vitw", {**SAMPLES["vitw"], field: value}) == code


@pytest.mark.parametrize(
    "field", ["conversation_id", "prompt_id", "account_id", "model", "created_at"]
)
@pytest.mark.parametrize("unknown", [None, ""])
def test_null_and_the_empty_string_mean_unknown(field, unknown):
    row = parse("vitw", {**SAMPLES["vitw"], field: unknown})
    assert row["account" if field == "account_id" else field] is None


def test_an_integer_is_a_valid_id():
    assert parse("vitw", {**SAMPLES["vitw"], "conversation_id": 7})["conversation_id"] == "7"


@pytest.mark.parametrize(
    "value",
    [
        "2024-05-01T12:00:00Z",
        "2024-05-01 12:00:00",
        "2024-05-01T14:00:00+02:00",
        NOON.timestamp(),
        int(NOON.timestamp()),
        int(NOON.timestamp() * 1000),
        NOON,
        NOON.replace(tzinfo=None),
        NOON.astimezone(timezone(timedelta(hours=-7))),
        pd.Timestamp(NOON) + pd.Timedelta(1, "ns"),
    ],
)
def test_one_moment_in_many_formats_is_the_same_moment(value):
    moment = read_time(value)
    assert moment == NOON
    assert type(moment) is datetime
    assert moment.tzinfo is UTC


def test_a_date_is_read_as_midnight_utc():
    assert read_time("2024-05-01") == read_time(date(2024, 5, 1)) == NOON.replace(hour=0)


KEYS = sorted(
    {key for shape in SHAPES.values() for key in shape.columns.split()}
    | {"role", "content", "from", "value", "type", "text", "parts", "author", "message", "parent"}
    | {"sender", "attachments", "files", "replies", "rank", "recipient", "metadata", "n0", "uuid"}
)
WORDS = st.sampled_from(
    [
        *("user", "assistant", "system", "human", "gpt", "n0", "text", "image", "", "\ud800"),
        *("\n\nHuman: a\n\nAssistant: b", "2024-05-01", "[image]"),
    ]
)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6)
    ),
    max_leaves=25,
)


def code_or_row(shape, raw):
    try:
        return parse(shape, raw)
    except RowRejected as rejected:
        return rejected.reason


def assert_parsed_or_rejected(shape, raw):
    row = code_or_row(shape, raw)
    if isinstance(row, str):
        assert re.fullmatch("[a-z_]{5,30}", row)
        return
    assert all(role in ROLES for role, _ in row["messages"])
    table = {
        **{name: [row.get(name)] for name in CONVERSATIONS.names},
        "messages": [[{"role": role, "content": text} for role, text in row["messages"]]],
    }
    pa.table(table, schema=pa.schema([f.with_nullable(True) for f in CONVERSATIONS])).validate(
        full=True
    )


@settings(deadline=None)
@given(st.sampled_from(sorted(SHAPES)), st.dictionaries(st.sampled_from(KEYS), ANY_JSON))
def test_any_object_read_as_any_shape_is_parsed_or_rejected(shape, raw):
    assert_parsed_or_rejected(shape, raw)


def places(value, path=()):
    """Paths to all values inside a JSON value."""
    pairs = value.items() if isinstance(value, dict) else []
    for key, inner in enumerate(value) if isinstance(value, list) else pairs:
        yield (*path, key)
        yield from places(inner, (*path, key))


@settings(deadline=None)
@given(st.data())
def test_a_good_row_with_one_value_changed_is_parsed_or_rejected(data):
    shape = data.draw(st.sampled_from(sorted(SHAPES)))
    raw = json.loads(json.dumps(SAMPLES[shape]))
    *path, last = data.draw(st.sampled_from(list(places(raw))))
    inner = raw
    for key in path:
        inner = inner[key]
    inner[last] = data.draw(ANY_JSON)
    assert_parsed_or_rejected(shape, raw)


def test_a_text_of_many_markers_is_read_in_linear_time():
    text = "[tool message] " * 200_000 + "end"
    assert spoken("openai", {"messages": [{"role": "user", "content": text}]}) == [("user", text)]


def test_shapes_parse_values_converted_by_arrow():
    table = pa.Table.from_pylist([SAMPLES["vitw"] | {"created_at": NOON}])
    assert parse("vitw", table.to_pylist()[0])["created_at"] == NOON
    assert not isinstance(table.to_pylist()[0]["messages"], np.ndarray)
