"""Conversations written in every shape come back, and odd rows change nothing but themselves."""

import json
from collections import Counter
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shape_writers import FIELDS, HOLDS, ONE_EXCHANGE, OTHER_MODEL, TREES, WRITERS, Planted

from vitw_ray.conversations.fields import RowRejected
from vitw_ray.conversations.grouping import grouped
from vitw_ray.conversations.rows import Reject
from vitw_ray.conversations.shapes import SHAPES, parse, recognise_rows

TEXTS = (
    "How do I tell a friend that I cannot lend money?",
    "Be honest, and kind: «nein» is a whole sentence. 😀",
    "And if she insists?\nShe often does.",
    "Then say it again [calmly], <slowly>.",
)


def planted(shape: str, number: int = 0) -> Planted:
    texts = TEXTS[:2] if shape in ONE_EXCHANGE else TEXTS
    if shape == "gemini-takeout":  # its answers are HTML
        texts = (TEXTS[0], "Be honest, and kind. 😀")
    return Planted(texts, f"c-{number}", f"p-{number}", f"a-{number}", f"m-{number}")


def rows_of(shape: str, conversations: int) -> list[dict]:
    several = [WRITERS[shape](planted(shape, number)) for number in range(conversations)]
    return json.loads(json.dumps(list(chain.from_iterable(several))))


def read(shape: str, rows: list[dict]) -> dict[tuple[int, int], dict | str]:
    """What each row gives, by its number and that of the answer: a conversation or a reason."""
    found: dict[tuple[int, int], dict | str] = {}
    answers = Counter[int]()
    for number, raw in grouped(SHAPES[shape], enumerate(rows)):
        place = number, answers[number]
        answers[number] += 1
        try:
            found[place] = raw.reason if isinstance(raw, Reject) else dict(parse(shape, raw))
        except RowRejected as rejected:
            found[place] = rejected.reason
    return found


def test_there_is_a_writer_for_every_shape():
    assert WRITERS.keys() == HOLDS.keys() == SHAPES.keys()


@pytest.mark.parametrize("shape", SHAPES)
def test_planted_conversations_come_back_with_all_fields_of_the_shape(shape):
    rows = rows_of(shape, 3)
    assert recognise_rows(rows).shape == shape
    found = [row for row in read(shape, rows).values() if isinstance(row, dict)]
    others = [row for row in found if row["model"] == OTHER_MODEL]
    assert len(others) == (3 if SHAPES[shape].several else 0)
    found = [row for row in found if row not in others]
    assert len(found) == 3
    for number, row in enumerate(found):
        expected = planted(shape, number)
        assert row["messages"] == expected.turns
        assert not row["repairs"]
        for name in FIELDS:
            if name in HOLDS[shape].split():
                assert row[name] == getattr(expected, name), name
            else:
                assert row[name] is None, name


@pytest.mark.parametrize("shape", sorted(TREES))
def test_an_answer_that_was_asked_for_anew_is_counted_and_is_no_turn(shape):
    (row,) = (row for row in read(shape, rows_of(shape, 1)).values() if isinstance(row, dict))
    assert row["regenerated"] == 1


@pytest.mark.parametrize("shape", SHAPES)
def test_every_row_is_read_or_named(shape):
    rows = rows_of(shape, 2)
    found = read(shape, rows)
    assert {number for number, _ in found} == set(range(len(rows)))
    reasons = {row for row in found.values() if isinstance(row, str)}
    assert reasons <= ({"joined", "not_a_conversation"} if len(rows) > 2 else set())


class Watched(dict):
    """A row that remembers the columns that were asked for."""

    def __init__(self, row: dict) -> None:
        super().__init__(row)
        self.seen: set[str] = set()

    def get(self, key, default=None):
        self.seen.add(key)
        return super().get(key, default)

    def __getitem__(self, key):
        self.seen.add(key)
        return super().__getitem__(key)


@pytest.mark.parametrize("shape", [name for name in SHAPES if not SHAPES[name].grouped_by])
def test_a_shape_reads_only_the_columns_that_it_names(shape):
    (row,) = map(Watched, rows_of(shape, 1))
    parse(shape, row)
    assert row.seen <= set(SHAPES[shape].columns.split())


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_needs_no_column_that_it_does_not_name(shape):
    columns = SHAPES[shape].columns.split()
    rows = rows_of(shape, 2)
    bare = [{name: value for name, value in row.items() if name in columns} for row in rows]
    assert read(shape, bare) == read(shape, rows)


ODD = st.sampled_from(
    [None, "", 7.5, True, [], ["x", "y"], {}, {"a": 1}, "\ud800", "x" * 999, -1, "1e999", [None]]
)


def optional_columns(shape: str, row: dict) -> list[str]:
    """Columns that hold no message of the conversation, nor what joins its rows."""
    needed = {
        test.split(":")[0].split(".")[0]
        for signature in SHAPES[shape].signatures
        for test in signature.split()
        if ":" in test
    }
    needed |= {path.split(".")[0] for path in SHAPES[shape].grouped_by.split()}
    needed |= {path.split(".")[0] for path in SHAPES[shape].messages.split()}
    needed |= {path.split(".")[0] for path in SHAPES[shape].answer.split()}
    fields = {getattr(SHAPES[shape], name).split(".")[0].split(" ")[0] for name in FIELDS}
    return [name for name in row if name in fields - needed]


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_an_odd_optional_field_costs_itself_whatever_the_order_of_the_rows(data):
    shape = data.draw(st.sampled_from([name for name in SHAPES if not SHAPES[name].grouped_by]))
    rows = rows_of(shape, 4)
    place = data.draw(st.integers(0, 3))
    columns = optional_columns(shape, rows[place])
    if columns:
        rows[place][data.draw(st.sampled_from(columns))] = data.draw(ODD)
    order = data.draw(st.permutations(range(4)))
    shuffled = [rows[n] for n in order]
    assert recognise_rows(shuffled).shape == shape
    whole, found = read(shape, rows_of(shape, 4)), read(shape, shuffled)
    for n, original in enumerate(order):
        row = found[n, 0]
        assert isinstance(row, dict)
        assert row["messages"] == planted(shape, original).turns
        if original != place:
            assert row == whole[original, 0]


def test_messages_as_json_text_are_read():
    row = {
        "id": "c",
        "messages": json.dumps(
            [dict(zip(("role", "content"), turn, strict=True)) for turn in planted("openai").turns]
        ),
    }
    assert recognise_rows([row]).shape == "openai"
    assert parse("openai", row)["messages"] == planted("openai").turns
