"""A language model behind any server with OpenAI's chat API.

Examples are vLLM's own server, SGLang, llama.cpp, Ollama and hosted APIs. The system message has
the instructions; the user message has the fenced conversation and the cue. The answer's schema is
sent as `response_format`. Servers enforce it, ignore it or reject it: `open()` detects which before
the first conversation is sent.
"""

import asyncio
import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

from pydantic import create_model

from vitw_ray.config import Execution, ExtractionConfig
from vitw_ray.errors import ConfigError
from vitw_ray.inference.attempts import temperature_and_room
from vitw_ray.inference.language_model import Completion, ModelFailure, Reading
from vitw_ray.inference.openai_client import (
    CONNECT_S,
    completion_of,
    failure_code,
    logprobs_of,
    make_client,
    served_name,
    start_problem,
    without_secrets,
    wrong_key,
)
from vitw_ray.inference.parsing import InvalidAnswer, parse
from vitw_ray.inference.question import Question, closing, conversation_text, opening
from vitw_ray.inference.server_retries import MAX_RETRIES, Retries
from vitw_ray.inference.time_limits import TimeLimits
from vitw_ray.inference.transcript import estimate, transcript
from vitw_ray.records import Message
from vitw_ray.setting_checks import json_object

if TYPE_CHECKING:
    from openai import AsyncOpenAI

log = logging.getLogger(__name__)

CHOICE_LOGPROBS = 20  # tokens; the most that the API allows
PROBE_TOKENS = 16  # ours: whatever is answered will do
CHECK_RETRIES = 3  # ours: about 3 s, so that a wrong address fails quickly

# Request fields that --sampling-kwargs may not set, each with the setting to use instead, if any.
# They include other ways to constrain decoding: a server would follow one and drop the schema.
_OWNED = {
    **dict.fromkeys(("messages", "n", "stream", "stream_options", "extra_body"), ""),
    **dict.fromkeys(("tools", "tool_choice", "functions", "function_call", "format"), ""),
    **dict.fromkeys(("response_format", "structured_outputs", "json_schema", "grammar"), ""),
    **dict.fromkeys(("logprobs", "top_logprobs"), ""),
    **dict.fromkeys(("regex", "ebnf", "guided_json", "guided_regex", "guided_grammar"), ""),
    **dict.fromkeys(("max_tokens", "max_completion_tokens"), "--max-output-tokens"),
    "model": "--model",
    "temperature": "--temperature",
    "timeout": "--request-timeout-s",
}


class OpenAIServer:
    """A model behind a server; the caller decides how many requests are in flight.

    It belongs to the asyncio loop that first awaits it, which may run in a separate thread. The API
    key is read from the environment and stored only in the client.

    Raises:
        ConfigError: the package `openai` is missing, `sampling_kwargs` sets a reserved field, or
            the address contains a key.
    """

    def __init__(
        self, config: ExtractionConfig, execution: Execution, questions: Sequence[Question] = ()
    ) -> None:
        """Create the client; `open` tests the questions."""
        self._config, self._questions = config, questions
        self._sampling = _passed_through(config.sampling_kwargs)
        self._url = without_secrets(execution.server_url)
        self._limits = TimeLimits(execution.request_timeout_s)
        self._client = make_client(self._url)
        self._check_client = self._client.with_options(max_retries=CHECK_RETRIES)
        self._retries = Retries(self._is_there)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._length: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
        self._sends_schema = True
        self._asks_logprobs = True
        self._schema_enforced: bool | None = None
        self._served_model: str | None = None

    def read(self, messages: Sequence[Message]) -> Reading:
        """Cut a conversation to the budget, in estimated tokens: the tokenizer is not available."""
        cut = transcript(messages, self._config.transcript_tokens, estimate)
        return Reading(cut.messages, cut.truncated_share, conversation_text(cut.messages))

    def read_text(self, text: str) -> Reading:
        """Any text, unchanged."""
        return Reading(text=text)

    async def ask(self, reading: Reading, question: Question, attempt: int) -> Completion:
        """Send one question; see `temperature_and_room` for the settings of a retry.

        Raises:
            ModelFailure: `time_out` (retries included; what is counted, `TimeLimits` says),
                `refused` (by the model or a content filter), `server_refused_request` (permanent),
                `server_unreachable` (after all retries: no connection, too many requests, or
                server errors), `server_error` (the server answers others).
            ConfigError: the key is no longer accepted.
        """
        import openai

        failure: Exception
        try:
            return await self._complete(None, reading, question, attempt)
        except TimeoutError:
            failure = ModelFailure("time_out")
        except openai.AuthenticationError:
            failure = wrong_key(self._url)
        except openai.OpenAIError as error:
            failure = ModelFailure(failure_code(error))
        except (ValueError, RecursionError):  # the body is no JSON, or JSON nested a thousand deep
            failure = ModelFailure("server_refused_request")
        # Raised outside the handlers, so that it has no context: the client's exceptions quote the
        # server, which may quote the conversation or the key.
        raise failure

    async def open(self) -> None:
        """Check, before the first conversation, how the server handles the questions and schemas.

        First a probe: the prompt asks for one answer, and the schema allows only another. The
        second comes back only if decoding is constrained. Then every question is sent with an empty
        conversation, because some servers reject some schemas.

        Raises:
            ConfigError: there is no server, the key or the model is not accepted, or even a plain
                request is rejected.
        """
        word = secrets.token_hex(8)
        only: Any = Literal[word]
        answer = create_model("probe", word=(only, ...))
        probe = Question("probe", "You answer with JSON.", 'Answer: {"word": "yes"}', answer)
        completion = await self._try(probe)
        for question in self._questions:
            await self._try(question)
        self._schema_enforced = self._sends_schema and _is_answer(completion.text, probe)
        if not self._schema_enforced:
            log.warning(
                "The server at %s %s: answers are only validated afterwards, so more may fail",
                self._url,
                "does not enforce schemas"
                if self._sends_schema
                else "rejects a schema (those of --questions separate are simpler)",
            )

    def describe(self) -> Mapping[str, Any]:
        """Resolved settings; `schema_enforced` and `served_model` are None before `open`."""
        return {
            "server_url": self._url,
            "model": self._config.model,
            "served_model": self._served_model,
            "schema_enforced": self._schema_enforced,
            "logprobs_requested": self._asks_logprobs,
            "temperature": self._config.temperature,
            "max_output_tokens": self._config.max_output_tokens,
            "sampling_kwargs": self._sampling,
            "request_timeout_s": self._limits.limit_s,
            "max_retries": MAX_RETRIES,
            "openai": version("openai"),
        }

    def close(self) -> None:
        """Close the connections. Thread-safe; without a running loop there is nothing to close."""
        if self._loop is not None and self._loop.is_running():
            asyncio.run_coroutine_threadsafe(self._client.close(), self._loop)

    async def _try(self, question: Question) -> Completion:
        """Send a question with an empty conversation, and stop sending fields that are rejected.

        OpenAI's newer models reject `max_tokens`, the only name that many other servers accept.
        """
        import openai

        try:
            return await self._complete(self._check_client, Reading(), question, 0)
        except (
            *(TimeoutError, ValueError, RecursionError, ModelFailure),
            openai.OpenAIError,
        ) as error:
            problem = start_problem(error, self._url, self._config.model)
            refused = isinstance(error, openai.BadRequestError | openai.UnprocessableEntityError)
            part = error.param if refused else None
        if refused and question.codes and self._asks_logprobs:
            self._asks_logprobs = False  # not every server gives them
        elif part == self._length == "max_tokens":
            self._length = "max_completion_tokens"
        elif refused and part != "temperature" and self._sends_schema:
            self._sends_schema = False
        else:
            raise problem
        return await self._try(question)

    async def _is_there(self) -> bool:
        """Whether the server answers a short request."""
        import openai

        try:
            async with asyncio.timeout(CONNECT_S):
                await self._client.chat.completions.create(
                    model=self._config.model or "",
                    messages=[{"role": "user", "content": "Answer: yes"}],
                    extra_body={**self._sampling, self._length: PROBE_TOKENS},
                )
        except (TimeoutError, openai.OpenAIError, ValueError, RecursionError):
            return False
        return True

    async def _complete(
        self, check: "AsyncOpenAI | None", reading: Reading, question: Question, attempt: int
    ) -> Completion:
        """Send a question; with the client of a check, as often as that client does."""
        self._loop = asyncio.get_running_loop()
        temperature, max_tokens = temperature_and_room(
            self._config, attempt, in_lines=bool(question.lines)
        )
        settings = {**self._sampling, "temperature": temperature, self._length: max_tokens}
        # A code is no object, which schemas ask for, and the API has no field for lines.
        if self._sends_schema and not question.codes and not question.lines:
            schema = {"name": question.name, "schema": question.schema, "strict": True}
            settings["response_format"] = {"type": "json_schema", "json_schema": schema}
        if question.codes and self._asks_logprobs:
            settings |= {"logprobs": True, "top_logprobs": CHOICE_LOGPROBS}
        send = partial(
            (check or self._client).chat.completions.create,
            model=self._config.model or "",
            messages=[
                {"role": "system", "content": question.before},
                {"role": "user", "content": _user_message(reading, question)},
            ],
            extra_body=settings,  # same request body as with the client's named arguments
        )
        async with self._limits.request():
            response = await (send() if check else self._retries.answer(send))
        completion = completion_of(response)
        if question.codes:
            completion = replace(completion, code_logprobs=logprobs_of(response, question))
        self._served_model = self._served_model or served_name(response, self._config.model)
        return completion


def _passed_through(sampling_kwargs: str) -> dict[str, Any]:
    sampling = json_object("sampling_kwargs", sampling_kwargs)
    for name in sampling.keys() & _OWNED.keys():
        raise ConfigError(
            f"--sampling-kwargs sets {name}, which is set by the extractor",
            f"set {_OWNED[name]} instead" if _OWNED[name] else f"leave {name} out",
        )
    return sampling


def _user_message(reading: Reading, question: Question) -> str:
    fence = opening(question).removeprefix(question.before).lstrip()
    return fence + reading.text + closing(question)


def _is_answer(text: str, question: Question) -> bool:
    try:
        parse(text, question)
    except InvalidAnswer:
        return False
    return True
