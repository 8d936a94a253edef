"""What the page says about the run itself: facts that stand in no table."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class StageFacts:
    """One stage: rows in and out, and where the difference went (reason or error code -> rows)."""

    number: int
    name: str
    rows_in: int
    rows_out: int
    rejected: Mapping[str, int] = field(default_factory=dict)
    failed: Mapping[str, int] = field(default_factory=dict)
    seconds: float
    rows_per_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Counts over `extractions`; all but the first two over subjective conversations without error.

    `ai_values` and `human_values` count (label, conversation) pairs before any support threshold.
    """

    conversations: int
    failed: int
    subjective: int
    with_ai_values: int
    with_human_values: int
    ai_values: int
    human_values: int

    @property
    def share_with_ai_values(self) -> float | None:
        """Share (0-1) of subjective conversations with at least one AI value."""
        return self.with_ai_values / self.subjective if self.subjective else None

    @property
    def share_with_human_values(self) -> float | None:
        """Share (0-1) of subjective conversations with at least one human value."""
        return self.with_human_values / self.subjective if self.subjective else None


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """Everything the page needs beside the tables.

    `created` is a date that the caller chose (ISO), so that the same run gives the same page.
    `sources` and `models` count conversations by data set and by model under study. `baseline`: the
    extractor is one without a language model. `made_up`: it does not read at all.
    """

    title: str
    created: str
    sources: Mapping[str, int]
    models: Mapping[str, int]
    note: str
    extractor: str
    baseline: bool
    totals: Totals
    stages: tuple[StageFacts, ...]
    versions: Mapping[str, str]
    made_up: bool = False

    @property
    def reader(self) -> str:
        """The extractor as it is named wherever it shows: a baseline is always called one."""
        return f"{self.extractor} (honest baseline)" if self.baseline else self.extractor
