"""`--map` reads rows of an unknown shape, and says what is wrong with it."""

import pytest

from vitw_ray.column_map import column_map
from vitw_ray.config import ConversationsConfig
from vitw_ray.conversations.shapes import SHAPES, parse, recognise_rows
from vitw_ray.errors import ConfigError

ROW = {
    "payload": {"turns": [{"who": "Human", "text": "Hello"}, {"who": "bot", "text": "Hi"}]},
    "chat": {"ids": [7, 8], "opened": "2024-05-01"},
    "meta": '{"model": "m", "user": "u"}',
}
TEXT = (
    "messages=payload.turns,role=who,content=text,conversation_id=chat.ids.1,model=meta.model,"
    "account=meta.user,created_at=chat.opened"
)


def shape_of(text: str) -> str:
    return ConversationsConfig(map=text).shape


def test_the_fields_of_a_map_are_read():
    row = parse(shape_of(TEXT), ROW)
    assert row["messages"] == [("user", "Hello"), ("assistant", "Hi")]
    assert (row["conversation_id"], row["model"], row["account"]) == ("8", "m", "u")
    assert row["created_at"] is not None


def test_a_prompt_and_its_answer_are_mapped():
    row = {"question": "Hello", "reply": {"text": "Hi"}}
    found = parse(shape_of("prompt=question,answer=reply.text"), row)
    assert found["messages"] == [("user", "Hello"), ("assistant", "Hi")]


def test_the_columns_of_a_map_are_those_that_are_loaded():
    assert sorted(SHAPES[shape_of(TEXT)].columns.split()) == ["chat", "meta", "payload"]
    assert SHAPES[shape_of(TEXT)].name == "mapped"


def test_without_role_and_content_the_usual_keys_are_tried():
    turns = [{"from": "human", "value": "Hello"}, {"role": "assistant", "content": "Hi"}]
    row = parse(shape_of("messages=a.b"), {"a": {"b": turns}})
    assert row["messages"] == [("user", "Hello"), ("assistant", "Hi")]


def test_content_alone_is_mapped():
    turns = [{"role": "user", "said": {"as": "Hello"}}, {"role": "assistant", "said": {"as": "Hi"}}]
    row = parse(shape_of("messages=a,content=said.as"), {"a": turns})
    assert row["messages"] == [("user", "Hello"), ("assistant", "Hi")]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "''"),
        ("messages", "messages"),
        ("messages=", "messages"),
        ("messages=a b", "a b"),
        ("messages=a..b", "a..b"),
        ("turns=a", "turns"),
        ("messages=a,messages=b", "twice"),
        ("role=a", "messages"),
        ("prompt=a", "answer"),
        ("messages=a,prompt=b", "prompt"),
        ("prompt=a,answer=b,role=c", "role"),
    ],
)
def test_a_wrong_map_is_an_error_that_names_the_part_and_the_fix(text, named):
    with pytest.raises(ConfigError) as error:
        ConversationsConfig(map=text)
    assert named in error.value.problem
    assert "--map" in error.value.problem
    assert error.value.fix


def test_a_map_and_a_named_shape_contradict_each_other():
    with pytest.raises(ConfigError, match="--map and --source-format vitw"):
        ConversationsConfig(map=TEXT, source_format="vitw")


def test_a_map_is_read_as_it_is_written():
    assert column_map(" messages=a , role=b")["role"] == "b"


@pytest.mark.parametrize(
    ("row", "line"),
    [
        (
            {"payload": {"turns": [{"who": "user", "said": "Hello there"}]}},
            "messages=payload.turns,role=who,content=said",
        ),
        ({"question": "Hello", "reply": "Hi"}, "prompt=question,answer=reply"),
        ({"a secret text": 1}, "prompt=question,answer=answer"),
        ({}, "prompt=question,answer=answer"),
    ],
)
def test_a_file_of_an_unknown_shape_comes_with_a_map_to_start_from(row, line):
    found = recognise_rows([row])
    assert (found.shape, found.map_line) == (None, line)
    assert column_map(found.map_line)
