"""Rows of every known shape, good and bad."""

import json
import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitw_ray.conversations.fields import MAX_NAME_CHARS, RowRejected
from vitw_ray.conversations.shapes import SHAPES, parse, recognise_rows
from vitw_ray.conversations.times import read_time
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
CONTENT_OF = {  # one message in the shapes that accept any content, and its answer
    "vitw": lambda content: {"conversation_id": "c", **CONTENT_OF["openai"](content)},
    "openai": lambda content: {"messages": [{"role": "user", **content}, HELLO[1]]},
}


def reason(shape, raw):
    with pytest.raises(RowRejected) as rejected:
        parse(shape, raw)
    return rejected.value.reason


def spoken(shape, raw):
    return parse(shape, raw)["messages"]


@pytest.mark.parametrize("shape", SAMPLES)
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


@pytest.mark.parametrize("shape", SAMPLES)
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
    answer = {"sender": "assistant", "text": "Hi"}
    assert spoken("claude-export", {"uuid": "c", "chat_messages": [message, answer]}) == [
        ("user", "Hello\n[attachment]\n[attachment]"),
        ("assistant", "Hi"),
    ]


def test_the_path_to_the_current_node_is_read():
    assert spoken("chatgpt-export", {**SAMPLES["chatgpt-export"], "current_node": "n2"}) == [
        ("user", "Hello"),
        ("assistant", "Go away"),
    ]


def test_without_a_current_node_the_last_leaf_is_taken():
    assert spoken("chatgpt-export", {**SAMPLES["chatgpt-export"], "current_node": None}) == SPOKEN


@pytest.mark.parametrize("parent", ["n3", "nowhere", 7, ["n0"]])
def test_a_tree_without_a_root_is_read_from_its_break_on_and_counted(parent):
    mapping = {**SAMPLES["chatgpt-export"]["mapping"], "n1": chatgpt_node("user", "Hello", parent)}
    del mapping["n2"]
    row = parse("chatgpt-export", {"mapping": mapping, "current_node": "n3"})
    assert (row["messages"], row["repairs"]["tree_broken"]) == (SPOKEN, 1)


@pytest.mark.parametrize("current", ["gone", None, 7, ["n2"]])
def test_without_a_node_that_is_current_the_newest_leaf_is_read(current):
    raw = json.loads(json.dumps(SAMPLES["chatgpt-export"]))
    raw["mapping"]["n2"]["message"]["create_time"] = NOON.timestamp() + 1
    raw["mapping"]["n3"]["message"]["create_time"] = NOON.timestamp()
    assert spoken("chatgpt-export", {**raw, "current_node": current})[-1] == (
        "assistant",
        "Go away",
    )


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
        "n3": chatgpt_node("assistant", "Hi", "n2"),
    }
    raw = {"mapping": mapping, "current_node": "n3"}
    assert spoken("chatgpt-export", raw) == [("user", "Hello"), turn, ("assistant", "Hi")]


def test_hidden_chatgpt_messages_are_left_out():
    hidden = {"is_visually_hidden_from_conversation": True}
    mapping = {
        "n0": chatgpt_node("system", "", None, metadata=hidden),
        "n1": chatgpt_node("user", "Hello", "n0"),
        "n2": chatgpt_node("assistant", "Hi", "n1"),
    }
    raw = {"mapping": mapping, "current_node": "n2"}
    assert spoken("chatgpt-export", raw) == SPOKEN


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
    assert spoken(shape, CONTENT_OF[shape]({"content": content})) == [("user", text), SPOKEN[1]]


def test_a_tool_call_without_text_is_a_turn():
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "x"}]}
    assert spoken("openai", {"messages": [HELLO[0], call, HELLO[1]]}) == [
        ("user", "Hello"),
        ("assistant", "[tool call]"),
        ("assistant", "Hi"),
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
    turns = [*HELLO, {"role": name, "content": "x"}]
    assert spoken("openai", {"messages": turns}) == [*SPOKEN, (role, "x")]


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        (None, "messages_missing"),
        ("user: Hello", "messages_wrong_type"),
        ({"role": "user"}, "messages_wrong_type"),
        (["Hello"], "message_wrong_type"),
        ([None], "message_wrong_type"),
        ([{"content": "Hello"}], "role_missing"),
        ([{"role": 1, "content": "Hello"}], "role_unknown"),
        ([{"role": "narrator", "content": "Hello"}], "role_unknown_narrator"),
        ([{"role": "Maria", "content": "Hello"}], "role_unknown"),
        ([{"role": "user", "content": 1}], "content_wrong_type"),
        ([{"role": "user", "content": {"text": "a"}}], "no_assistant_turn"),
        ([{"role": "user", "content": [1]}], "content_wrong_type"),
        ([{"role": "user", "content": [{"type": "text", "text": None}]}], "content_wrong_type"),
        ([{"role": "user", "content": "Hello"}], "no_assistant_turn"),
        ([{"role": "assistant", "content": "Hi"}], "no_user_turn"),
        ([HELLO[0], {"role": "narrator", "content": "Hi"}], "role_unknown_narrator"),
        ([HELLO[0], {"role": "assistant", "content": "<think>Hm"}], "no_assistant_turn"),
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
    ("field", "value", "kind"),
    [
        ("conversation_id", ["c", "d"], "id_unreadable"),
        ("conversation_id", 1.5, "id_unreadable"),
        ("conversation_id", True, "id_unreadable"),
        ("conversation_id", "x" * (MAX_NAME_CHARS + 1), "id_unreadable"),
        ("conversation_id", 2**2000, "id_unreadable"),
        ("prompt_id", {}, "prompt_id_unreadable"),
        ("account_id", {}, "account_unreadable"),
        ("account_id", float("inf"), "account_unreadable"),
        ("model", 4, "model_unreadable"),
        ("language", ["en", "de"], "language_unreadable"),
        ("source", {"name": "x"}, "source_unreadable"),
        ("created_at", "yesterday", "time_unreadable"),
        ("created_at", "05/01/2024 12:00 PM", "time_unreadable"),
        ("created_at", True, "time_unreadable"),
        ("created_at", float("nan"), "time_unreadable"),
        ("created_at", float("inf"), "time_unreadable"),
        ("created_at", 2**2000, "time_unreadable"),
        ("created_at", "0001-01-01T00:00:00+23:00", "time_unreadable"),
        ("created_at", {"$date": True}, "time_unreadable"),
        ("created_at", 0, "time_out_of_range"),
        ("created_at", "1712-01-23T12:34:56", "time_out_of_range"),
        ("created_at", "2014-12-31T23:59:59Z", "time_out_of_range"),
    ],
)
def test_a_field_that_cannot_be_read_is_null_and_counted(field, value, kind):
    row = parse("vitw", {**SAMPLES["vitw"], field: value})
    assert row["account" if field == "account_id" else field] is None
    assert row["repairs"] == {kind: 1}
    assert row["messages"] == SPOKEN


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("\x1b[31mgpt\x1b[0m-4", "gpt-4"),
        ("\x1b]0;title\x07gpt-4", "gpt-4"),
        ("gpt\u202e-4\n", "gpt-4"),
        ("gpt-4\u200b", "gpt-4"),
    ],
)
@pytest.mark.parametrize("field", ["model", "language", "source"])
def test_control_characters_and_terminal_escapes_are_removed_from_names(field, value, shown):
    row = parse("vitw", {**SAMPLES["vitw"], field: value})
    assert row[field] == shown
    assert row["repairs"] == {"control_removed": 1}


@pytest.mark.parametrize("field", ["conversation_id", "account_id", "prompt_id"])
def test_ids_that_differ_in_what_is_not_seen_stay_different(field):
    ids = ["a", "a\u200b", "a\x00", "\x1b[31ma", "a\u202e", "a ", " a", "A", "á", "a\u0301"]
    rows = [parse("vitw", {**SAMPLES["vitw"], field: value}) for value in ids]
    read = [row["account" if field == "account_id" else field] for row in rows]
    assert len({*read}) == len(ids)
    assert all(name and name.isprintable() for name in read)
    assert [row["repairs"]["control_escaped"] for row in rows] == [0, 1, 1, 1, 1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("value", [" m-1", "m-1  ", ["m-1 "], {"name": "m-1", "provider": "p"}])
def test_a_model_is_the_same_whatever_stands_around_its_name(value):
    row = parse("vitw", {**SAMPLES["vitw"], "model": value})
    assert (row["model"], row["repairs"]) == ("m-1", {})


def test_numbers_that_a_float_cannot_tell_apart_are_no_ids():
    assert float(2**53) == float(2**53 + 1)
    for value in (2.0**53, -(2.0**53), 1e300):
        row = parse("vitw", {**SAMPLES["vitw"], "conversation_id": value})
        assert (row["conversation_id"], row["repairs"]) == (None, {"id_unreadable": 1})


def test_a_name_with_spaces_and_accents_is_kept():
    row = parse("vitw", {**SAMPLES["vitw"], "model": "Modèle n° 1", "language": "中文"})
    assert (row["model"], row["language"], row["repairs"]) == ("Modèle n° 1", "中文", {})


def test_half_a_surrogate_pair_is_replaced_and_counted():
    row = parse("openai", CONTENT_OF["openai"]({"content": "We won \ud83c"}))
    assert (row["messages"][0], row["repairs"]) == (
        ("user", "We won \ufffd"),
        {"lone_surrogate": 1},
    )
    row = parse("vitw", {**SAMPLES["vitw"], "model": "m\ud800"})
    assert (row["model"], row["repairs"]["lone_surrogate"]) == ("m\ufffd", 1)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (101.0, "101"),
        (Decimal("101"), "101"),
        (Decimal("101.00"), "101"),
        (UUID(int=7), str(UUID(int=7))),
        ({"$oid": "66"}, "66"),
        (float("nan"), None),
    ],
)
def test_ids_of_databases_and_of_columns_with_gaps_are_read(value, name):
    row = parse("vitw", {**SAMPLES["vitw"], "conversation_id": value, "account_id": value})
    assert (row["conversation_id"], row["account"], row["repairs"]) == (name, name, {})


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
        int(NOON.timestamp()) * 1_000_000,
        int(NOON.timestamp()) * 1_000_000_000,
        str(int(NOON.timestamp())),
        str(int(NOON.timestamp()) * 1000),
        f"{int(NOON.timestamp())}.0",
        "2024-05-01 12:00:00 UTC",
        "2024-05-01 12:00:00.000000 UTC",
        "2024-05-01 12:00:00 +0000",
        "2024-05-01 12:00:00+00",
        "2024/05/01 12:00:00",
        "Wed, 01 May 2024 14:00:00 +0200",
        "Wed May 01 2024 14:00:00 GMT+0200 (Central European Summer Time)",
        {"$date": "2024-05-01T12:00:00Z"},
        {"$date": {"$numberLong": str(int(NOON.timestamp()) * 1000)}},
    ],
)
def test_one_moment_in_many_formats_is_the_same_moment(value):
    moment = read_time(value)
    assert moment == NOON
    assert type(moment) is datetime
    assert moment.tzinfo is UTC


def test_a_date_is_read_as_midnight_utc():
    midnight = NOON.replace(hour=0)
    assert read_time("2024-05-01") == read_time(date(2024, 5, 1)) == midnight
    assert read_time("20240501") == midnight  # not a second of 1970


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
    shape = data.draw(st.sampled_from(sorted(SAMPLES)))
    raw = json.loads(json.dumps(SAMPLES[shape]))
    *path, last = data.draw(st.sampled_from(list(places(raw))))
    inner = raw
    for key in path:
        inner = inner[key]
    inner[last] = data.draw(ANY_JSON)
    assert_parsed_or_rejected(shape, raw)


def test_a_text_of_many_markers_is_read_in_linear_time():
    text = "[tool message] " * 200_000 + "end"
    assert spoken("openai", CONTENT_OF["openai"]({"content": text}))[0] == ("user", text)


def test_shapes_parse_values_converted_by_arrow():
    table = pa.Table.from_pylist([SAMPLES["vitw"] | {"created_at": NOON}])
    assert parse("vitw", table.to_pylist()[0])["created_at"] == NOON
    assert not isinstance(table.to_pylist()[0]["messages"], np.ndarray)


@pytest.mark.parametrize(
    ("odd", "lost"),
    [
        ({}, []),
        ({"created_at": "last spring"}, ["created_at"]),
        ({"created_at": None, "language": ""}, []),
        ({"account_id": ["a"], "created_at": "2024-05-01"}, ["account"]),
        ({"userId": "a"}, []),  # named as not read
    ],
)
def test_a_field_that_a_row_holds_and_that_comes_out_null_is_named(odd, lost):
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    row = {"conversation_id": "c", "messages": messages, **odd}
    shape = SHAPES["vitw"]
    assert shape.came_out_null(row, shape.read(row)) == lost
