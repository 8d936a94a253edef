"""Our extractor compared with vLLM alone, without Ray, and the cost of a schema.

Two engines run in separate processes and work in turn: `LLM.generate` on the prompts of a share of
the conversations, our extractor on the same conversations, and `LLM.generate` again. The same code
runs on a GPU. A vLLM version other than the pinned one works if its API matches `vllm_engine.py`.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from operator import methodcaller
from pathlib import Path
from typing import Any, Literal, Self

from extract_inputs import conversations_of, make_model, make_model_of_8b, short_answers
from extract_routes import FinishTimes, in_own_process, load_vllm, prompts_of
from harness import Result, real_conversations

from vitw_ray.config import SAMPLE, Execution, ExtractionConfig, RunConfig
from vitw_ray.extraction.extractors import make_extractor
from vitw_ray.records import Conversation

OUTPUT_TOKENS = 512  # answers end at about 80 tokens, on a GPU at 170
STEADY = (0.1, 0.9)  # of the answers: before, the engine fills, and afterwards it drains
WARM_UP_ROWS = 32  # the first requests compile the schema, and kernels on a GPU
SHARE_OF_GPU = 0.45  # share of GPU memory for each of the two engines


@dataclass(frozen=True)
class Pass:
    """The measurement of one pass over a share of the conversations."""

    rows_per_s: float
    lengths: Sequence[int]  # tokens of each answer
    cached_tokens: int  # of the prompts


class Resident:
    """A fresh interpreter that holds the object returned by `make` and calls functions with it."""

    def __init__(
        self, make: Callable[..., object], *arguments: object, end: Callable[[Any], None]
    ) -> None:
        self._pool, self._end = ProcessPoolExecutor(1, mp_context=get_context("spawn")), end
        self._pool.submit(_keep, make, arguments).result()

    def __call__(self, work: Callable[..., Any], *arguments: object) -> Any:
        """Call `work` there, with the held object and the arguments."""
        return self._pool.submit(_with_kept, work, arguments).result()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *failure: object) -> None:
        """End the held object and the process."""
        self(self._end)
        self._pool.shutdown()


_kept: list[Any] = []


def _keep(make: Callable[..., object], arguments: Sequence[object]) -> None:
    _kept.append(make(*arguments))


def _with_kept(work: Callable[..., Any], arguments: Sequence[object]) -> Any:
    return work(_kept[0], *arguments)


def steady_rate(start: float, times: Sequence[float]) -> float:
    """Answers per second while the engine is full; over everything where that is too short."""
    done = sorted(times)
    first, last = (round(share * (len(done) - 1)) for share in STEADY)
    if done[last] <= done[first]:
        return len(done) / (done[-1] - start)
    return (last - first) / (done[last] - done[first])


def generate(
    engine: Any, prompts: Sequence[Sequence[int]], sampling: Any, lengths: Sequence[int] = ()
) -> Pass:
    """One pass of `LLM.generate`; with `lengths`, without a schema and with fixed lengths."""
    from vllm import SamplingParams

    free = [
        SamplingParams(
            max_tokens=length,
            temperature=sampling.temperature,
            ignore_eos=True,
            logit_bias=sampling.logit_bias,
            output_kind=sampling.output_kind,
            detokenize=False,
        )
        for length in lengths
    ]
    engine.reset_prefix_cache()  # the same prompts are used again
    requests: list[Any] = [{"prompt_token_ids": list(prompt)} for prompt in prompts]
    start = time.time()
    with FinishTimes.noted() as times:
        outputs = engine.generate(requests, free or sampling, use_tqdm=FinishTimes)
    return Pass(
        steady_rate(start, times),
        [len(output.outputs[0].token_ids) for output in outputs],
        sum(output.num_cached_tokens or 0 for output in outputs),
    )


def extract(extractor: Any, conversations: Sequence[Conversation]) -> Pass:
    """One pass of our extractor; all must be answered."""
    start, times, found = time.time(), [], []
    for _, extracted in extractor.extract(conversations):
        times.append(time.time())
        found.append(extracted)
    if failures := {one.error for one in found} - {None}:
        raise SystemExit(f"conversations were not answered: {', '.join(sorted(failures))}")
    return Pass(
        steady_rate(start, times),
        [one.output_tokens for one in found],
        sum(one.cached_tokens for one in found),
    )


def end_vllm(engine: Any) -> None:
    """Stop the process of an idle engine."""
    engine.llm_engine.engine_core.shutdown()


def engine_config(
    folder: Path, model: str | None, device: Literal["cpu", "gpu"], texts: Sequence[str]
) -> RunConfig:
    """Config with short answers: random weights would otherwise reach the token limit."""
    chosen, made_up = model or str(folder / "model"), model is None and device == "gpu"
    engine_kwargs: dict[str, Any] = {}
    if device == "gpu":
        engine_kwargs["gpu_memory_utilization"] = SHARE_OF_GPU
    if made_up:
        in_own_process(make_model_of_8b, Path(chosen), texts)
        engine_kwargs["load_format"] = "dummy"
    elif model is None:
        in_own_process(make_model, Path(chosen))
    return RunConfig(
        extraction=ExtractionConfig(
            extractor="vllm",
            model=chosen,
            questions="one_pass",
            temperature=1.0 if made_up else 0.0,
            max_output_tokens=OUTPUT_TOKENS,
            sampling_kwargs=in_own_process(short_answers, chosen, made_up),
            engine_kwargs=json.dumps(engine_kwargs),
        ),
        execution=Execution(device=device, gpus_per_actor=1.0 if device == "gpu" else 0.0),
    )


def take_turns(
    config: RunConfig,
    requests: tuple[Any, Any, Any],
    conversations: Sequence[Conversation],
    rounds: int,
) -> tuple[dict[str, list[Pass]], dict[str, Any]]:
    """The passes of each of the four variants, by round, and the engine's settings."""
    prompts, sampling, settings = requests
    passes: dict[str, list[Pass]] = {"before": [], "extractor": [], "after": [], "free": []}
    with (
        Resident(load_vllm, settings, config.execution.device, True, end=end_vllm) as alone,
        Resident(make_extractor, config, end=methodcaller("close")) as extractor,
    ):
        warm_up = alone(generate, prompts[:WARM_UP_ROWS], sampling)
        extractor(extract, conversations[:WARM_UP_ROWS])
        alone(generate, prompts[:WARM_UP_ROWS], sampling, warm_up.lengths)
        for number in range(rounds):
            share = slice(WARM_UP_ROWS + number, None, rounds)
            passes["before"].append(alone(generate, prompts[share], sampling))
            passes["extractor"].append(extractor(extract, conversations[share]))
            passes["after"].append(alone(generate, prompts[share], sampling))
            lengths = passes["after"][-1].lengths
            passes["free"].append(alone(generate, prompts[share], sampling, lengths))
            last = {name: round(found[-1].rows_per_s, 2) for name, found in passes.items()}
            print(f"round {number + 1}, rows/s: {last}", file=sys.stderr)
        return passes, extractor(methodcaller("describe"))


def measure_engine(
    result: Result, folder: Path, model: str | None, device: Literal["cpu", "gpu"], quick: bool
) -> None:
    """Rates of both, and of vLLM without a schema; each round has different conversations."""
    rows, rounds = (150, 2) if quick else (300, 3)
    if device == "gpu":  # about two minutes of an H200 in each pass
        rows, rounds = (600, 1) if quick else (1_700, 1)
    path = str(real_conversations() or SAMPLE)
    conversations = conversations_of(path, WARM_UP_ROWS + rows * rounds)
    texts = [message.content for one in conversations for message in one.messages]
    config = engine_config(folder, model, device, texts)
    requests = in_own_process(prompts_of, config, conversations)
    passes, settings = take_turns(config, requests, conversations, rounds)
    rates = {name: [one.rows_per_s for one in found] for name, found in passes.items()}
    by_round = list(zip(*rates.values(), strict=True))
    result.aa_spread = statistics.median(abs(a / b - 1) for a, _, b, _ in by_round)
    result.work |= {
        "rows": [len(one.lengths) for one in passes["before"]],
        "prompt_tokens": sum(map(len, requests[0][WARM_UP_ROWS:])),
        "output_tokens": {
            name: sum(sum(one.lengths) for one in found) for name, found in passes.items()
        },
        "cached_tokens": {
            name: sum(one.cached_tokens for one in found) for name, found in passes.items()
        },
        "rows_per_s": {name: [round(rate, 2) for rate in of] for name, of in rates.items()},
        "settings": settings if model else settings | {"model": "made by the benchmark"},
    }
    result.rates |= {
        "alone_rows_per_s": statistics.median(rates["before"] + rates["after"]),
        "extractor_rows_per_s": statistics.median(rates["extractor"]),
        "without_schema_rows_per_s": statistics.median(rates["free"]),
    }
    result.ratios |= {
        "extractor_efficiency_steady": statistics.median(
            2 * ours / (a + b) for a, ours, b, _ in by_round
        ),
        "schema_over_free": statistics.median(b / free for _, _, b, free in by_round),
    }
    result.rows += [
        (f"engine, {name}", f"{value:.4g}", "") for name, value in result.ratios.items()
    ]
