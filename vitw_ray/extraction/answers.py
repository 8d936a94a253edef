"""What an extractor returns for one conversation, and the one seam where extractors plug in.

`Answer` is the pydantic model that every extractor fills. Labels come from an allow-listed
alphabet: lower-case English words.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from vitw_ray.alphabet import LABEL, TASK_PHRASE
from vitw_ray.records import Conversation, ResponseType

MAX_HUMAN_VALUES = 8  # ours: the paper's mean is 1.48 (1.3)
MAX_AI_VALUES = 12  # ours: the paper's mean is 4.0 (1.3)

Label = Annotated[str, StringConstraints(pattern=rf"^{LABEL}$")]
"""One to five words."""
TaskPhrase = Annotated[str, StringConstraints(pattern=rf"^{TASK_PHRASE}$")]


class Value(BaseModel):
    """One value that a speaker holds or shows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: Label
    explicit: bool
    grounded: bool | None = None
    salience: Annotated[int, Field(ge=1, le=5)] | None = None


class Answer(BaseModel):
    """All facets of one conversation; below the gate of subjectivity, that level alone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    subjectivity: Annotated[int, Field(ge=1, le=4)]
    task: TaskPhrase | None = None
    human_values: tuple[Value, ...] = Field(default=(), max_length=MAX_HUMAN_VALUES)
    ai_values: tuple[Value, ...] = Field(default=(), max_length=MAX_AI_VALUES)
    response_type: ResponseType | None = None


@dataclass(frozen=True, slots=True)
class Extracted:
    """An answer, or the short code of what went wrong, and what it cost.

    `truncated_share` (0-1) is the part of the transcript that did not fit the budget. How many of
    the prompt tokens an engine had in its cache depends on the schedule: it is kept with the
    answer, and is in no table.
    """

    answer: Answer | None
    error: str | None = None
    prompt_tokens: int = 0
    output_tokens: int = 0
    truncated_share: float = 0.0
    cached_tokens: int = 0


class Extractor(Protocol):
    """Made inside its actor; holds the model."""

    def extract(self, conversations: Sequence[Conversation]) -> Iterable[tuple[int, Extracted]]:
        """Read conversations: (position, result) of each once, as they are done, in any order.

        Never raises for one bad row. A deterministic extractor answers a conversation alike
        whatever else it is given.
        """
        ...

    def describe(self) -> Mapping[str, Any]:
        """Settings as they were resolved, for the manifest."""
        ...


def in_order(extractor: Extractor, conversations: Sequence[Conversation]) -> list[Extracted]:
    """Results of all conversations, in their order."""
    results = dict(extractor.extract(conversations))
    return [results[number] for number in range(len(conversations))]
