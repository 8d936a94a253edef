"""vLLM in this process: the only module that knows vLLM's names and versions (0.29).

Prompts go in as token ids, made by `chat_prompt`, so that no content becomes a control token; what
comes out is parsed elsewhere. What decides throughput is set here and not left to the fall-backs of
the asynchronous engine, which are small: tokens and requests per step, the prefix cache, and one
wake-up per finished answer instead of one per token.
"""

import asyncio
import importlib.util
import itertools
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from multiprocessing import active_children
from typing import Any, Literal

from vitw_ray.config import ExtractionConfig, RunConfig, json_object
from vitw_ray.conversations.transcript import transcript
from vitw_ray.errors import ConfigError, StageFailed
from vitw_ray.extraction.chat_prompt import Frame, PromptEncoder
from vitw_ray.extraction.language_model import Completion, ModelFailure, Reading
from vitw_ray.extraction.last_will import LastWill
from vitw_ray.extraction.model_files import resolve_revision
from vitw_ray.extraction.profiles import Profile, profile_of
from vitw_ray.extraction.questions import Question, conversation_turns, turn_mark
from vitw_ray.extraction.recovery import EngineDied, Recovery
from vitw_ray.records import Message

BLOCK_TOKENS = {"gpu": 16, "cpu": 32}  # the smallest that vLLM's kernels take: least cache lost
RETRY_TEMPERATURE = 0.7  # ours: another draw than the one that failed
_PROOF_TOKENS = 64

# Read by vLLM when it is imported, in this process and in its engine's.
_ENVIRONMENT = {"VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "WARNING"}
_CPU_ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # one process for engine and worker, not two
    "VLLM_CPU_KVCACHE_SPACE": "2",  # GiB
    "OMP_NUM_THREADS": "1",  # left open, busy cores slow decoding several times
}

# What the extractor decides itself; anything else of vLLM's is the user's to set.
_OWN_ENGINE_ARGUMENTS = frozenset(
    (
        "model",
        "revision",
        "tokenizer",
        "tokenizer_revision",
        "trust_remote_code",
        "skip_tokenizer_init",
    )
)
_OWN_SAMPLING = frozenset(
    ("max_tokens", "temperature", "structured_outputs", "output_kind", "detokenize", "n")
)


@dataclass(frozen=True, slots=True)
class Request:
    """Token ids of a prompt, and how to sample."""

    token_ids: Sequence[int]
    sampling: Any  # vllm.SamplingParams


@dataclass(frozen=True, slots=True)
class Output:
    """Token ids of an answer."""

    token_ids: Sequence[int]
    cut: bool
    cached_tokens: int


class VllmEngine:
    """One life of vLLM's asynchronous engine."""

    def __init__(self, arguments: Any, timeout_s: float) -> None:
        from vllm.v1.engine.async_llm import AsyncLLM

        before = set(active_children())
        self._llm = AsyncLLM.from_engine_args(arguments)
        started = set(active_children()) - before
        self._last_will = LastWill(child.pid for child in started if child.pid is not None)
        self._timeout_s = timeout_s
        self._ids = itertools.count()

    async def run(self, request: Request) -> Output:
        """Generate; a request that runs out of time is taken off the engine."""
        from vllm.v1.engine.exceptions import EngineDeadError

        prompt: Any = {"type": "token", "prompt_token_ids": list(request.token_ids)}
        output: Any = None
        try:
            async with asyncio.timeout(self._timeout_s):
                stream = self._llm.generate(prompt, request.sampling, str(next(self._ids)))
                async for finished in stream:
                    output = finished
        except TimeoutError:
            raise ModelFailure("time_out") from None
        except EngineDeadError:
            raise EngineDied from None
        except Exception:  # of this request alone; the message may quote it
            raise ModelFailure("engine_refused") from None
        if output is None or output.outputs[0].finish_reason not in ("stop", "length"):
            raise ModelFailure("engine_error")
        return Output(
            output.outputs[0].token_ids,
            output.outputs[0].finish_reason == "length",
            output.num_cached_tokens or 0,
        )

    def close(self) -> None:
        """End the engine's process."""
        self._last_will.revoke()
        self._llm.shutdown()

    def describe(self) -> dict[str, Any]:
        """What the arguments became."""
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


class VllmModel:
    """A language model on an engine of its own."""

    def __init__(self, config: RunConfig, questions: Sequence[Question]) -> None:
        """Load the tokenizer and settle the engine's arguments; the engine starts in `open`.

        Raises:
            ConfigError: a model without what is needed, or an argument that vLLM does not know.
        """
        extraction, execution = config.extraction, config.execution
        assert extraction.model is not None
        self._extraction, self._questions = extraction, questions
        self._profile = profile_of(extraction.model)
        self._revision = resolve_revision(
            self._profile.model, extraction.revision or self._profile.revision
        )
        _prepare_environment(execution.device)
        self._tokenizer = _tokenizer(self._profile, self._revision)
        self._encoder = PromptEncoder(
            self._tokenizer,
            template_kwargs=self._profile.template,
            answer_prefix=self._profile.answer_prefix,
            block_size=_block_tokens(config),
        )
        self._mark_tokens = self._encoder.count(turn_mark("assistant"))
        self._arguments = _engine_arguments(
            config, self._profile, self._revision, self._context(questions)
        )
        self._timeout_s = execution.request_timeout_s
        self._sampling: dict[tuple[str, int], Any] = {}
        self._further_sampling = _checked_sampling(extraction)
        self._recovery = Recovery(self._start)
        self._engine_description: dict[str, Any] = {}

    @property
    def _frame(self) -> Frame:
        return self._encoder.frame(self._questions[0])

    def _context(self, questions: Sequence[Question]) -> int:
        frames = [self._encoder.frame(question) for question in questions]
        longest = max(len(frame.head) + len(frame.tail) for frame in frames)
        # A second attempt has twice the room.
        return longest + self._extraction.transcript_tokens + 2 * self._extraction.max_output_tokens

    async def open(self) -> None:
        """Start the engine and see that it decodes under a schema."""
        await self._recovery.open()

    async def _start(self) -> VllmEngine:
        try:
            engine = VllmEngine(self._arguments, self._timeout_s)
        except Exception as error:  # no conversation has been near it: its message is safe
            raise StageFailed(
                f"vLLM's engine did not start: {type(error).__name__}: {error}",
                "mend --engine-kwargs, or see the engine's own log on the node",
            ) from None
        self._engine_description = engine.describe()
        try:
            await self._prove_schema(engine)
        except StageFailed:
            engine.close()
            raise
        return engine

    async def _prove_schema(self, engine: VllmEngine) -> None:
        """Ask for a word that nobody could guess: it comes back only if schemas are enforced."""
        word = secrets.token_hex(8)
        settings = sampling(
            {"type": "string", "enum": [word]}, max_tokens=_PROOF_TOKENS, temperature=0.0
        )
        try:
            # On the shared head, so that the cache holds it before the first conversation.
            output = await engine.run(Request(self._frame.prompt(()), settings))
        except (ModelFailure, EngineDied) as failure:
            raise StageFailed(
                f"vLLM's engine did not answer under a schema ({failure or 'it died'})",
                "see the engine's own log on the node",
            ) from None
        if self._decode(output.token_ids).strip() != f'"{word}"':
            raise StageFailed(
                "vLLM's engine ignores the schema of an answer",
                "check --engine-kwargs and the structured outputs of this vLLM",
            )

    def read(self, messages: Sequence[Message]) -> Reading:
        """Cut to the budget, marks of turns included, and tokenise."""
        read = transcript(
            messages,
            self._extraction.transcript_tokens,
            lambda text: self._encoder.count(text) + self._mark_tokens,
        )
        body = self._encoder.body(conversation_turns(read.messages))
        return Reading(read.messages, read.truncated_share, token_ids=tuple(body))

    def read_text(self, text: str) -> Reading:
        """Tokenise as it is."""
        return Reading(token_ids=tuple(self._encoder.encode(f"\n\n{text}")))

    async def ask(self, reading: Reading, question: Question, attempt: int) -> Completion:
        """One request; a later attempt has twice the room and is drawn at a higher temperature."""
        token_ids = self._encoder.frame(question).prompt(reading.token_ids)
        request = Request(token_ids, self._sampling_for(question, attempt))
        output = await self._recovery.run(request)
        return Completion(
            self._decode(output.token_ids),
            output.cut,
            prompt_tokens=len(token_ids),
            output_tokens=len(output.token_ids),
            cached_tokens=output.cached_tokens,
        )

    def _decode(self, token_ids: Sequence[int]) -> str:
        return self._tokenizer.decode(token_ids, skip_special_tokens=True)

    def _sampling_for(self, question: Question, attempt: int) -> Any:
        key = (question.name, attempt)
        if key not in self._sampling:
            temperature = self._extraction.temperature
            self._sampling[key] = sampling(
                question.schema,
                max_tokens=self._extraction.max_output_tokens * (2 if attempt else 1),
                temperature=max(temperature, RETRY_TEMPERATURE) if attempt else temperature,
                **self._further_sampling,
            )
        return self._sampling[key]

    def describe(self) -> Mapping[str, Any]:
        """Model, revision, and the engine's settings as they were resolved."""
        return {
            "model": self._profile.model,
            "revision": self._revision,
            **self._engine_description,
            "restarts": self._recovery.restarts,
        }

    def close(self) -> None:
        """End the engine."""
        self._recovery.close()


def sampling(schema: Mapping[str, Any], **settings: Any) -> Any:
    """Sampling under a schema; token ids come back once, when all are there."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

    return SamplingParams.from_optional(  # reads what JSON cannot write, such as ids as keys
        structured_outputs=StructuredOutputsParams(json=dict(schema)),
        output_kind=RequestOutputKind.FINAL_ONLY,
        detokenize=False,  # ours to do, once an answer
        **settings,
    )


def _checked_sampling(extraction: ExtractionConfig) -> dict[str, Any]:
    """The user's sampling parameters; a key that vLLM does not know stops the run."""
    from vllm.exceptions import VLLMClientError

    found = json_object("sampling_kwargs", extraction.sampling_kwargs)
    _refuse("sampling_kwargs", _OWN_SAMPLING & found.keys(), "is set by the extractor")
    try:
        sampling({"type": "object"}, **found)
    except (TypeError, ValueError, VLLMClientError) as error:
        raise ConfigError(
            f"--sampling-kwargs: {error}", "use the names of vLLM's SamplingParams"
        ) from None
    return found


def _engine_arguments(config: RunConfig, profile: Profile, revision: str, context: int) -> Any:
    from vllm.engine.arg_utils import AsyncEngineArgs

    further = json_object("engine_kwargs", config.extraction.engine_kwargs)
    _refuse("engine_kwargs", _OWN_ENGINE_ARGUMENTS & further.keys(), "is set by the extractor")
    known = {field.name for field in fields(AsyncEngineArgs)}
    _refuse("engine_kwargs", further.keys() - known, "is no argument of this vLLM's engine")
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
    return AsyncEngineArgs(
        **{
            "model": profile.model,
            **hub,
            "load_format": "safetensors",
            "trust_remote_code": False,
            "max_model_len": context,
            "max_num_seqs": config.execution.max_num_seqs,
            "max_num_batched_tokens": config.execution.max_num_batched_tokens,
            "block_size": _block_tokens(config),
            "enable_prefix_caching": True,
            "enforce_eager": on_cpu,
            "tensor_parallel_size": profile.tensor_parallel,
            # "auto" may choose another backend in silence, and white space would have no bound.
            "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
            "enable_log_requests": False,
            "seed": 0,
            **profile.engine,
            **further,
        }
    )


def _block_tokens(config: RunConfig) -> int:
    further = json_object("engine_kwargs", config.extraction.engine_kwargs)
    return further.get("block_size", BLOCK_TOKENS[config.execution.device])


def _refuse(setting: str, keys: Any, why: str) -> None:
    for key in sorted(keys):
        raise ConfigError(f"--{setting.replace('_', '-')}: {key} {why}", "leave it out")


def _prepare_environment(device: Literal["cpu", "gpu"]) -> None:
    """Set what vLLM reads on import; what the user has set stays."""
    if importlib.util.find_spec("vllm") is None:
        raise ConfigError(
            "--extractor vllm, and vLLM is not installed",
            'install ".[gpu]", or see "vLLM on a CPU" in the README',
        )
    for name, value in {**_ENVIRONMENT, **(_CPU_ENVIRONMENT if device == "cpu" else {})}.items():
        os.environ.setdefault(name, value)


def _tokenizer(profile: Profile, revision: str) -> Any:
    from transformers import AutoTokenizer

    hub = {} if revision.startswith("sha256:") else {"revision": revision}
    return AutoTokenizer.from_pretrained(profile.model, trust_remote_code=False, **hub)
