"""What an extractor returns for one conversation, and the interface that every extractor has.

`Answer` has one field per facet (`facets.py`). Labels and task phrases consist of allow-listed
characters: text of a conversation cannot reach a table through them.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from vitw_ray.alphabet import LABEL, TASK_PHRASE
from vitw_ray.facets import AI_VALUES, FACETS, HUMAN_VALUES, ResponseType
from vitw_ray.marks import UNSEEN
from vitw_ray.records import Conversation

Label = Annotated[str, StringConstraints(pattern=rf"^{LABEL}$")]
"""One to five words."""
TaskPhrase = Annotated[str, StringConstraints(pattern=rf"^{TASK_PHRASE}$")]


class Value(BaseModel):
    """One value that a speaker states or shows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: Label
    explicit: bool
    grounded: bool | None = None
    salience: Annotated[int, Field(ge=1, le=5)] | None = None


class Answer(BaseModel):
    """All facets of one conversation; below the subjectivity gate, the level alone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    subjectivity: Annotated[int, Field(ge=1, le=4)]
    task: TaskPhrase | None = None
    human_values: tuple[Value, ...] = Field(default=(), max_length=HUMAN_VALUES.most)
    ai_values: tuple[Value, ...] = Field(default=(), max_length=AI_VALUES.most)
    response_type: ResponseType | None = None


@dataclass(frozen=True, slots=True)
class Extracted:
    """An answer or an error code, and what it cost.

    `truncated_share` (0-1) is the part of the transcript that was cut to fit the token budget.
    `cached_tokens` counts prompt tokens that the engine had cached. It depends on scheduling, so it
    is stored with the answer but is in no table. `confidence` (0.5-1) is the probability that the
    conversation is on the side of the subjectivity gate that its level says; None: unknown.
    `labels_dropped` and `lists_cut` count what was odd in the answer and left out of it.
    """

    answer: Answer | None
    error: str | None = None
    prompt_tokens: int = 0
    output_tokens: int = 0
    truncated_share: float = 0.0
    cached_tokens: int = 0
    confidence: float | None = None
    labels_dropped: int = 0
    lists_cut: int = 0


_MARKS = re.compile(
    r"(?:\[(?:\d+ )?(?:image|audio|video|file|attachment|thinking|tool call|tool message)s?\]"
    rf"|[\s{UNSEEN}])*+"
)
"""Marks that stand in a message for what nobody said, and what shows nothing."""


def as_judged(conversation: Conversation, extracted: Extracted) -> Extracted:
    """What an extractor says of a conversation, as far as there is something to judge.

    Where the assistant says nothing, it shows no values and treats none: whatever the extractor
    answers, such a conversation has no AI values and no response type.
    """
    answer = extracted.answer
    if answer is None or any(
        message.role == "assistant" and not _MARKS.fullmatch(message.content)
        for message in conversation.messages
    ):
        return extracted
    about = [facet for facet in FACETS if facet.speaker == "assistant"]
    nothing = {facet.field: () if facet.kind == "values" else None for facet in about}
    return replace(extracted, answer=answer.model_copy(update=nothing))


class Extractor(Protocol):
    """Created inside its actor; holds the model."""

    def extract(self, conversations: Sequence[Conversation]) -> Iterable[tuple[int, Extracted]]:
        """Yield (position, result) once per conversation, in order of completion.

        A conversation that cannot be read yields an error code; it never raises. A deterministic
        extractor gives a conversation the same answer whatever other conversations it is given.
        """
        ...

    def describe(self) -> Mapping[str, Any]:
        """Settings as resolved at run time, for the manifest."""
        ...


def in_order(extractor: Extractor, conversations: Sequence[Conversation]) -> list[Extracted]:
    """All results, in the order of the conversations."""
    results = dict(extractor.extract(conversations))
    return [results[number] for number in range(len(conversations))]
