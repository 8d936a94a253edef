"""A row with the answers of several assistants to one prompt makes a conversation of each."""

import itertools
import json
import re
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from types import SimpleNamespace

import pytest
from reading_stage import read_stage
from vitw_check.contents import check_answers
from vitw_check.rows import check_conservation, check_rejects
from whole_runs import small_config

from vitw_ray.conversations import grouping
from vitw_ray.conversations.inspection import inspect_input, lines
from vitw_ray.conversations.shapes import SHAPES, parse, recognise_rows
from vitw_ray.facts import oddities
from vitw_ray.pipeline import run as run_pipeline

MODELS = ("alpaca-7b", "falcon-40b", "gpt-4", "starchat")


def asked(number, *answers, **more):
    """A row of UltraFeedback."""
    completions = [
        {"model": model, "response": text, "annotations": {"honesty": {"Rating": "4"}}}
        for model, text in answers
    ]
    row = {"source": "sharegpt", "instruction": f"Question {number}?", **more}
    return {**row, "models": [model for model, _ in answers], "completions": completions}


def full(number):
    return asked(number, *((model, f"{model} says {number}.") for model in MODELS))


@pytest.fixture
def read(monkeypatch, tmp_path):
    """Run the stage over rows in one file, or over several files."""
    count = itertools.count()

    def run(rows, **options):
        files = rows if isinstance(rows, dict) else {"a.jsonl": rows}
        folder = tmp_path / str(next(count))
        return read_stage(monkeypatch, folder, files, source_format="several-answers", **options)

    return run


def conversations(stage):
    return stage.table("conversations").to_pylist()


def accounted(stage):
    """Rows and further answers less conversations and rejects: 0."""
    report = stage.report
    made = report.rows_in + report.details["further_answers"]
    return made - report.rows_out - sum(report.rejected.values())


def test_each_answer_is_a_conversation_with_its_model_and_the_prompt_of_its_row(read):
    stage = read([full(n) for n in range(3)])
    rows = conversations(stage)
    assert len({row["conversation_id"] for row in rows}) == len(rows) == 12
    assert Counter(row["model"] for row in rows) == dict.fromkeys(MODELS, 3)
    assert (stage.report.rows_in, stage.report.details["further_answers"]) == (3, 9)
    by_prompt = defaultdict(set)
    for row in rows:
        by_prompt[row["prompt_id"]].add(row["messages"][0]["content"])
        assert row["messages"][1]["content"].startswith(f"{row['model']} says")
    assert sorted(map(len, by_prompt.values())) == [1, 1, 1]
    assert accounted(stage) == 0


def test_a_prompt_keeps_the_id_that_its_row_has(read):
    rows = conversations(read([full(1) | {"id": "p-7"}, full(2) | {"prompt_id": 8}]))
    assert Counter(row["prompt_id"] for row in rows) == {"p-7": 4, "8": 4}


def test_ids_do_not_depend_on_the_order_of_answers_rows_or_files(read):
    rows = [full(n) for n in range(4)]
    turned = [{**row, "completions": row["completions"][::-1]} for row in rows[::-1]]
    split = {"a.jsonl": turned[:1], "b/c.jsonl.gz": turned[1:]}
    assert conversations(read(rows)) == conversations(read(turned)) == conversations(read(split))


def test_an_odd_answer_costs_itself(read):
    row = full(0)
    row["completions"][1]["response"] = None
    row["completions"][2] = None
    row["completions"][3]["model"] = 7
    stage = read([row, full(1)])
    rejects = stage.table("rejects").to_pylist()
    assert [(r["row"], r["reason"]) for r in rejects] == [(0, "no_assistant_turn")] * 2
    kept = [row for row in conversations(stage) if row["messages"][0]["content"] == "Question 0?"]
    assert [row["model"] for row in kept if row["model"]] == ["alpaca-7b"]
    assert len(kept) == 2
    assert accounted(stage) == 0


def test_a_row_without_answers_is_one_reject(read):
    stage = read([asked(0), full(1) | {"completions": None}, full(2)])
    assert stage.rejects == {("a.jsonl", n): "no_assistant_turn" for n in (0, 1)}
    assert accounted(stage) == 0


def test_a_row_of_very_many_answers_is_one_reject(read):
    many = asked(0, *(("m", f"answer {n}") for n in range(grouping.MAX_ANSWERS + 1)))
    stage = read([many, full(1)])
    assert stage.rejects == {("a.jsonl", 0): "too_many_answers"}
    assert (stage.report.rows_out, accounted(stage)) == (4, 0)


def test_the_same_answer_of_one_model_twice_is_counted(read):
    row = asked(0, ("m", "the same"), ("m", "the same"), ("n", "the same"))
    stage = read([row])
    assert (stage.report.rows_out, stage.report.details["identical"]) == (3, 1)
    dropped = read([row], identical_rows="drop")
    assert dropped.report.rejected == {"identical": 1}
    assert accounted(stage) == accounted(dropped) == 0


def test_answers_are_told_apart_from_rows_on_the_page(read):
    told = oddities(read([full(n) for n in range(3)]).report.details)
    assert "answers beside the first one of a row, a conversation each: 9" in told
    assert not any("beside the first" in line for line in oddities({"further_answers": 0}))


def test_inspect_counts_the_rows_and_the_conversations_in_them(tmp_path):
    rows = [full(n) for n in range(5)]
    (tmp_path / "chats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = inspect_input((str(tmp_path),), "auto", 1000)
    counted = found.shapes["several-answers"].as_json()
    assert (counted["rows"], counted["conversations"], counted["further_answers"]) == (5, 20, 15)
    assert counted["models"] == dict.fromkeys(MODELS, 5)
    told = "\n".join(lines(found))
    assert "1 file, 5 rows read" in told
    assert "conversations 20 (rows hold 15 further answers)" in told


def test_nectar_is_read_with_the_conversation_before_the_answers():
    answers = [{"answer": "Because.", "model": "a", "rank": 1.0}, {"answer": "No.", "model": "b"}]
    row = {
        "prompt": "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Why?\n\nAssistant: ",
        "answers": answers,
        "turns": 2,
    }
    assert recognise_rows([row]).shape == "several-answers"
    shape = SHAPES["several-answers"]
    found = [
        parse(shape.name, raw)
        for _, raw in grouping.grouped(shape, [(0, row)])
        if isinstance(raw, dict)
    ]
    assert [row["model"] for row in found] == ["a", "b"]
    before = [("user", "Hi"), ("assistant", "Hello"), ("user", "Why?")]
    assert [row["messages"] for row in found] == [
        [*before, ("assistant", answer)] for answer in ("Because.", "No.")
    ]


def checked(stage, folder):
    """A finished stage as the checker sees a run."""
    return SimpleNamespace(
        manifests={
            "conversations": {
                "rows_in": stage.report.rows_in,
                "rows_out": stage.report.rows_out,
                "rejected": stage.report.rejected,
                "details": dict(stage.report.details),
            },
            "extractions": {"rows_in": stage.report.rows_out, "rows_out": stage.report.rows_out},
        },
        inputs=[
            {
                "name": path.name,
                "url": str(path),
                "size_bytes": path.stat().st_size,
                "content": "lines",
                "shape": "several-answers",
            }
            for path in sorted((folder / "in").iterdir())
        ],
        rows_by_file={"a.jsonl": stage.report.rows_in},
        entries=lambda table: [{"path": table}],
        part=lambda table: stage.table(table).to_pylist(),
        rows=lambda table, columns=None: stage.table(
            "rejects" if table == "rejects" else "conversations"
        ).to_pylist(),
    )


@pytest.fixture
def run(read, tmp_path):
    row = full(0)
    row["completions"][1]["response"] = row["completions"][2]["response"] = None
    return checked(read([row, full(1), full(2)]), tmp_path / "0")


JOBS = Path(__file__).parents[1] / "jobs"


@pytest.mark.ray
def test_a_whole_run_states_the_answers_and_the_checker_agrees(tmp_path, local_ray):
    rows = [full(n) for n in range(30)]
    rows[7]["completions"][0]["response"] = ""
    rows[8]["completions"] = []
    (tmp_path / "chats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    inputs, output = [str(tmp_path / "chats.jsonl")], tmp_path / "out"
    plan: list[str] = []
    config = small_config(inputs, output, tmp_path / "secret")
    result = run_pipeline(config, announce=plan.append)
    assert "        each answer of a row is a conversation (1 file)" in plan
    totals, (read, *_) = result["totals"], result["stages"]
    assert (totals["rows_read"], totals["conversations"], totals["rejected"]) == (30, 115, 2)
    assert read["details"]["further_answers"] == 87
    page = (output / result["report"]).read_text()
    assert "a conversation each: 87" in re.sub(r"\s+", " ", page)
    done = subprocess.run(
        [sys.executable, str(JOBS / "check.py"), str(output)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


CHECKS = (check_conservation, check_rejects, check_answers)


def test_the_checker_counts_the_answers_of_a_row(run):
    assert [problem for check in CHECKS for problem in check(run)] == []


@pytest.mark.parametrize("stated", [8, 10])
def test_the_checker_tells_answers_that_are_counted_wrongly(run, stated):
    run.manifests["conversations"]["details"]["further_answers"] = stated
    told = [problem for check in CHECKS for problem in check(run)]
    assert told == [
        f"rows and further answers: stated {3 + stated}, found 12",
        f"9 answers stand beside the first one of their row, and {stated} are counted",
    ]


def test_a_row_is_rejected_as_often_as_it_has_answers_at_most(run):
    run.manifests["conversations"]["details"]["further_answers"] = 0
    (told,) = check_rejects(run)
    assert told == "rejects row 1: the same row of the same file a second time"
