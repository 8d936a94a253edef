"""The choices of a reading, and the combinations that a certificate reads.

The design is balanced: every level of a choice occurs equally often with every level of any other.
A model is read in half of the 16 combinations of four wordings, two kinds of strictness and two
forms of questions, so the interaction of all three cannot be told from their own effects; a reader
without a prompt is read strictly and as it is. Every reading is counted at each gate, which costs
nothing. With several readers, each is read in the same combinations.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vitw_ray.config import ExtractionConfig
from vitw_ray.extractor_kinds import EXTRACTORS

CHOICES = ("reader", "paraphrase", "strict", "questions", "gate")
OWN = "own"
"""The name of the run's own reader."""
PARAPHRASES = (0, 1, 2, 3)
OTHER_FORM = {"short": "one_pass", "one_pass": "separate", "separate": "one_pass"}
ALL = 1
"""The gate that every conversation passes."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to read: what is asked of a reader. The gate is applied afterwards."""

    reader: str
    paraphrase: int = 0
    strict: bool = False
    questions: str | None = None
    """None: the reader is asked no questions."""

    @property
    def name(self) -> str:
        """Names a folder."""
        wording = "" if self.questions is None else f"-{self.questions}-{self.paraphrase}"
        return f"{self.reader}{wording}{'-strict' if self.strict else ''}"

    @property
    def settings(self) -> dict[str, Any]:
        """What differs from the reader's own settings. Nothing is held back by a gate."""
        settings: dict[str, Any] = {"strict": self.strict, "subjective_from": ALL}
        if self.questions is not None:
            settings |= {"paraphrase": self.paraphrase, "questions": self.questions}
        return settings


@dataclass(frozen=True)
class Specification:
    """A way to read, and the lowest level of subjectivity that is counted; `ALL` is no gate."""

    way: Way
    gate: int

    def level(self, choice: str) -> Any:
        """What this specification takes of a choice."""
        return self.gate if choice == "gate" else getattr(self.way, choice)


def ways_of(readers: Mapping[str, ExtractionConfig]) -> list[Way]:
    """The ways in which readers read. The first is the run's own, as the run has it."""
    found = []
    for name, extraction in readers.items():
        kind = EXTRACTORS[extraction.extractor]
        if kind.is_made_up:
            found.append(Way(reader=name))
        elif not kind.has_model:
            found += [Way(reader=name, strict=strict) for strict in (False, True)]
        else:
            forms = (extraction.questions, OTHER_FORM[extraction.questions])
            found += [
                Way(
                    reader=name,
                    paraphrase=paraphrase,
                    strict=strict,
                    questions=forms[_parity(paraphrase, strict)],
                )
                for paraphrase in PARAPHRASES
                for strict in (False, True)
            ]
    return found


def _parity(paraphrase: int, strict: bool) -> int:
    """The form of questions in the half of the combinations that is read."""
    return (paraphrase.bit_count() + strict) % 2


def gates_of(subjective_from: int) -> tuple[int, ...]:
    """The run's own gate, the next one, and none."""
    return tuple(dict.fromkeys((subjective_from, min(subjective_from + 1, 4), ALL)))


def specifications(ways: Sequence[Way], subjective_from: int) -> list[Specification]:
    """Every way at every gate; the first is that of the run."""
    return [Specification(way, gate) for way in ways for gate in gates_of(subjective_from)]
