"""Real vLLM on a CPU, in-process engine: decoding constrained by the schema of an answer."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from tiny_model import MAX_TOKENS, make_tiny_model

from vitw_ray.extraction.answers import Answer, Value

pytestmark = pytest.mark.slow

PROMPTS = 32
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",  # left open, threads outnumber cores and decoding slows several times
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # the engine in the process that asks
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
def completions(tmp_path_factory) -> Iterator[dict[str, list[tuple[str, str]]]]:
    pytest.importorskip("vllm")
    model = make_tiny_model(tmp_path_factory.mktemp("models") / "tiny")
    prompts = [f"Please explain rule {number} of my garden to me." for number in range(PROMPTS)]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        # vLLM changes torch and the environment for good, so it gets a process of its own.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            yield pool.submit(complete, str(model), prompts).result()


def complete(model: str, prompts: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
    """Answer every prompt with and without the schema: pairs of text and finish reason."""
    from vllm import LLM, SamplingParams
    from vllm.sampling_params import StructuredOutputsParams

    engine = LLM(
        model=model,
        max_model_len=MAX_TOKENS,
        max_num_seqs=PROMPTS,
        enforce_eager=True,
        # "auto" would turn to another backend in silence; white space would be without end.
        structured_outputs_config={"backend": "xgrammar", "disable_any_whitespace": True},
    )
    chats = [[{"role": "user", "content": prompt}] for prompt in prompts]
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
    assert [finish for _, finish in completions["schema"]] == ["stop"] * PROMPTS
    for text, _ in completions["schema"]:
        Answer.model_validate_json(text)


def test_no_facet_is_out_of_reach_of_the_grammar(completions):
    answers = [Answer.model_validate_json(text) for text, _ in completions["schema"]]
    assert {answer.subjectivity for answer in answers} == {1, 2, 3, 4}
    for facet in ("task", "human_values", "ai_values", "response_type"):
        assert any(getattr(answer, facet) for answer in answers), facet


def test_without_the_schema_the_same_model_writes_no_answer(completions):
    for text, _ in completions["free"]:
        with pytest.raises(ValueError, match="Answer"):
            Answer.model_validate_json(text)
