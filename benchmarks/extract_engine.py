"""No Ray: vLLM alone against our extractor around it, and what a schema costs.

The same prompts go to `vllm.LLM.generate` and to the extractor that an actor would hold, each in a
process of its own, in turn. A GPU takes the same path: another vLLM than the pinned one works as
long as `vllm_engine.py` finds its names there.
"""

import json
import shutil
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from extract_inputs import conversations_of, make_model, short_answers
from extract_routes import Timing, in_own_process, prompts_of, vllm_alone
from extract_throughput import steady
from harness import Result, real_conversations

from vitw_ray.config import SAMPLE, Execution, ExtractionConfig, RunConfig
from vitw_ray.extraction.extractors import make_extractor
from vitw_ray.records import Conversation

OUTPUT_TOKENS = 128  # of a model with random weights, whose answers have no end of their own


def extract_alone(config: RunConfig, conversations: Sequence[Conversation]) -> tuple[Any, ...]:
    """Times of all answers, their tokens, and the engine's settings; in a process of its own."""
    extractor: Any = make_extractor(config)
    ready, times, tokens = time.time(), [], 0
    for _, extracted in extractor.extract(conversations):
        times.append(time.time())
        tokens += extracted.output_tokens
    described = dict(extractor.describe())
    extractor.close()
    return ready, times, tokens, described


def measure_engine(
    result: Result, folder: Path, model: str | None, device: Literal["cpu", "gpu"], quick: bool
) -> None:
    """Steady rates of both, and of vLLM without a schema."""
    limit = 300 if quick else 2_000
    conversations = conversations_of(str(real_conversations() or SAMPLE), limit)
    copy = folder / "model"
    extraction: dict[str, Any]
    if model is None:
        in_own_process(make_model, copy)
        extraction = {"sampling_kwargs": in_own_process(short_answers, str(copy))}
    else:  # its shape alone: weights are made up, so that none need be there
        shutil.copytree(model, copy, ignore=shutil.ignore_patterns("*.safetensors*", "*.bin"))
        (copy / "made-up.safetensors").touch()
        extraction = {"engine_kwargs": json.dumps({"load_format": "dummy"})}
    config = RunConfig(
        extraction=ExtractionConfig(
            extractor="vllm", model=str(copy), max_output_tokens=OUTPUT_TOKENS, **extraction
        ),
        execution=Execution(device=device, gpus_per_actor=1.0 if device == "gpu" else 0.0),
    )
    requests = in_own_process(prompts_of, config, conversations)
    free = in_own_process(without_schema, requests)
    alone, ours, unconstrained = [], [], []
    described: dict[str, Any] = {}
    for _ in range(2 if quick else 3):
        alone.append(vllm_alone(requests, device, own_process=True))
        start = time.monotonic()
        ready, times, tokens, described = in_own_process(extract_alone, config, conversations)
        ours.append(Timing(time.monotonic() - start, ready, times, tokens))
        alone.append(vllm_alone(requests, device, own_process=True))
        unconstrained.append(vllm_alone(free, device, own_process=True))
    first, second = alone[::2], alone[1::2]
    result.aa_spread = abs(statistics.median(steady(first)) / statistics.median(steady(second)) - 1)
    rate = statistics.median(steady(alone))
    result.work |= {
        "rows": len(conversations),
        "prompt_tokens": sum(map(len, requests[0])),
        "output_tokens": {"alone": alone[0].output_tokens, "extractor": ours[0].output_tokens},
        "settings": described,
    }
    result.rates |= {
        "alone_rows_per_s": rate,
        "extractor_rows_per_s": statistics.median(steady(ours)),
        "without_schema_rows_per_s": statistics.median(steady(unconstrained)),
    }
    result.ratios |= {
        "extractor_efficiency_steady": statistics.median(steady(ours)) / rate,
        "schema_over_free": rate / statistics.median(steady(unconstrained)),
    }
    result.rows += [
        (f"engine, {name}", f"{value:.4g}", "") for name, value in result.ratios.items()
    ]


def without_schema(requests: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
    """The same prompts, free to write as many tokens as an answer may have."""
    from vllm import SamplingParams

    prompts, _, settings = requests
    return (
        prompts,
        SamplingParams(max_tokens=OUTPUT_TOKENS, temperature=0, ignore_eos=True),
        settings,
    )
