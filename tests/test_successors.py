"""The checker goes by content: what stayed in place of a superseded row is its latest version."""

import itertools
import json
import random
from pathlib import Path

import pytest
from reading_stage import read_stage
from test_versions import row
from vitw_check.problems import Note
from vitw_check.successors import check_successors


class Finished:
    """A finished stage as the checker sees a run."""

    def __init__(self, stage, folder: Path, **settings) -> None:
        self.tables = {name: stage.table(name).to_pylist() for name in ("conversations", "rejects")}
        chosen = {"growing_histories": "longest", "sample": None, "max_per_account": None}
        self.run = {"config": {"conversations": chosen | settings}}
        files = sorted(path for path in (folder / "in").rglob("*") if path.is_file())
        self.inputs = [
            {
                "name": path.name,
                "url": str(path),
                "size_bytes": path.stat().st_size,
                "content": "gzip lines" if path.suffix == ".gz" else "lines",
            }
            for path in files
        ]
        self.rows_by_file = {
            source["name"]: n
            for source, n in zip(self.inputs, stage.report.details["rows_by_file"], strict=True)
        }

    def rows(self, table, columns):
        return iter(self.tables[table])

    def swap(self, stays: int, goes: int, name: str) -> None:
        """Let another row of a file stay: the reject becomes the conversation and the reverse."""
        (path,) = (Path(source["url"]) for source in self.inputs)
        raws = [json.loads(line) for line in path.read_text().splitlines()]
        reject = next(r for r in self.tables["rejects"] if r["row"] == stays)
        reject["row"] = goes
        kept = next(r for r in self.tables["conversations"] if r["conversation_id"] == name)
        kept["messages"] = raws[stays]["messages"]


@pytest.fixture
def finish(monkeypatch, tmp_path):
    count = itertools.count()

    def run(rows, **settings) -> Finished:
        folder = tmp_path / str(next(count))
        files = rows if isinstance(rows, dict) else {"a.jsonl": rows}
        return Finished(read_stage(monkeypatch, folder, files, **settings), folder, **settings)

    return run


def problems(run) -> list[str]:
    return [text for text in check_successors(run) if not isinstance(text, Note)]


def notes(run) -> list[str]:
    return [text for text in check_successors(run) if isinstance(text, Note)]


DATED = [
    row("x", "q", "first answer", created_at="2025-03-01T10:00:00Z"),
    row("x", "q", "newest", created_at="2025-03-03T10:00:00Z"),
    row("y", "something else", "a"),
]


def test_the_latest_version_is_the_right_successor(finish):
    assert problems(finish(DATED)) == []


def test_an_older_version_in_its_place_is_told(finish):
    run = finish(DATED)
    run.swap(stays=0, goes=1, name="x")
    told = ["a.jsonl row 1: superseded, and what stayed is an older or shorter version"]
    assert problems(run) == told


def test_without_times_a_shorter_version_in_its_place_is_told(finish):
    run = finish([row("x", "q", "long", "b", "c"), row("x", "q", "d")])
    assert problems(run) == []
    run.swap(stays=1, goes=0, name="x")
    assert len(problems(run)) == 1


def test_of_versions_with_as_many_turns_the_longest_text_stays(finish):
    run = finish([row("x", "q", "the longest answer"), row("x", "q", "short")])
    assert problems(run) == []
    run.swap(stays=1, goes=0, name="x")
    assert len(problems(run)) == 1


TURNS = [f"turn {n}" for n in range(8)]
GROWING = [row(None, *TURNS[:length]) for length in (2, 4, 6, 8)]


def test_a_growing_history_is_held_by_the_conversation_that_stayed(finish):
    assert problems(finish(GROWING)) == []


def test_a_history_that_no_conversation_begins_with_is_told(finish):
    run = finish(GROWING)
    (kept,) = run.tables["conversations"]
    kept["messages"][2] = {"role": "user", "content": "something else"}
    run.inputs[0]["url"] = _without_last_row(run)
    run.inputs[0]["size_bytes"] = Path(run.inputs[0]["url"]).stat().st_size
    run.rows_by_file["a.jsonl"] -= 1
    told = "superseded, and no conversation holds its messages"
    # The first row is still a beginning of what stayed, and the second of the third.
    assert problems(run) == [f"a.jsonl row 2: {told}"]


def _without_last_row(run) -> str:
    path = Path(run.inputs[0]["url"])
    shorter = path.with_name("shorter.jsonl")
    shorter.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    return str(shorter)


def test_a_history_of_another_assistant_is_no_successor(finish):
    run = finish([row(None, *TURNS[:2], model="m"), row(None, *TURNS, model="m")])
    assert problems(run) == []
    for kept in run.tables["conversations"]:
        kept["model"] = "n"
    lines = Path(run.inputs[0]["url"]).read_text()
    before, after = lines.splitlines(keepends=True)
    Path(run.inputs[0]["url"]).write_text(before + after.replace('"m"', '"n"'))
    assert len(problems(run)) == 1


def test_what_lies_beyond_the_rows_compared_is_a_note(finish):
    run = finish(GROWING)
    run.tables["conversations"] = []
    run.inputs[0]["url"] = _without_last_row(run)
    run.inputs[0]["size_bytes"] = Path(run.inputs[0]["url"]).stat().st_size
    assert problems(run) == []
    assert notes(run) == ["of 1 superseded rows the successor lies beyond the rows compared"]


def test_correct_runs_pass_whatever_their_rows_are(finish):
    for seed in range(12):
        dice = random.Random(seed)
        rows = []
        for _ in range(40):
            texts = [f"{dice.choice('ab')} {turn}" for turn in range(dice.choice((2, 4, 6)))]
            about = {"model": dice.choice(("m", "n", None))}
            if dice.random() < 0.5:
                about["created_at"] = f"2025-03-0{dice.randrange(1, 4)}T10:00:00Z"
            if dice.random() < 0.3:
                about["account_id"] = dice.choice("uv")
            if dice.random() < 0.1:
                texts[-1] = "<think>why</think>[so]"
            rows.append(row(dice.choice((None, f"c{dice.randrange(6)}")), *texts, **about))
        settings = dice.choice(({}, {"growing_histories": "all"}, {"sample": 5}))
        files = {"a.jsonl": rows[:15], "b.jsonl.gz": rows[15:]}
        assert problems(finish(files, **settings)) == [], seed
