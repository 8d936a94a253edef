"""The seam between questions and what answers them: an engine of our own or a server somewhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from vitw_ray.inference.question import Question
from vitw_ray.records import Message


class ModelFailure(Exception):
    """A request that has no answer, with the short code of why; never holds text."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model wrote for one request.

    `cut` says that it stopped at the token limit. `cached_tokens` of the prompt were not computed
    anew.
    """

    text: str
    cut: bool
    prompt_tokens: int
    output_tokens: int
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """What stands between the fences of a prompt: as text for a server, as token ids for an engine.

    `messages` is the conversation as cut to the budget; `truncated_share` (0-1, in tokens) of it
    was cut.
    """

    messages: tuple[Message, ...] = ()
    truncated_share: float = 0.0
    text: str = ""
    token_ids: tuple[int, ...] = ()


class LanguageModel(Protocol):
    """Answers questions about readings; many requests at once. Made, then opened."""

    async def open(self) -> None:
        """Start what answers, in the loop where requests will run, and see that it works."""
        ...

    def read(self, messages: Sequence[Message]) -> Reading:
        """Prepare a conversation, once for all questions; called from any thread."""
        ...

    def read_text(self, text: str) -> Reading:
        """Prepare something else to ask about, such as a list of labels."""
        ...

    async def ask(self, reading: Reading, question: Question, attempt: int) -> Completion:
        """Put one question; `attempt` counts from 0, and a later one may be given more room.

        Raises:
            ModelFailure: `time_out`, `refused`, `engine_died` and the like.
        """
        ...

    def describe(self) -> Mapping[str, Any]:
        """Settings as they were resolved, for the manifest."""
        ...

    def close(self) -> None:
        """Let go of processes and connections."""
        ...
