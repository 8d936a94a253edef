"""What an extractor returns for one conversation, and the one seam where extractors plug in.

`Answer` is the pydantic model that every extractor fills; its JSON schema is also what constrains a
language model's decoding. Labels come from an allow-listed alphabet: lower-case English words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from vitw_ray.records import Conversation, ResponseType

Label = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z '\-]{1,39}$")]
"""One to five words (released labels: 3-35 characters). A pattern, not a length: grammars for
constrained decoding handle patterns more reliably."""
TaskPhrase = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9 ,'\-]{4,79}$")]


class Value(BaseModel):
    """One value that a speaker holds or shows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: Label
    explicit: bool
    grounded: bool | None = None
    salience: Annotated[int, Field(ge=1, le=5)] | None = None


class Answer(BaseModel):
    """All facets of one conversation. `subjectivity` is first: for 1-2 an answer may end there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    subjectivity: Annotated[int, Field(ge=1, le=4)]
    task: TaskPhrase | None = None
    human_values: tuple[Value, ...] = Field(default=(), max_length=8)
    ai_values: tuple[Value, ...] = Field(default=(), max_length=12)
    response_type: ResponseType | None = None


@dataclass(frozen=True, slots=True)
class Extracted:
    """An answer, or the short code of what went wrong, and what it cost.

    `truncated_share` (0-1) is the part of the transcript that did not fit the budget.
    """

    answer: Answer | None
    error: str | None = None
    prompt_tokens: int = 0
    output_tokens: int = 0
    truncated_share: float = 0.0


class Extractor(Protocol):
    """Made inside its actor; holds the model."""

    def extract(self, conversations: Sequence[Conversation]) -> list[Extracted]:
        """Read a batch: one result per conversation, in order; never raises for one bad row.

        A deterministic extractor answers a conversation alike whatever else is in its batch.
        """
        ...
