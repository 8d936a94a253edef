"""What rows of the table `corrected` are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from vitw_ray.gate import Mask
from vitw_ray.statistics.contingency import Integers
from vitw_ray.statistics.correction.answers import Answers
from vitw_ray.statistics.correction.corrected import Corrected, Evidence
from vitw_ray.statistics.correction.groups import Labels
from vitw_ray.statistics.correction.measures import share_states
from vitw_ray.statistics.correction.sample import Reviewed

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Correction:
    """What the rows are made of."""

    answers: Answers
    counts: Mapping[str, Any]  # of the run, by name
    labels: Sequence[Labels]
    least: Evidence
    conversations: int  # of the run, subjective or not

    @property
    def subjective(self) -> int:
        """Conversations that the reader calls subjective."""
        return self.counts["types x models"].conversations

    @cached_property
    def types(self) -> Labels:
        """The response types."""
        return next(labels for labels in self.labels if labels.name == "types")

    def presence(self, labels: Labels) -> Integers:
        """Conversations that hold each label, by the reader."""
        if labels.name == "types":
            return self.counts["types x models"].rows
        if labels.name == "human":
            return self.counts["human x tasks"].rows
        return self.counts[f"{labels.name} x types"].rows

    def sample(self, people: Integers, reader: Integers, group: Integers | None = None) -> Reviewed:
        """The reviewed rows with states; by default in one group."""
        groups = np.zeros_like(people) if group is None else group
        return self.answers.design.of_states(groups, people, reader)

    def states(
        self, labels: Labels, code: int, base: tuple[Mask, Mask] | None = None
    ) -> tuple[Integers, Integers]:
        """States of a label, by people and by the reader; the base is subjective by default."""
        of_people, of_reader = self.answers.base if base is None else base
        return (
            share_states(of_people, labels.people[:, code]),
            share_states(of_reader, labels.reader[:, code]),
        )

    def may_tell(self, labels: Labels) -> Integers:
        """Labels that people found often enough for any number."""
        return np.flatnonzero(labels.people.sum(axis=0) >= self.least.cell)


def row_of(
    measure: str,
    labels: Labels,
    code: int,
    raw: float,
    found: Corrected,
    over: tuple[str | None, ...] = (),
) -> Row:
    """One row; `over` are the facet, the category and the one that is subtracted."""
    names = {
        "measure": measure,
        "facet": labels.axis.facet,
        "level": labels.axis.level,
        "label": labels.axis.names[code],
    }
    groups = dict(zip(("over_facet", "over", "versus"), over, strict=False))
    return {**names, **groups, "raw": raw, **numbers_of(found)}


def numbers_of(found: Corrected) -> Row:
    """The columns of a corrected measure."""
    numbers = {"corrected": found.value, "low": found.low, "high": found.high}
    return {**numbers, "reviewed": found.reviewed, "reason": found.reason}
