"""Assistants, languages and periods of the reviewed conversations, with the counts of all."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitw_ray.facets import RESPONSE_TYPES
from vitw_ray.gate import Mask
from vitw_ray.statistics.block import ConversationBlock
from vitw_ray.statistics.contingency import Axis, CodedFacet, GroupCounts, Integers
from vitw_ray.statistics.correction.answers import Answers
from vitw_ray.statistics.correction.measures import HOLDING, LACKING, STATES


@dataclass(frozen=True, eq=False)
class Labels:
    """One facet at one level: who holds what, by people and by the reader."""

    axis: Axis
    name: str  # of its counts: types, human, ai_<level>
    people: Mask  # [rows, codes]
    reader: Mask


@dataclass(frozen=True, eq=False)
class Grouped:
    """Groups by a known property. A last group is of no name: all other conversations."""

    kind: str
    names: Sequence[str]
    codes: Sequence[int]  # of the groups in the counts
    strata: int  # by which each group is split in the counts
    of_row: Integers  # [rows]: index into `names`, or its length

    def population(self, counts: GroupCounts, label: int) -> Integers:
        """Conversations by the reader's state, [groups + 1, states]."""
        ends = np.array([label, label + 1]) * counts.width
        first, last = np.searchsorted(counts.both.keys, ends)
        columns = counts.both.keys[first:last] - ends[0]
        held = self._summed(columns, counts.both.counts[first:last])
        whole = self._summed(counts.columns.keys, counts.columns.counts)
        found = np.zeros((len(self.names) + 1, STATES), np.int64)
        found[:-1, HOLDING], found[:-1, LACKING] = held, whole - held
        return found

    def _summed(self, columns: Integers, counts: Integers) -> Integers:
        groups = columns // self.strata
        return np.array([counts[groups == code].sum() for code in self.codes], np.int64)


def grouped(
    kind: str,
    facet: CodedFacet,
    names: dict[int, str],
    strata: int,
    answers: Answers,
    most: int | None = None,
) -> Grouped:
    """The groups of the reviewed rows.

    Args:
        kind: models, languages or periods.
        facet: the code of each row.
        names: of the codes that may be shown.
        strata: by which the counts split each group.
        answers: the reviewed rows.
        most: groups at most, those with most reviewed rows; by default all.
    """
    size = facet.presence
    codes = sorted(names)
    if most is not None:
        reviewed = (code for code in codes if size[code])
        codes = sorted(sorted(reviewed, key=lambda code: (-size[code], code))[:most])
    of_row = np.full(answers.rows, len(codes), np.int64)
    for number, code in enumerate(codes):
        of_row[facet.rows[facet.codes == code]] = number
    return Grouped(kind, [names[code] for code in codes], codes, strata, of_row)


def labels_of(answers: Answers) -> list[Labels]:
    """Response types, human values, and AI values at each level, of the reviewed rows."""
    codes = answers.people.vocabulary
    axes = [
        (Axis("response_types", RESPONSE_TYPES), "types"),
        (Axis("human_values", codes.human), "human"),
        *(
            (Axis("ai_values", names, level), f"ai_{level}")
            for level, names in enumerate(codes.ai_levels)
        ),
    ]
    return [Labels(axis, name, *answers.both(lambda b, n=name: _held(b, n))) for axis, name in axes]


def _held(block: ConversationBlock, name: str) -> CodedFacet:
    if name == "types":
        return block.response_type
    return block.human if name == "human" else block.ai_at(int(name.removeprefix("ai_")))
