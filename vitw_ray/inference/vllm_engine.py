"""One vLLM engine process. Only this module depends on vLLM's API (version 0.29).

Requests and outputs are token ids. Settings that decide throughput are explicit, because the
defaults of the asynchronous engine are low: tokens and requests per step, the prefix cache, and one
wake-up per finished answer instead of one per token.
"""

import importlib.util
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from vitw_ray.config import ExtractionConfig, RunConfig
from vitw_ray.errors import ConfigError
from vitw_ray.inference.child_processes import KillWithParent
from vitw_ray.inference.language_model import ModelFailure
from vitw_ray.inference.memory import kv_cache_bytes, read_model_config
from vitw_ray.inference.question import Question
from vitw_ray.inference.recovery import EngineDied
from vitw_ray.inference.time_limits import TimeLimits
from vitw_ray.profiles import ReaderProfile
from vitw_ray.setting_checks import json_object

CHOICE_LOGPROBS = 20  # tokens; vLLM's default maximum, and more than our codes begin with
BLOCK_TOKENS = {"gpu": 16, "cpu": 32}  # the smallest that vLLM's kernels support: least waste

# Read by vLLM on import, in this process and in the engine's.
_ENVIRONMENT = {"VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "WARNING"}
_CPU_ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # one process for engine and worker, not two
    "OMP_NUM_THREADS": "1",  # without it, decoding is several times slower on busy cores
}

# Arguments that the user may not set here, each with the setting to use instead, if any.
_RESERVED_ENGINE_ARGUMENTS = {
    **dict.fromkeys(("tokenizer", "trust_remote_code", "skip_tokenizer_init"), ""),
    **dict.fromkeys(("revision", "tokenizer_revision"), "--revision"),
    "model": "--model",
    "max_num_seqs": "--max-num-seqs",
    "max_num_batched_tokens": "--max-num-batched-tokens",
}
_RESERVED_SAMPLING = {
    **dict.fromkeys(("structured_outputs", "output_kind", "detokenize", "n", "logprobs"), ""),
    "max_tokens": "--max-output-tokens",
    "temperature": "--temperature",
}


@dataclass(frozen=True, slots=True)
class Request:
    """Token ids of a prompt, and the sampling parameters."""

    token_ids: Sequence[int]
    sampling: Any  # vllm.SamplingParams


@dataclass(frozen=True, slots=True)
class Output:
    """Token ids of an answer, and log-probabilities of the likeliest first tokens, if asked for."""

    token_ids: Sequence[int]
    cut: bool
    cached_tokens: int
    first_logprobs: Mapping[int, float] | None = None


class VllmEngine:
    """One instance of vLLM's asynchronous engine."""

    def __init__(self, settings: Mapping[str, Any], timeout_s: float) -> None:
        from vllm.engine.arg_utils import AsyncEngineArgs  # pyright: ignore[reportMissingImports]
        from vllm.v1.engine.async_llm import AsyncLLM  # pyright: ignore[reportMissingImports]

        arguments = AsyncEngineArgs(**settings, enable_log_requests=False)
        self._killer = KillWithParent()
        try:
            with self._killer.including_children():
                self._llm = AsyncLLM.from_engine_args(arguments)
        except BaseException:
            self._killer.cancel()
            raise
        self._limits = TimeLimits(timeout_s, self._tokens)

    def _tokens(self) -> dict[int, int]:
        """Tokens of each request so far. The outputs themselves come only when a request ends."""
        states = self._llm.output_processor.request_states.values()
        return {
            int(state.external_req_id): state.detokenizer.num_output_tokens()
            for state in states
            if state.detokenizer is not None
        }

    async def run(self, request: Request) -> Output:
        """Generate; a request that times out is aborted."""
        from vllm.v1.engine.exceptions import EngineDeadError  # pyright: ignore[reportMissingImports]

        prompt: Any = {"type": "token", "prompt_token_ids": list(request.token_ids)}
        output: Any = None
        try:
            async with self._limits.request() as number:
                stream = self._llm.generate(prompt, request.sampling, str(number))
                async for finished in stream:
                    output = finished
        except TimeoutError:
            raise ModelFailure("time_out") from None
        except EngineDeadError:
            raise EngineDied from None
        except Exception:  # concerns only this request; the message may quote its text
            raise ModelFailure("engine_refused") from None
        if output is None or output.outputs[0].finish_reason not in ("stop", "length"):
            raise ModelFailure("engine_error")
        found = output.outputs[0]
        first = found.logprobs[0] if found.logprobs else None
        return Output(
            found.token_ids,
            found.finish_reason == "length",
            output.num_cached_tokens or 0,
            {token: entry.logprob for token, entry in first.items()} if first else None,
        )

    def close(self) -> None:
        """End the engine's process."""
        self._killer.cancel()
        self._llm.shutdown()

    def describe(self) -> dict[str, Any]:
        """The engine's resolved arguments."""
        config = self._llm.vllm_config
        return {
            "dtype": str(config.model_config.dtype).removeprefix("torch."),
            "quantization": config.model_config.quantization,
            "max_model_len": config.model_config.max_model_len,
            "max_num_seqs": config.scheduler_config.max_num_seqs,
            "max_num_batched_tokens": config.scheduler_config.max_num_batched_tokens,
            "block_size": config.cache_config.block_size,
            "kv_cache_blocks": config.cache_config.num_gpu_blocks,
            "prefix_caching": config.cache_config.enable_prefix_caching,
            "tensor_parallel": config.parallel_config.tensor_parallel_size,
            "structured_outputs": config.structured_outputs_config.backend,
            "output": "final only",
        }


class _Once:
    """A check that is not repeated once it has passed."""

    def __init__(self, check: Callable[..., None]) -> None:
        self._check = check
        self._passed = False

    def __call__(self, *arguments: Any) -> None:
        if not self._passed:
            self._check(*arguments)
            self._passed = True


def choice_sampling(codes: Sequence[str]) -> Any:
    """Sampling parameters of one token, the first of a code, with its log-probabilities.

    The grammar is applied before the logarithms are taken: they are those of the codes alone.
    """
    from vllm.sampling_params import StructuredOutputsParams  # pyright: ignore[reportMissingImports]

    return _sampling(
        StructuredOutputsParams(choice=list(codes)),
        max_tokens=1,
        temperature=0.0,
        logprobs=CHOICE_LOGPROBS,
    )


def sampling(schema: Mapping[str, Any], **settings: Any) -> Any:
    """Sampling parameters with a schema; token ids are returned once, when generation ends."""
    from vllm.sampling_params import StructuredOutputsParams  # pyright: ignore[reportMissingImports]

    return _sampling(StructuredOutputsParams(json=json.dumps(schema)), **settings)  # cheap to copy


def answer_sampling(question: Question, **settings: Any) -> Any:
    """Sampling parameters of an open question: decoding is held to its schema or its lines."""
    if not question.lines:
        return sampling(question.schema, **settings)
    from vllm.sampling_params import StructuredOutputsParams  # pyright: ignore[reportMissingImports]

    return _sampling(StructuredOutputsParams(regex=question.pattern), **settings)


def _sampling(structure: Any, **settings: Any) -> Any:
    from vllm import SamplingParams  # pyright: ignore[reportMissingImports]
    from vllm.sampling_params import RequestOutputKind  # pyright: ignore[reportMissingImports]

    params: Any = SamplingParams.from_optional(  # converts JSON's string keys to token ids
        structured_outputs=structure,
        output_kind=RequestOutputKind.FINAL_ONLY,
        detokenize=False,  # done by the caller, once per answer
        **settings,
    )
    # Otherwise vLLM compiles the schema for every request: a third of this process's time.
    params.verify = _Once(params.verify)
    return params


def further_sampling(extraction: ExtractionConfig) -> dict[str, Any]:
    """The user's sampling parameters.

    Raises:
        ConfigError: a parameter that vLLM does not know, or that another setting decides.
    """
    found = json_object("sampling_kwargs", extraction.sampling_kwargs)
    _reject_reserved("sampling-kwargs", _RESERVED_SAMPLING, found)
    try:
        sampling({"type": "object"}, **found)
    except Exception as error:  # the type differs between versions; the message is about the names
        raise ConfigError(
            f"--sampling-kwargs: {error}", "use the names of vLLM's SamplingParams"
        ) from None
    return found


def engine_settings(
    config: RunConfig, profile: ReaderProfile, revision: str, context: int
) -> dict[str, Any]:
    """Arguments of vLLM's engine: our defaults, then the profile's, then the user's.

    Raises:
        ConfigError: an argument that vLLM does not know or that another setting decides, or a
            `context` (tokens) that is too long.
    """
    from vllm.engine.arg_utils import AsyncEngineArgs  # pyright: ignore[reportMissingImports]

    further = json_object("engine_kwargs", config.extraction.engine_kwargs)
    _reject_reserved("engine-kwargs", _RESERVED_ENGINE_ARGUMENTS, further)
    known = {field.name for field in fields(AsyncEngineArgs)}
    for key in sorted(further.keys() - known):
        raise ConfigError(
            f"--engine-kwargs: {key} is not an engine argument of the installed vLLM",
            "use the names of vLLM's engine arguments",
        )
    if further.get("max_model_len", context) < context:
        raise ConfigError(
            f"--engine-kwargs: max_model_len {further['max_model_len']} is below the {context}"
            " tokens of the longest prompt and answer",
            "leave it out, or lower --transcript-tokens or --max-output-tokens",
        )
    if profile.context_tokens is not None and context > profile.context_tokens:
        raise ConfigError(
            f"--transcript-tokens {config.extraction.transcript_tokens} needs a context of"
            f" {context} tokens; {profile.model} has {profile.context_tokens}",
            "lower --transcript-tokens or choose another model",
        )
    hub = (
        {}
        if revision.startswith("sha256:")
        else {"revision": revision, "tokenizer_revision": revision}
    )
    on_cpu = config.execution.device == "cpu"
    chosen = {
        "model": profile.model,
        **hub,
        "load_format": "safetensors",
        "trust_remote_code": False,
        "max_model_len": context,
        "max_num_seqs": config.execution.requests_at_once,
        "max_num_batched_tokens": config.execution.tokens_at_once,
        "block_size": block_tokens(config),
        "enable_prefix_caching": True,
        "enforce_eager": on_cpu,
        "tensor_parallel_size": profile.tensor_parallel,
        **(_cpu_memory(config, profile, context) if on_cpu else {}),
        # "auto" may silently choose another backend. Unrestricted white space has no length limit.
        "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
        "seed": 0,
        **profile.engine,
        **further,
    }
    if chosen["tensor_parallel_size"] > 1:
        # Inside Ray, vLLM would look for its workers' GPUs in a placement group.
        chosen.setdefault("distributed_executor_backend", "mp")
    return chosen


def _cpu_memory(config: RunConfig, profile: ReaderProfile, context: int) -> dict[str, int]:
    model = read_model_config(profile.model)
    return {"kv_cache_memory_bytes": kv_cache_bytes(config, model, context)}


def block_tokens(config: RunConfig) -> int:
    """Tokens per block of the prefix cache."""
    further = json_object("engine_kwargs", config.extraction.engine_kwargs)
    return further.get("block_size", BLOCK_TOKENS[config.execution.device])


def _reject_reserved(setting: str, reserved: Mapping[str, str], given: Mapping[str, Any]) -> None:
    for key in sorted(reserved.keys() & given.keys()):
        raise ConfigError(
            f"--{setting}: {key} cannot be set here",
            f"set {reserved[key]} instead" if reserved[key] else "leave it out",
        )


def prepare_environment(device: Literal["cpu", "gpu"]) -> None:
    """Set the environment variables that vLLM reads on import, unless the user has set them."""
    if importlib.util.find_spec("vllm") is None:
        raise ConfigError(
            "--extractor vllm needs vLLM, which is not installed",
            'install ".[gpu]", or see docs/vllm-on-a-cpu.md',
        )
    for name, value in {**_ENVIRONMENT, **(_CPU_ENVIRONMENT if device == "cpu" else {})}.items():
        os.environ.setdefault(name, value)
