"""Three routes of the same requests to the same engine: vLLM alone, our pipeline, Ray Data LLM.

Each route runs completely and alone, in its own processes, and reports when its engine was ready
and when each request finished. The steady rate is requests over the time in between. It includes
the preparation of requests, which `LLM.generate` does for all of them before it decodes the first.
The seconds of a route are its total time, with imports and loading of the model.
"""

import io
import json
import os
import pickle
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ClassVar, Literal

from extract_inputs import conversations_in, through_actors
from tqdm import tqdm

from vitw_ray import cluster
from vitw_ray.config import RunConfig
from vitw_ray.extraction.questions import questions_for
from vitw_ray.extraction.unit_extractor import UnitExtractor
from vitw_ray.inference.question import conversation_text
from vitw_ray.inference.vllm_engine import prepare_environment
from vitw_ray.records import Conversation
from vitw_ray.run_folder import FileEntry


@dataclass
class Timing:
    """The measurement of one run of a route."""

    seconds: float = 0.0  # total
    ready: float = 0.0  # time at which the engine was ready
    finished: list[float] = field(default_factory=list)  # time at which each request finished
    output_tokens: int = 0
    carried_bytes: int = 0  # through Ray's object store

    @property
    def steady(self) -> float:
        """Requests per second once the engine is ready."""
        return len(self.finished) / (max(self.finished) - self.ready)


def in_own_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a fresh interpreter: vLLM changes its process permanently."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def prompts_of(config: RunConfig, conversations: Sequence[Conversation]) -> tuple[Any, Any, Any]:
    """Token ids of all requests, their sampling parameters, and the engine's settings."""
    from vitw_ray.inference.vllm_model import VllmModel

    (question,) = questions_for(config.extraction).all
    model = VllmModel(config, (question,))
    readings = (model.read(conversation.messages) for conversation in conversations)
    prompts = [model.prompt(reading, question) for reading in readings]
    return prompts, model.sampling(question, 0), dict(model.settings)


class FinishTimes(tqdm):
    """A hidden progress bar of `LLM.generate` that records when requests finish."""

    _times: ClassVar[list[float]] = []

    @classmethod
    @contextmanager
    def noted(cls) -> Iterator[list[float]]:
        """The finish times of all requests in this context."""
        cls._times = []
        yield cls._times

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        settings["file"] = io.StringIO()
        self._is_of_answers = not arguments  # other bars show the preparation of requests
        super().__init__(*arguments, **settings)

    def update(self, n: float | None = 1) -> bool | None:
        """Record that `n` more requests finished."""
        if self._is_of_answers:
            self._times.extend([time.time()] * int(n or 0))
        return super().update(n)


def load_vllm(settings: dict[str, Any], device: Literal["cpu", "gpu"], own_process: bool) -> Any:
    """Create `vllm.LLM`, with its engine in a separate process or in this one."""
    if own_process:  # separate processes for engine and worker, vLLM's default on a CPU
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "1"
    prepare_environment(device)
    from vllm import LLM

    return LLM(**settings)


def generate(
    prompts: Sequence[Sequence[int]],
    sampling: Any,
    settings: dict[str, Any],
    device: Literal["cpu", "gpu"],
    own_process: bool,
) -> tuple[float, list[float], int]:
    """Send all requests to `vllm.LLM.generate`; call this in a separate process."""
    engine = load_vllm(settings, device, own_process)
    requests: list[Any] = [{"prompt_token_ids": list(prompt)} for prompt in prompts]
    ready = time.time()
    with FinishTimes.noted() as times:
        outputs = engine.generate(requests, sampling, use_tqdm=FinishTimes)
    tokens = sum(len(output.outputs[0].token_ids) for output in outputs)
    if len(times) != len(prompts):
        raise SystemExit(f"{len(times)} finish times of {len(prompts)} requests were recorded")
    return ready, times, tokens


def vllm_alone(
    requests: tuple[Any, Any, Any], device: Literal["cpu", "gpu"], own_process: bool
) -> Timing:
    """Only the engine: prompts are tokenised before, and answers are not parsed."""
    start = time.monotonic()
    ready, finished, tokens = in_own_process(generate, *requests, device, own_process)
    return Timing(time.monotonic() - start, ready, finished, tokens)


class _Noted:
    """An extractor that records the times of its answers."""

    def __init__(self, extractor: Any) -> None:
        self.extractor = extractor
        self.times: list[float] = []
        self.tokens: list[int] = []

    def extract(self, conversations: Sequence[Conversation]) -> Any:
        for number, extracted in self.extractor.extract(conversations):
            self.times.append(time.time())
            self.tokens.append(extracted.output_tokens)
            yield number, extracted

    def describe(self) -> Any:
        return self.extractor.describe()


def notes_of(config: RunConfig, answers: str) -> Path:
    """The folder where `NotedUnits` writes its records."""
    return Path(config.execution.output) / f"{answers}-notes"


class NotedUnits(UnitExtractor):
    """Writes the times of answers to the run folder, so that Ray carries no additional data."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._extractor: Any = _Noted(self._extractor)
        self._notes = notes_of(arguments["config"], arguments["answers"].path)
        self._notes.mkdir(parents=True, exist_ok=True)

    def __call__(self, unit: cluster.Unit) -> cluster.Unit:
        """Process a unit, and write the times of the answers since the last unit."""
        result = super().__call__(unit)
        noted: _Noted = self._extractor
        times, noted.times = noted.times, []
        tokens, noted.tokens = noted.tokens, []
        note = json.dumps({"times": times, "tokens": sum(tokens)})
        (self._notes / f"{unit['part']}-{unit['start']}.json").write_text(note)
        return result


def pipeline(config: RunConfig, parts: Sequence[FileEntry], answers: str) -> Timing:
    """Our pipeline: units go to actors that read, cut, tokenise, send, parse and commit."""
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not see this folder
    cluster.connect(config.execution)
    created, start = store_bytes(), time.monotonic()
    results = through_actors(NotedUnits, config, parts, answers)
    seconds, carried = time.monotonic() - start, store_bytes() - created
    # Small results do not go through the store.
    carried += sum(len(pickle.dumps(result)) for result in results)
    notes = [json.loads(note.read_text()) for note in notes_of(config, answers).iterdir()]
    times = [moment for note in notes for moment in note["times"]]
    ready = min(result["ready"] for result in results)
    return Timing(seconds, ready, times, sum(note["tokens"] for note in notes), carried)


def ray_data_llm(config: RunConfig, parts: Sequence[FileEntry]) -> Timing:
    """Ray's processor with default settings, the same requests and the same schema."""
    import ray.data
    from ray.data.llm import build_processor, vLLMEngineProcessorConfig

    from vitw_ray.inference.question import closing, opening

    cluster.connect(config.execution)
    (question,) = questions_for(config.extraction).all
    _, _, settings = in_own_process(prompts_of, config, ())
    further = json.loads(config.extraction.sampling_kwargs)
    if bias := further.pop("logit_bias", None):  # JSON's keys are strings
        further["logit_bias"] = {int(index): value for index, value in bias.items()}
    kept = ("max_model_len", "enforce_eager", "structured_outputs_config", "load_format", "dtype")
    processor = build_processor(
        vLLMEngineProcessorConfig(
            model_source=settings["model"],
            engine_kwargs={name: settings[name] for name in kept if name in settings},
            log_engine_metrics=False,  # needs a package that vLLM for CPUs does not include
            placement_group_config={"bundles": [{"CPU": 1, "GPU": 0}]},
        ),
        preprocess=lambda row: {
            "messages": [
                {"role": "system", "content": question.before},
                {
                    "role": "user",
                    "content": opening(question)[len(question.before) :].lstrip()
                    + row["text"]
                    + closing(question),
                },
            ],
            "sampling_params": {
                "temperature": config.extraction.temperature,
                "max_tokens": config.extraction.max_output_tokens,
                **further,
                "structured_outputs": {"json": question.schema},
            },
        },
        postprocess=lambda row: {
            "finished": time.time(),
            "tokens": int(row["num_generated_tokens"]),
        },
    )
    rows = [{"text": conversation_text(c.messages)} for c in conversations_in(config, parts)]
    created, start, begun = store_bytes(), time.monotonic(), time.time()
    found = processor(ray.data.from_items(rows)).take_all()
    return Timing(
        time.monotonic() - start,
        begun,  # it does not report when its engine is ready
        [row["finished"] for row in found],
        sum(row["tokens"] for row in found),
        store_bytes() - created,
    )


def store_bytes() -> int:
    """Bytes created in Ray's object store since its start (not in Ray's public API)."""
    import ray
    from ray._private.internal_api import node_stats

    (node,) = ray.nodes()
    stats = node_stats(node["NodeManagerAddress"], node["NodeManagerPort"], False)
    return stats.store_stats.cumulative_created_bytes
