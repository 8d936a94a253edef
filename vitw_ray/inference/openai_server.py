"""The questions put to any server that speaks OpenAI's chat API.

That is vLLM's own, SGLang, llama.cpp, Ollama or a hosted one. Instructions are the system message,
the fenced conversation and the cue the user message; the answer's schema goes along as
`response_format`. Servers honour it, ignore it or refuse it: `open()` finds out which before the
first conversation is sent.
"""

import asyncio
import logging
import secrets
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

from pydantic import create_model

from vitw_ray.config import Execution, ExtractionConfig
from vitw_ray.errors import ConfigError
from vitw_ray.inference.attempts import temperature_and_room
from vitw_ray.inference.language_model import Completion, ModelFailure, Reading
from vitw_ray.inference.openai_client import (
    MAX_RETRIES,
    completion_of,
    failure_code,
    make_client,
    start_problem,
    without_secrets,
    wrong_key,
)
from vitw_ray.inference.parsing import InvalidAnswer, parse
from vitw_ray.inference.question import Question, closing, conversation_text, opening
from vitw_ray.inference.transcript import estimate, transcript
from vitw_ray.records import Message
from vitw_ray.setting_checks import json_object

if TYPE_CHECKING:
    from openai import AsyncOpenAI

log = logging.getLogger(__name__)

CHECK_RETRIES = 3  # ours: some 3 s, so that a wrong address shows at once

# What a request's own settings decide, with the setting to use instead where there is one. Other
# ways to constrain the decoding are among them: a server would follow one and drop the schema.
_OWNED = {
    **dict.fromkeys(("messages", "n", "stream", "stream_options", "extra_body"), ""),
    **dict.fromkeys(("tools", "tool_choice", "functions", "function_call", "format"), ""),
    **dict.fromkeys(("response_format", "structured_outputs", "json_schema", "grammar"), ""),
    **dict.fromkeys(("regex", "ebnf", "guided_json", "guided_regex", "guided_grammar"), ""),
    **dict.fromkeys(("max_tokens", "max_completion_tokens"), "--max-output-tokens"),
    "model": "--model",
    "temperature": "--temperature",
    "timeout": "--request-timeout-s",
}


class OpenAIServer:
    """A model behind a server; how many requests are in flight is the caller's choice.

    Belongs to the asyncio loop that first awaits it, which may run in a thread of its own. The key
    is read from the environment and kept by the client alone.

    Raises:
        ConfigError: the package `openai` is missing, `sampling_kwargs` would override what the
            questions decide, or the address holds a key.
    """

    def __init__(
        self, config: ExtractionConfig, execution: Execution, questions: Sequence[Question] = ()
    ) -> None:
        """Make the client; `open` tries the questions."""
        self._config, self._questions = config, questions
        self._sampling = _passed_through(config.sampling_kwargs)
        self._url = without_secrets(execution.server_url)
        self._timeout_s = execution.request_timeout_s
        self._client = make_client(self._url)
        self._impatient = self._client.with_options(max_retries=CHECK_RETRIES)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._length: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
        self._sends_schema = True
        self._schema_enforced: bool | None = None
        self._served_model: str | None = None

    def read(self, messages: Sequence[Message]) -> Reading:
        """Cut a conversation to the budget, in estimated tokens: the tokenizer is not here."""
        cut = transcript(messages, self._config.transcript_tokens, estimate)
        return Reading(cut.messages, cut.truncated_share, conversation_text(cut.messages))

    def read_text(self, text: str) -> Reading:
        """Any text, as it is."""
        return Reading(text=text)

    async def ask(self, reading: Reading, question: Question, attempt: int) -> Completion:
        """Put one question; a later attempt is another draw, with twice the room.

        Raises:
            ModelFailure: `time_out` (waits and retries included), `refused` by the model or a
                content filter, `server_refused_request` (for good), `server_unreachable` (after all
                retries: no connection, too many requests, or the server's own errors).
            ConfigError: the key is no longer accepted.
        """
        import openai

        failure: Exception
        try:
            return await self._complete(self._client, reading, question, attempt)
        except TimeoutError:
            failure = ModelFailure("time_out")
        except openai.AuthenticationError:
            failure = wrong_key(self._url)
        except openai.OpenAIError as error:
            failure = ModelFailure(failure_code(error))
        except ValueError:  # JSON was announced, and something else sent
            failure = ModelFailure("server_refused_request")
        # Out here it has no context: the client's exceptions quote the server, which may quote the
        # conversation or the key.
        raise failure

    async def open(self) -> None:
        """Find out, before the first conversation, what the server makes of the questions.

        Asks for one answer while the schema allows another, which only constrained decoding gives;
        then puts the questions themselves to nothing, as some servers refuse some schemas.

        Raises:
            ConfigError: no server there, the key or the model is not accepted, or even a plain
                request is refused.
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
                "The server at %s %s: answers are only checked after the fact, more may fail",
                self._url,
                "does not keep to a schema"
                if self._sends_schema
                else "refuses a schema (those of --questions separate are simpler)",
            )

    def describe(self) -> Mapping[str, Any]:
        """Settings as resolved; `schema_enforced` and `served_model` are null before `open`."""
        return {
            "server_url": self._url,
            "model": self._config.model,
            "served_model": self._served_model,
            "schema_enforced": self._schema_enforced,
            "temperature": self._config.temperature,
            "max_output_tokens": self._config.max_output_tokens,
            "sampling_kwargs": self._sampling,
            "request_timeout_s": self._timeout_s,
            "max_retries": MAX_RETRIES,
            "openai": version("openai"),
        }

    def close(self) -> None:
        """Close the connections, from any thread; with the loop gone they are gone already."""
        if self._loop is not None and self._loop.is_running():
            asyncio.run_coroutine_threadsafe(self._client.close(), self._loop)

    async def _try(self, question: Question) -> Completion:
        """Put a question to nothing, and stop sending what the server refuses.

        OpenAI's newer models refuse `max_tokens`, the only name that many other servers know.
        """
        import openai

        try:
            return await self._complete(self._impatient, Reading(), question, 0)
        except (TimeoutError, ValueError, ModelFailure, openai.OpenAIError) as error:
            problem = start_problem(error, self._url, self._config.model)
            refused = isinstance(error, openai.BadRequestError | openai.UnprocessableEntityError)
            part = error.param if refused else None
        if part == self._length == "max_tokens":
            self._length = "max_completion_tokens"
        elif refused and part != "temperature" and self._sends_schema:
            self._sends_schema = False
        else:
            raise problem
        return await self._try(question)

    async def _complete(
        self, client: "AsyncOpenAI", reading: Reading, question: Question, attempt: int
    ) -> Completion:
        self._loop = asyncio.get_running_loop()
        temperature, room = temperature_and_room(self._config, attempt)
        settings = {**self._sampling, "temperature": temperature, self._length: room}
        if self._sends_schema:
            form = {"name": question.name, "schema": question.schema, "strict": True}
            settings["response_format"] = {"type": "json_schema", "json_schema": form}
        async with asyncio.timeout(self._timeout_s):
            response = await client.chat.completions.create(
                model=self._config.model or "",
                messages=[
                    {"role": "system", "content": question.before},
                    {"role": "user", "content": _user_message(reading, question)},
                ],
                extra_body=settings,  # the same bytes as if those that the client knows had names
            )
        completion = completion_of(response)
        self._served_model = self._served_model or response.model
        return completion


def _passed_through(sampling_kwargs: str) -> dict[str, Any]:
    sampling = json_object("sampling_kwargs", sampling_kwargs)
    for name in sampling.keys() & _OWNED.keys():
        raise ConfigError(
            f"--sampling-kwargs sets {name}, which the extractor decides",
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
