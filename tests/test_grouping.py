"""Rows of one message each are joined, within a bound, and every row is accounted for."""

import pytest

from vitw_ray.conversations import grouping
from vitw_ray.conversations.grouping import grouped
from vitw_ray.conversations.rows import Reject
from vitw_ray.conversations.shapes import SHAPES, parse, recognise_rows

ROWS = [
    {"conversation_id": "a", "turn": 1, "role": "assistant", "content": "Hi"},
    {"conversation_id": "b", "turn": 0, "role": "user", "content": "Hello"},
    {"conversation_id": "a", "turn": 0, "role": "user", "content": "Hello"},
    {"conversation_id": None, "turn": 0, "role": "user", "content": "Alone"},
    {"conversation_id": "b", "turn": 1, "role": "assistant", "content": "Hi"},
]


def joined(rows):
    return dict(grouped(SHAPES["message-rows"], enumerate(rows)))


def test_rows_are_joined_in_the_order_of_their_turns_wherever_they_stand():
    found = joined(ROWS)
    assert recognise_rows(ROWS).shape == "message-rows"
    for number, name in ((0, "a"), (1, "b")):
        raw = found[number]
        assert isinstance(raw, dict)
        row = parse("message-rows", raw)
        assert row["messages"] == [("user", "Hello"), ("assistant", "Hi")]
        assert row["conversation_id"] == name
    assert found[2] == found[4] == Reject("joined")
    assert found[3] == ROWS[3]


def test_a_reject_is_passed_on():
    rows = [(0, Reject("not_json")), *enumerate(ROWS[:3], 1)]
    assert dict(grouped(SHAPES["message-rows"], rows))[0] == Reject("not_json")


@pytest.mark.parametrize("bound", ["MAX_GROUPED_ROWS", "MAX_GROUPED_CHARS"])
def test_what_is_over_the_bound_is_rejected_with_its_reason(monkeypatch, bound):
    monkeypatch.setattr(grouping, bound, 2 if bound == "MAX_GROUPED_ROWS" else 40)
    found = joined(ROWS * 20)
    assert len(found) == 100
    assert Reject("too_many_messages_to_join") in found.values()


def test_rows_of_other_shapes_are_not_held():
    rows = ((number, {"messages": []}) for number in range(3))
    stream = grouped(SHAPES["openai"], rows)
    assert next(stream) == (0, {"messages": []})
    assert next(rows)[0] == 1
