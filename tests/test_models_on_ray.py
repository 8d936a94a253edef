"""Models that answered the same prompts, through all stages: answers meet wherever they lie."""

import gzip
import json
from collections import defaultdict
from dataclasses import replace
from itertools import combinations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from whole_runs import run_quietly, small_config, table_bytes

from vitw_ray.comparison.compare import compare_models
from vitw_ray.evaluation.planted import PlantedConfig, plant

pytestmark = pytest.mark.ray

STATISTICS = ("associations", "cooccurrence", "explicitness", "mirroring", "model_comparison")
MODELS = ("heron", "osprey", "wren")


def answered_by_each(folder, prompts: int = 120) -> str:
    """The same prompts, each answered by all models, the rows far apart."""
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
        # the most distinct labels: a lower threshold keeps some of them
        config = replace(config, labels=replace(config.labels, min_conversations=2))
        return config, run_quietly(config), output

    return run


def test_answers_to_a_prompt_meet_whatever_the_parts_and_the_tables_have_the_same_bytes(run_of):
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


def test_a_finished_run_is_compared_with_more_held_fixed(run_of, monkeypatch):
    config, result, _ = run_of(37)
    # made-up answers do not differ: take what could be tested for what is significant
    tested = lambda row, alpha: row["p_adjusted"] is not None  # noqa: E731
    monkeypatch.setattr("vitw_ray.side_by_side._is_significant", tested)
    found = list(compare_models(config, result))
    assert len(found) == 3
    for comparison in found:
        assert comparison.pair.matched_on == "prompts"
        for label, adjusted in comparison.adjusted.items():
            row = comparison.pair.also["nothing"][label]
            assert adjusted.low <= adjusted.difference <= adjusted.high
            assert adjusted.difference == pytest.approx(row["difference"], abs=0.1)
    assert any(comparison.adjusted for comparison in found)
