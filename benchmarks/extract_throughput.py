"""Throughput of the pipeline compared with its engine alone and with Ray Data LLM."""

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from extract_inputs import conversations_in, conversations_table, make_model, short_answers
from extract_routes import Timing, in_own_process, pipeline, prompts_of, ray_data_llm, vllm_alone
from harness import Result, plant

from vitw_ray.config import ConversationsConfig, Execution, ExtractionConfig, RunConfig
from vitw_ray.inference.vllm_engine import prepare_environment
from vitw_ray.run_folder import FileEntry

ROUTE_RATIOS = (
    "pipeline_efficiency_steady",
    "pipeline_efficiency_total_short",
    "over_ray_data_llm",
    "object_store_bytes_over_text",
)


def requests_of(config: RunConfig, parts: Sequence[FileEntry]) -> tuple[Any, Any, Any]:
    """Token ids, sampling and settings of all conversations of a table."""
    return prompts_of(config, conversations_in(config, parts))


@dataclass
class Work:
    """Conversations in a run folder, and the same conversations as requests to vLLM alone."""

    config: RunConfig
    parts: Sequence[FileEntry]
    requests: tuple[Any, Any, Any]
    text_bytes: int


def make_work(folder: Path, model: Path, rows: int) -> Work:
    """Plant conversations, read them with the pipeline, and tokenise them for vLLM alone."""
    config = RunConfig(
        conversations=ConversationsConfig(input=(plant(folder / "in", rows),)),
        extraction=ExtractionConfig(
            extractor="vllm",
            model=str(model),
            questions="one_pass",
            sampling_kwargs=in_own_process(short_answers, str(model)),
        ),
        execution=Execution(output=str(folder / "out"), actors=1, reader_check="off"),
    )
    parts = conversations_table(config)
    contents = [m.content for c in conversations_in(config, parts) for m in c.messages]
    text_bytes = sum(len(content.encode()) for content in contents)
    return Work(config, parts, in_own_process(requests_of, config, parts), text_bytes)


def measure_routes(result: Result, folder: Path, *, rows: int, rounds: int) -> None:
    """Run all routes in turn; each of ours is between two of vLLM alone, which are the A/A pair.

    vLLM alone runs with its engine in the same process and in separate processes; ours is compared
    with the faster of the two.
    """
    prepare_environment("cpu")  # before Ray's processes start, which inherit it
    model = folder / "model"
    in_own_process(make_model, model)
    work = make_work(folder / "short", model, rows)
    alone = [vllm_alone(work.requests, "cpu", own_process=True)]
    in_process = [vllm_alone(work.requests, "cpu", own_process=False)]
    ours: list[Timing] = []
    for number in range(rounds):
        ours.append(pipeline(work.config, work.parts, f"private/answers-{number}"))
        alone.append(vllm_alone(work.requests, "cpu", own_process=True))
        in_process.append(vllm_alone(work.requests, "cpu", own_process=False))
    theirs = ray_data_llm(work.config, work.parts)
    fastest = max((alone, in_process), key=lambda found: statistics.median(steady(found)))
    pairs = list(itertools.pairwise(steady(fastest)))
    efficiency = [
        one / statistics.mean(pair) for one, pair in zip(steady(ours), pairs, strict=True)
    ]
    result.aa_spread = statistics.median(abs(a / b - 1) for a, b in pairs)
    routes = {"alone": alone, "alone_in_process": in_process, "pipeline": ours}
    routes["ray_data_llm"] = [theirs]
    result.work |= {
        "rows": rows,
        "prompt_tokens": sum(map(len, work.requests[0])),
        "output_tokens": {name: found[0].output_tokens for name, found in routes.items()},
        "seconds": {name: [round(t.seconds, 1) for t in found] for name, found in routes.items()},
        "steady": {name: [round(t.steady, 2) for t in found] for name, found in routes.items()},
        "text_bytes": work.text_bytes,
        "carried_bytes": {"pipeline": ours[0].carried_bytes, "ray_data_llm": theirs.carried_bytes},
    }
    result.ratios |= {
        "pipeline_efficiency_steady": statistics.median(efficiency),
        "pipeline_efficiency_total_short": statistics.median(one.seconds for one in fastest)
        / statistics.median(one.seconds for one in ours),
        "over_ray_data_llm": theirs.seconds / statistics.median(one.seconds for one in ours),
        "object_store_bytes_over_text": ours[0].carried_bytes / work.text_bytes,
    }
    result.rows += [(f"routes, {name}", f"{result.ratios[name]:.4g}", "") for name in ROUTE_RATIOS]


def steady(timings: Sequence[Timing]) -> list[float]:
    """Steady rate of each timing."""
    return [timing.steady for timing in timings]


def measure_long(result: Result, folder: Path, rows: int) -> None:
    """One run of about ten minutes, including start, loading of the model and drain for both.

    vLLM alone has its engine in the same process, which starts faster.
    """
    prepare_environment("cpu")
    model = folder / "model"
    in_own_process(make_model, model)
    work = make_work(folder, model, rows)
    ours = pipeline(work.config, work.parts, "private/answers-long")
    alone = vllm_alone(work.requests, "cpu", own_process=False)
    result.work["long"] = {
        "rows": rows,
        "seconds": {"alone": round(alone.seconds, 1), "pipeline": round(ours.seconds, 1)},
        "steady": {"alone": round(alone.steady, 2), "pipeline": round(ours.steady, 2)},
    }
    result.ratios |= {
        "pipeline_efficiency_total": alone.seconds / ours.seconds,
        "pipeline_efficiency_steady_long": ours.steady / alone.steady,
    }
    result.rows += [
        (f"long, {name}", f"{result.ratios[name]:.4g}", f"{ours.seconds:.0f} s")
        for name in ("pipeline_efficiency_total", "pipeline_efficiency_steady_long")
    ]
