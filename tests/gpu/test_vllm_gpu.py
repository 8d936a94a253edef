"""On a GPU, the engine has our settings and gives the same guarantees as on a CPU."""

import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from tiny_model import make_tiny_model, terse

from vitw_ray.config import Execution, ExtractionConfig, RunConfig
from vitw_ray.evaluation.planted import PlantedConfig, plant
from vitw_ray.records import Conversation, Message

pytestmark = pytest.mark.gpu

ROWS = 200


def extract_on_gpu(folder: Path) -> tuple[list, dict]:
    from vitw_ray.extraction.answers import in_order
    from vitw_ray.extraction.extractors import make_extractor

    make_tiny_model(folder)
    config = RunConfig(
        extraction=ExtractionConfig(
            extractor="vllm",
            model=str(folder),
            max_output_tokens=2_000,
            sampling_kwargs=terse(folder),
            engine_kwargs=json.dumps({"gpu_memory_utilization": 0.5}),
        ),
        execution=Execution(device="gpu", gpus_per_actor=1.0),
    )
    extractor = make_extractor(config)
    conversations = [
        Conversation(
            row["conversation_id"],
            tuple(Message(turn["role"], turn["content"]) for turn in row["messages"]),
        )
        for row, _ in plant(PlantedConfig(), 0, ROWS)
    ]
    found = in_order(extractor, conversations), dict(extractor.describe())
    extractor.close()
    return found


@pytest.fixture(scope="module")
def extracted(gpu, tmp_path_factory):
    pytest.importorskip("vllm")
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(extract_on_gpu, tmp_path_factory.mktemp("model")).result()


def test_every_conversation_is_answered_under_the_schema(extracted):
    results, _ = extracted
    assert [result.error for result in results] == [None] * ROWS


def test_throughput_settings_are_ours_and_not_the_engines_defaults(extracted):
    _, described = extracted
    assert described["max_num_seqs"] == 512
    assert described["max_num_batched_tokens"] == 16_384
    assert described["block_size"] == 16
    assert described["prefix_caching"] is True


def test_the_shared_head_comes_from_the_cache(extracted):
    results, _ = extracted
    assert all(result.cached_tokens > 0 for result in results)
