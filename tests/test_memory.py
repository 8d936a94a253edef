"""Memory of an actor: estimated from the model's files, shown in the plan, checked before a run."""

import json
from pathlib import Path

import pytest

from vitw_ray.config import Execution, ExtractionConfig, RunConfig
from vitw_ray.errors import ConfigError
from vitw_ray.inference.memory import (
    CONTEXTS,
    GIB,
    KV_SPACE,
    LARGEST_KV,
    LIBRARIES_GIB,
    actor_memory,
    kv_cache_bytes,
)
from vitw_ray.planning import _memory
from vitw_ray.preflight import check_memory, machine_memory

SMOLLM2 = {  # 135M
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "hidden_size": 576,
}
BYTES_PER_TOKEN = 23_040  # of this model: 2 GiB held 2,912 blocks of 32 tokens, as vLLM said


@pytest.fixture(autouse=True)
def no_space_from_outside(monkeypatch):
    monkeypatch.delenv(KV_SPACE, raising=False)


@pytest.fixture
def model(tmp_path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(SMOLLM2))
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.truncate(GIB // 4)  # sparse
    return tmp_path


def config(model: Path | str, actors: int = 2, **extraction) -> RunConfig:
    return RunConfig(
        extraction=ExtractionConfig(extractor="vllm", model=str(model), **extraction),
        execution=Execution(actors=actors),
    )


def test_the_cache_has_the_size_that_the_engine_gives_a_token():
    one = kv_cache_bytes(config("org/name"), SMOLLM2) // CONTEXTS
    assert one % BYTES_PER_TOKEN == 0
    assert pytest.approx(2 * GIB / BYTES_PER_TOKEN, rel=0.001) == 2912 * 32


def test_the_cache_holds_some_contexts_is_bounded_and_never_under_one(model):
    long = config(model, transcript_tokens=60_000)
    assert kv_cache_bytes(config(model), SMOLLM2) < LARGEST_KV
    assert kv_cache_bytes(long, SMOLLM2) == LARGEST_KV
    longer = config(model, transcript_tokens=200_000)
    assert kv_cache_bytes(longer, SMOLLM2) > 200_000 * BYTES_PER_TOKEN
    assert kv_cache_bytes(config(model), SMOLLM2, 150_000) > 150_000 * BYTES_PER_TOKEN


def test_a_space_that_the_user_sets_is_counted(model, monkeypatch):
    given = config(model, engine_kwargs='{"kv_cache_memory_bytes": 1000}')
    assert kv_cache_bytes(given, SMOLLM2) == 1000
    monkeypatch.setenv(KV_SPACE, "3")
    assert kv_cache_bytes(given, SMOLLM2) == 3 * GIB


def test_the_plan_states_weights_cache_and_libraries(model):
    memory = actor_memory(config(model))
    assert memory is not None
    assert memory.weights == 0.25
    assert memory.total == pytest.approx(0.25 + memory.kv_cache + LIBRARIES_GIB)
    (line,) = _memory(config(model))
    assert f"about {memory.total:.1f} GiB for each actor: 0.2 weights" in line


def test_no_estimate_is_made_where_nothing_is_known():
    assert actor_memory(RunConfig()) is None
    assert actor_memory(config("org/name")) is None
    assert _memory(RunConfig()) == []


def test_actors_that_exceed_the_machine_are_refused_with_the_number_that_fits(model):
    each = actor_memory(config(model)).total  # type: ignore[union-attr]
    check_memory(config(model, actors=3), 3 * each, 3 * each)
    with pytest.raises(ConfigError, match="--actors 4 need about") as caught:
        check_memory(config(model, actors=4), 3.5 * each, 3.5 * each)
    assert "set --actors 3" in caught.value.fix
    with pytest.raises(ConfigError) as caught:
        check_memory(config(model), 0.5 * each, 0.5 * each)
    assert "--actors" not in caught.value.fix


def test_actors_that_exceed_only_what_is_free_are_logged(model, log_lines):
    each = actor_memory(config(model)).total  # type: ignore[union-attr]
    check_memory(config(model), 4 * each, each)
    assert "free at present" in log_lines[0]


def test_the_memory_of_this_machine_is_found():
    total, free = machine_memory()
    assert 0 < free <= total
