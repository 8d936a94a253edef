"""What is odd in a row costs itself alone, and is counted where a person looks."""

import itertools

import pytest
from reading_stage import read_stage
from test_versions import said

from vitw_ray.config import RunConfig
from vitw_ray.keys import Keyed
from vitw_ray.planning import describe
from vitw_ray.stages import RunSetup, SourceFile
from vitw_ray.storage import Storage

PARTS = [{"type": "hologram"}, None, {"type": "text", "text": "Be kind."}]


def row(number, **more):
    messages = said(f"Question {number}?", "Be honest.")
    about = {"conversation_id": f"c{number}", "account_id": f"a{number}", "model": "m"}
    return {**about, "created_at": "2024-05-01T12:00:00Z", "messages": messages, **more}


@pytest.fixture
def read(monkeypatch, tmp_path):
    count = itertools.count()
    return lambda rows: read_stage(monkeypatch, tmp_path / str(next(count)), {"a.jsonl": rows})


def test_odd_parts_and_fields_cost_themselves_and_are_counted_by_kind(read):
    odd = [
        row(0, created_at="05/01/2024 12:00 PM"),
        row(1, created_at=0),
        row(2, account_id={"x": [1]}),
        row(
            3, messages=[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": PARTS}]
        ),
        row(4, messages=[*said("Hi", "Hello."), {"role": "narrator", "content": "Later"}]),
        row(5),
    ]
    stage = read(odd)
    details = stage.report.details
    assert not stage.rejects
    assert details["repaired"] == {
        "account_unreadable": 1,
        "part_unknown": 2,
        "role_unknown_narrator": 1,
        "time_out_of_range": 1,
        "time_unreadable": 1,
    }
    assert details["came_out_null"] == {"account": 1, "created_at": 2}


def test_the_plan_names_what_is_not_read(tmp_path):
    files = tuple(SourceFile(name, name, 10, "") for name in ("a.jsonl", "b.jsonl"))
    setup = RunSetup(
        RunConfig(),
        Storage(str(tmp_path)),
        Keyed(b"a key for tests"),
        1,
        inputs=files,
        shapes={"a.jsonl": "vitw", "b.jsonl": "several-answers"},
        passed_over={"notes.pdf": "a PDF", "user.json": "no conversations"},
        not_read=("score", "user", "Jane_Roe"),
    )
    told = [line.strip() for line in describe(setup, [])]
    assert told[0].endswith("shape: several-answers, vitw")
    assert "passed over: 2 files (1 a PDF: notes.pdf; 1 no conversations: user.json)" in told
    assert "not read: score, user, 1 of the input's own" in told
    assert "each answer of a row is a conversation (1 file)" in told
    assert any("growing histories" in line and "identical rows" in line for line in told)
