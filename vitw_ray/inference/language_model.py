"""The interface between questions and a language model: an in-process engine or a server."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from vitw_ray.inference.question import Question
from vitw_ray.records import Message

UNREACHABLE = "server_unreachable"
FAILED_ALONE = "server_error"
BY_SERVER = (UNREACHABLE, FAILED_ALONE)
"""Codes of requests that a server has not answered, and may answer later."""


class ModelFailure(Exception):
    """A request without an answer; `code` is a short reason, never conversation text."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Completion:
    """The output of a model for one request.

    `cut` is true if it stopped at the token limit. `cached_tokens` is the number of prompt tokens
    taken from the prefix cache. `code_logprobs` are natural logarithms of the probabilities of a
    closed question's codes, in their order; None for other questions and where a server gives none.
    """

    text: str
    cut: bool
    prompt_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    code_logprobs: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """The content between the fences of a prompt: text for a server, token ids for an engine.

    `messages` is the conversation cut to the token budget; `truncated_share` is the share of its
    tokens that was cut (0-1).
    """

    messages: tuple[Message, ...] = ()
    truncated_share: float = 0.0
    text: str = ""
    token_ids: tuple[int, ...] = ()


class LanguageModel(Protocol):
    """Answers questions about readings, with many concurrent requests. Call `open` first."""

    async def open(self) -> None:
        """Start the engine or client in the event loop of the requests, and check that it works."""
        ...

    def read(self, messages: Sequence[Message]) -> Reading:
        """Prepare a conversation, once for all questions. Thread-safe."""
        ...

    def read_text(self, text: str) -> Reading:
        """Prepare any other text to ask about, such as a list of labels."""
        ...

    async def ask(self, reading: Reading, question: Question, attempt: int) -> Completion:
        """Send one question; `attempt` counts from 0, and a retry may have a higher token limit.

        Raises:
            ModelFailure: `time_out`, `refused`, `engine_died` and the like.
        """
        ...

    def describe(self) -> Mapping[str, Any]:
        """Resolved settings, for the manifest."""
        ...

    def close(self) -> None:
        """Release processes and connections."""
        ...
