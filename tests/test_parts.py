"""Parts of stage 1: how many there are, what a few more rows change, and what a worker holds."""

import itertools
from collections import Counter

import pytest
from reading_stage import read_stage

from vitw_ray import hash_buckets
from vitw_ray.conversations import parts, runs


def row(n):
    turns = [{"role": "user", "content": f"q {n}"}, {"role": "assistant", "content": f"a {n}"}]
    return {"conversation_id": f"c{n}", "messages": turns}


@pytest.fixture
def read(monkeypatch, tmp_path):
    count = itertools.count()

    def run(rows, **options):
        folder = tmp_path / str(next(count))
        return read_stage(monkeypatch, folder, {"a.jsonl": rows}, **options)

    return run


def files_of(stage, table):
    return [file for file in stage.report.files if file.table == table]


def test_parts_without_a_new_row_keep_their_bytes(read):
    before = read([row(n) for n in range(400)], rows_per_part=4).bytes
    after = read([row(n) for n in range(404)], rows_per_part=4).bytes
    assert len(before) == len(after) == 128
    assert sum(a != b for a, b in zip(before, after, strict=True)) <= 4


def test_rejects_make_no_further_parts_of_conversations_and_are_held_a_few_at_a_time(
    read, monkeypatch
):
    monkeypatch.setattr(parts, "REJECT_ROWS", 16)
    rows = [row(n) for n in range(10)] + [{}] * 400
    stage = read(rows, rows_per_part=8)
    assert len(files_of(stage, "conversations")) == 2
    rejects = files_of(stage, "rejects")
    assert len(rejects) == 32
    assert max(file.rows for file in rejects) <= 40
    assert stage.rejects == {("a.jsonl", n): "messages_missing" for n in range(10, 410)}
    assert stage.report.rejected == {"messages_missing": 400}


@pytest.mark.parametrize("options", [{}, {"sample": 20}, {"identical_rows": "drop"}])
def test_no_size_of_runs_and_buckets_changes_a_byte(read, monkeypatch, options):
    rows = [row(n % 130) for n in range(150)] + [{}] * 9
    rows += [{**row(n % 7), "conversation_id": None} for n in range(30)]
    rows.append({**row(0), "messages": [*row(0)["messages"], *row(1)["messages"]]})
    whole = read(rows, rows_per_part=16, **options)
    monkeypatch.setattr(runs, "RUN_ROWS", 4)
    monkeypatch.setattr(hash_buckets, "DIRECT_RUNS", 2)
    for most in (1, 128):
        monkeypatch.setattr(hash_buckets, "MOST_RUNS_IN_A_GROUP", most)
        merged = read(rows, rows_per_part=16, **options)
        assert [f.sha256 for f in merged.report.files] == [f.sha256 for f in whole.report.files]
    assert len(Counter(whole.rejects.values())) > 1
