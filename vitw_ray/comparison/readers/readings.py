"""What one reader, or people, found in the same conversations, as arrays that can be compared.

The gate is applied: facets of a conversation that was not read as subjective are missing, and its
lists of values are empty, whatever an answer holds beyond the level. That is what the statistics of
a run count.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vitw_ray.agreement.estimates import MISSING
from vitw_ray.comparison.readers.mapping import MAPPING
from vitw_ray.facets import RESPONSE_TYPES, VALUE_FACETS


@dataclass(frozen=True, slots=True)
class ClosedFacet:
    """A facet with a fixed list of answers."""

    name: str
    categories: tuple[str, ...]
    ordinal: bool = False


GROUP_OF = {kind: group for group, kinds in MAPPING["response_groups"].items() for kind in kinds}
NO_YES = ("no", "yes")
CLOSED = (
    ClosedFacet("is_subjective", NO_YES),
    ClosedFacet("subjectivity", ("1", "2", "3", "4"), ordinal=True),
    ClosedFacet("response_type", RESPONSE_TYPES),
    ClosedFacet("response_group", tuple(MAPPING["response_groups"])),
    ClosedFacet("has_human_values", NO_YES),
)
"""`response_group` is the response type as support, neutral or resistance."""
BY_NAME = {facet.name: facet for facet in CLOSED}


@dataclass(frozen=True, eq=False)
class Reading:
    """Answers of one reader, a row per conversation.

    Attributes:
        name: of the reader.
        errors: error code of each conversation; None where it was read.
        codes: by closed facet, positions in its categories; `MISSING` where there is no answer.
        labels: by value facet, the labels of each conversation.
        marks: by value facet, (explicit, grounded) of every value found.
        tasks: task phrase of each conversation.
        confidence: that `is_subjective` is right (0.5-1); NaN where it is not known.
        subjective_from: lowest subjective level.
    """

    name: str
    errors: tuple[str | None, ...]
    codes: Mapping[str, NDArray[np.int64]]
    labels: Mapping[str, tuple[tuple[str, ...], ...]]
    marks: Mapping[str, tuple[tuple[bool, bool | None], ...]]
    tasks: tuple[str | None, ...]
    confidence: NDArray[np.float64]
    subjective_from: int

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Conversations that were read."""
        return np.array([error is None for error in self.errors], bool)

    @property
    def subjective(self) -> NDArray[np.bool_]:
        """Conversations that were read as subjective."""
        return self.codes["is_subjective"] == 1

    def __len__(self) -> int:
        """Number of conversations."""
        return len(self.errors)


def reading_of(name: str, rows: Iterable[Mapping[str, Any]], subjective_from: int = 3) -> Reading:
    """The reading of answers: rows of `extractions`, or of a file of labels.

    Args:
        name: of the reader.
        rows: one per conversation, with subjectivity, task, human_values, ai_values, response_type
            and, in `extractions`, error and confidence.
        subjective_from: lowest subjective level.
    """
    answers = [_gated(row, subjective_from) for row in rows]
    codes = {facet.name: _codes(facet, [row[facet.name] for row in answers]) for facet in CLOSED}
    return Reading(
        name,
        tuple(row["error"] for row in answers),
        codes,
        {f: tuple(tuple(v["label"] for v in row[f]) for row in answers) for f in VALUE_FACETS},
        {
            f: tuple((v["explicit"], v.get("grounded")) for row in answers for v in row[f])
            for f in VALUE_FACETS
        },
        tuple(row["task"] for row in answers),
        np.array([row["confidence"] for row in answers], float),
        subjective_from,
    )


def _gated(row: Mapping[str, Any], subjective_from: int) -> dict[str, Any]:
    level, error = row["subjectivity"], row.get("error")
    if level is None or error is not None:
        error, level = error or "no_answer", None
    subjective = level is not None and level >= subjective_from
    response = row["response_type"] if subjective else None
    values = {facet: list(row[facet] or ()) if subjective else [] for facet in VALUE_FACETS}
    return {
        "error": error,
        "is_subjective": None if level is None else NO_YES[subjective],
        "subjectivity": None if level is None else str(level),
        "response_type": response,
        "response_group": GROUP_OF.get(response),
        "has_human_values": NO_YES[bool(values["human_values"])] if subjective else None,
        "task": row["task"] if subjective else None,
        "confidence": known if isinstance(known := row.get("confidence"), float) else np.nan,
        **values,
    }


def _codes(facet: ClosedFacet, answers: Sequence[str | None]) -> NDArray[np.int64]:
    place = {category: code for code, category in enumerate(facet.categories)}
    return np.array([place.get(answer, MISSING) for answer in answers], np.int64)  # type: ignore[arg-type]


def part_of(reading: Reading, positions: ArrayLike) -> Reading:
    """The same reading of some of the conversations; it keeps no marks of single values."""
    chosen = np.asarray(positions, np.int64)
    return Reading(
        reading.name,
        tuple(reading.errors[n] for n in chosen),
        {name: codes[chosen] for name, codes in reading.codes.items()},
        {facet: tuple(lists[n] for n in chosen) for facet, lists in reading.labels.items()},
        {},
        tuple(reading.tasks[n] for n in chosen),
        reading.confidence[chosen],
        reading.subjective_from,
    )
