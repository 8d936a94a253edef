"""Real answers that people labelled as refusals: response types agree, and models differ so."""

import gzip
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.stats.contingency import association
from whole_runs import run_quietly

from vitw_ray.comparison.compare import compare_assistants
from vitw_ray.config import ConversationsConfig, Execution, LabelsConfig, RunConfig

pytestmark = [pytest.mark.ray, pytest.mark.slow]

LEAST_ASSOCIATION = 0.55  # Cramér's V of refusal and resistance; 0.63 was measured
PLAIN, GUARDED = "mistral-7b-instruct-v0.1", "llama-2-70b-chat (original system prompt)"


@pytest.fixture(scope="module")
def refusals(real_data, tmp_path_factory, local_ray):
    """A run of the baseline over `xstest`, and what people called each answer."""
    folder = tmp_path_factory.mktemp("refusals")
    with gzip.open(real_data / "models.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [row for row in map(json.loads, lines) if row["source"] == "xstest"]
    with gzip.open(folder / "xstest.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    config = RunConfig(
        conversations=ConversationsConfig(input=(str(folder / "xstest.jsonl.gz"),)),
        # One assistant moralizes twice; hiding that would hide another's cell, too.
        labels=LabelsConfig(min_conversations=2, min_accounts=1),
        execution=Execution(output=str(folder / "out")),
    )
    called = {row["conversation_id"]: row["labels"]["refusal_human"] for row in rows}
    return config, run_quietly(config), folder / "out", called


def test_what_people_call_a_refusal_is_read_as_resistance(refusals):
    _, result, output, called = refusals
    cells = np.zeros((2, 2), int)
    for file in result["tables"]["extractions"]["files"]:
        for row in pq.read_table(output / file).to_pylist():
            if row["response_type"] is not None:
                refused = called[row["conversation_id"]] != "full compliance"
                cells[int(refused), int("resistance" in row["response_type"])] += 1
    assert cells.sum() > 1_000
    assert association(cells, method="cramer") > LEAST_ASSOCIATION
    assert cells[1, 1] / cells[1].sum() > 3 * cells[0, 1] / cells[0].sum()


def test_on_the_same_prompts_the_guarded_model_moralizes_and_the_plain_one_complies(refusals):
    config, result, _, _ = refusals
    found = {
        frozenset((c.pair.model_a, c.pair.model_b)): c for c in compare_assistants(config, result)
    }
    assert len(found) == 10
    comparison = found[frozenset((PLAIN, GUARDED))]
    sign = 1 if comparison.pair.model_a == GUARDED else -1
    more = {row["label"] for row in comparison.pair.more(sign)}
    less = {row["label"] for row in comparison.pair.more(-sign)}
    assert {"moralizing", "harm avoidance"} <= more
    assert "harmful compliance" in less
    for label in comparison.adjusted:
        plain = comparison.pair.also["prompts"][label]["difference"]
        assert comparison.adjusted[label].difference == pytest.approx(plain, abs=0.02)
