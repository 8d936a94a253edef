"""A language model on a vLLM engine that this process starts.

Conversations are cut to the token budget and encoded by `chat_prompt`, so that no content becomes a
control token. `recovery` restarts an engine that dies.
"""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from vitw_ray.config import RunConfig
from vitw_ray.errors import StageFailed
from vitw_ray.inference.attempts import temperature_and_room
from vitw_ray.inference.chat_prompt import PromptEncoder
from vitw_ray.inference.choices import code_logprobs
from vitw_ray.inference.language_model import Completion, ModelFailure, Reading
from vitw_ray.inference.question import Question, conversation_turns, set_off, turn_mark
from vitw_ray.inference.recovery import EngineDied, Recovery
from vitw_ray.inference.transcript import transcript
from vitw_ray.inference.vllm_engine import (
    Output,
    Request,
    VllmEngine,
    answer_sampling,
    block_tokens,
    choice_sampling,
    engine_settings,
    further_sampling,
    prepare_environment,
    sampling,
)
from vitw_ray.inference.weights import resolve_revision
from vitw_ray.profiles import ReaderProfile, profile_of
from vitw_ray.records import Message

_PROOF_TOKENS = 64


class VllmModel:
    """A language model on a vLLM engine."""

    def __init__(self, config: RunConfig, questions: Sequence[Question]) -> None:
        """Load the tokenizer and resolve the engine's arguments; `open` starts the engine.

        Raises:
            ConfigError: the model is not supported, or vLLM does not know an argument.
        """
        extraction, execution = config.extraction, config.execution
        assert extraction.model is not None
        self._extraction, self._questions = extraction, questions
        self._profile = profile_of(extraction.model)
        self._revision = resolve_revision(
            self._profile.model, extraction.revision or self._profile.revision
        )
        prepare_environment(execution.device)
        self._tokenizer = _tokenizer(self._profile, self._revision)
        self._encoder = PromptEncoder(
            self._tokenizer,
            template_kwargs=self._profile.template,
            answer_prefix=self._profile.answer_prefix,
            block_size=block_tokens(config),
        )
        self._mark_tokens = self._encoder.count(turn_mark("assistant"))
        self.settings = engine_settings(
            config, self._profile, self._revision, self._context(questions)
        )
        self._timeout_s = execution.request_timeout_s
        self._sampling: dict[tuple[Question, int], Any] = {}
        self._further_sampling = further_sampling(extraction)
        self._recovery: Recovery[Request, Output] = Recovery(self._start)
        self._engine_description: dict[str, Any] = {}

    def _context(self, questions: Sequence[Question]) -> int:
        frames = [self._encoder.frame(question) for question in questions]
        longest = max(len(frame.head) + len(frame.tail) for frame in frames)
        _, max_tokens = temperature_and_room(self._extraction, attempt=1)
        return longest + self._extraction.transcript_tokens + max_tokens

    async def open(self) -> None:
        """Start the engine and check that it enforces schemas."""
        await self._recovery.open()

    async def _start(self) -> VllmEngine:
        try:
            engine = VllmEngine(self.settings, self._timeout_s)
        except Exception as error:  # the engine has seen no conversation yet: its message is safe
            raise StageFailed(
                f"vLLM's engine did not start: {type(error).__name__}: {error}",
                "fix --engine-kwargs, or see the engine's log on the node",
            ) from None
        self._engine_description = engine.describe()
        try:
            await self._prove_schema(engine)
            await self._warm_up(engine)
        except (ModelFailure, EngineDied) as failure:
            engine.close()
            raise StageFailed(
                f"vLLM's engine did not answer a first request ({failure or 'it died'})",
                "see the engine's log on the node",
            ) from None
        except StageFailed:
            engine.close()
            raise
        return engine

    async def _prove_schema(self, engine: VllmEngine) -> None:
        """Require a random word by schema: it comes back only if schemas are enforced."""
        word = secrets.token_hex(8)
        settings = sampling(
            {"type": "string", "enum": [word]}, max_tokens=_PROOF_TOKENS, temperature=0.0
        )
        head = self._encoder.frame(self._questions[0]).prompt(())
        output = await engine.run(Request(head, settings))
        if self._decode(output.token_ids).strip() != f'"{word}"':
            raise StageFailed(
                "vLLM's engine ignores the schema of an answer",
                "check --engine-kwargs and the structured outputs of this vLLM",
            )

    async def _warm_up(self, engine: VllmEngine) -> None:
        """Send each question with an empty conversation, to fill caches and compile schemas."""
        for question in self._questions:
            settings = (
                choice_sampling(question.codes)
                if question.codes
                else answer_sampling(question, max_tokens=1, temperature=0.0)
            )
            await engine.run(Request(self._encoder.frame(question).prompt(()), settings))

    def read(self, messages: Sequence[Message]) -> Reading:
        """Tokenise, and cut to the budget, which includes the marks of turns."""
        budget = self._extraction.transcript_tokens
        body = self._encoder.body(conversation_turns(messages))
        if len(body) <= budget:
            return Reading(tuple(messages), 0.0, token_ids=tuple(body))
        read = transcript(messages, budget, self._shown_tokens)
        body = self._encoder.body(conversation_turns(read.messages))
        return Reading(read.messages, read.truncated_share, token_ids=tuple(body))

    def _shown_tokens(self, content: str) -> int:
        return self._encoder.count(set_off(content)) + self._mark_tokens

    def read_text(self, text: str) -> Reading:
        """Tokenise a text unchanged."""
        return Reading(token_ids=tuple(self._encoder.encode(f"\n\n{text}")))

    def prompt(self, reading: Reading, question: Question) -> list[int]:
        """Token ids of the complete prompt."""
        return self._encoder.frame(question).prompt(reading.token_ids)

    async def ask(self, reading: Reading, question: Question, attempt: int) -> Completion:
        """Send one request; see `temperature_and_room` for the settings of a retry."""
        token_ids = self.prompt(reading, question)
        request = Request(token_ids, self.sampling(question, attempt))
        output = await self._recovery.run(request)
        if question.codes:
            return self._choice(question, output, len(token_ids))
        return Completion(
            self._decode(output.token_ids),
            output.cut,
            prompt_tokens=len(token_ids),
            output_tokens=len(output.token_ids),
            cached_tokens=output.cached_tokens,
        )

    def _choice(self, question: Question, output: Output, prompt_tokens: int) -> Completion:
        """The likeliest code, and the probabilities of all codes."""
        first = output.first_logprobs or {}
        texts = [(self._decode([token]), logprob) for token, logprob in first.items()]
        logprobs = code_logprobs(question.codes, texts)
        code = question.codes[logprobs.index(max(logprobs))]
        return Completion(
            code,
            False,
            prompt_tokens=prompt_tokens,
            output_tokens=len(output.token_ids),
            cached_tokens=output.cached_tokens,
            code_logprobs=logprobs,
        )

    def _decode(self, token_ids: Sequence[int]) -> str:
        return self._tokenizer.decode(token_ids, skip_special_tokens=True)

    def sampling(self, question: Question, attempt: int) -> Any:
        """Sampling parameters of an attempt at a question (`vllm.SamplingParams`)."""
        key = (question, attempt)
        if key not in self._sampling and question.codes:
            self._sampling[key] = choice_sampling(question.codes)
        if key not in self._sampling:
            temperature, max_tokens = temperature_and_room(
                self._extraction, attempt, in_lines=bool(question.lines)
            )
            self._sampling[key] = answer_sampling(
                question,
                max_tokens=max_tokens,
                temperature=temperature,
                **self._further_sampling,
            )
        return self._sampling[key]

    def describe(self) -> Mapping[str, Any]:
        """Model, revision, and the engine's resolved settings."""
        return {
            "model": self._profile.model,
            "revision": self._revision,
            **self._engine_description,
            "restarts": self._recovery.restarts,
        }

    def close(self) -> None:
        """End the engine."""
        self._recovery.close()


def _tokenizer(profile: ReaderProfile, revision: str) -> Any:
    from transformers import AutoTokenizer

    hub = {} if revision.startswith("sha256:") else {"revision": revision}
    # Where vLLM is installed, Mistral's own tokenizer would be chosen, which is not a fast one.
    return AutoTokenizer.from_pretrained(
        profile.model, trust_remote_code=False, mistral_format=False, **hub
    )
