"""Assistants that answered the same prompts: answers are paired across parts in all stages."""

import gzip
import json
import re
from collections import defaultdict
from dataclasses import replace
from itertools import combinations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from whole_runs import run_quietly, small_config, table_bytes

from vitw_ray.cli.main import main
from vitw_ray.comparison.compare import compare_assistants
from vitw_ray.evaluation.planted import PlantedConfig, plant

pytestmark = pytest.mark.ray

STATISTICS = ("associations", "cooccurrence", "explicitness", "mirroring", "model_comparison")
MODELS = ("heron", "osprey", "wren")


def answered_by_each(folder, prompts: int = 120) -> str:
    """The same prompts, each answered by all assistants; rows of a prompt are far apart."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, model in enumerate(MODELS):
        for row, _ in plant(PlantedConfig(), 0, prompts):
            last = {"role": "assistant", "content": f"{number} {row['messages'][-1]['content']}"}
            changes = {"conversation_id": f"{model}-{row['conversation_id']}", "model": model}
            changes |= {
                "prompt_id": row["conversation_id"],
                "messages": [*row["messages"][:-1], last],
            }
            rows.append(row | changes)
    path = folder / "answers.jsonl.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return str(path)


@pytest.fixture(scope="module")
def run_of(tmp_path_factory, local_ray):
    folder = tmp_path_factory.mktemp("models")
    answers = answered_by_each(folder / "in")

    def run(rows_per_part: int):
        output = folder / f"out-{rows_per_part}"
        config = small_config([answers], output, folder / "secret", rows_per_part=rows_per_part)
        # A lower threshold keeps some of the many distinct labels.
        config = replace(config, labels=replace(config.labels, min_conversations=2))
        return config, run_quietly(config), output

    return run


@pytest.mark.slow
def test_tables_have_the_same_bytes_whatever_parts_the_answers_to_a_prompt_are_in(run_of):
    _, result, output = run_of(37)
    files = result["tables"]["extractions"]["files"]
    assert len(files) > 5
    rows = pa.concat_tables([pq.read_table(output / file) for file in files]).to_pylist()
    models_of = defaultdict(set)
    for row in rows:
        if row["is_subjective"]:
            models_of[row["prompt_id"]].add(row["model"])
    paired = pq.read_table(output / result["tables"]["model_comparison"]["files"][0])
    paired = [row for row in paired.to_pylist() if row["matched_on"] == "prompts"]
    assert {frozenset((r["model_a"], r["model_b"])) for r in paired} == {
        frozenset(pair) for pair in combinations(MODELS, 2)
    }
    for row in paired:
        both = {row["model_a"], row["model_b"]}
        assert row["conversations_a"] == sum(both <= models for models in models_of.values())
    one_part = table_bytes(run_of(4096)[2])
    many_parts = table_bytes(output)
    assert {name: many_parts[name] for name in STATISTICS} == {
        name: one_part[name] for name in STATISTICS
    }
    assert not list(output.glob("private/5_statistics-*/prompts/*"))


def test_a_finished_run_is_compared_with_adjusted_differences(run_of, monkeypatch):
    config, result, _ = run_of(37)
    # The invented answers do not differ, so treat all tested differences as significant.
    tested = lambda row, alpha: row["p_adjusted"] is not None  # noqa: E731
    monkeypatch.setattr("vitw_ray.side_by_side._is_significant", tested)
    found = list(compare_assistants(config, result))
    assert len(found) == 3
    for comparison in found:
        assert comparison.pair.matched_on == "prompts"
        for label, adjusted in comparison.adjusted.items():
            row = comparison.pair.also["nothing"][label]
            assert adjusted.low <= adjusted.difference <= adjusted.high
            assert adjusted.difference == pytest.approx(row["difference"], abs=0.1)
    assert any(comparison.adjusted for comparison in found)


def test_the_command_prints_every_two_assistants_and_ends_with_their_number(
    run_of, monkeypatch, capsys
):
    config, _, output = run_of(37)
    tested = lambda row, alpha: row["p_adjusted"] is not None  # noqa: E731
    monkeypatch.setattr("vitw_ray.side_by_side._is_significant", tested)
    flags = [
        *("--preset", "smoke", "--input", *config.conversations.input, "--output", str(output)),
        *("--secret-file", config.execution.secret_file or "", "--rows-per-part", "37"),
        *("--embedder", "hashing", "--min-conversations", "2"),
    ]
    assert main(["compare-assistants", *flags]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines[5:12]] == ["done"] * 7
    heads = [line for line in lines if line.endswith("of the commonest values shared")]
    pairs = {frozenset(name for name in MODELS if f"{name} (" in line) for line in heads}
    assert pairs == {frozenset(pair) for pair in combinations(MODELS, 2)}
    shown = [line for line in lines if " shows more, matched on prompts: " in line]
    assert shown
    assert re.search(r"[a-z] [+-]\d+\.\d( \[[+-]\d+\.\d\])?(,|$)", shown[0])
    assert json.loads(lines[-1])["pairs"] == 3
