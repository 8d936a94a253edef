"""Agreement of two lists of labels per conversation: exact, normalised, by meaning, by cluster.

Each way counts, per conversation, the labels of both sides and how many of them match one to one.
`Counted` holds these counts; `agreement.estimates` makes F1 and Jaccard indices of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitw_ray.agreement.estimates import Additive, label_f1, mean, ratio_of_sums
from vitw_ray.agreement.measures import MATCH_COSINE, Similarity, matches

Labels = Sequence[Sequence[str]]


@dataclass(frozen=True, eq=False)
class Counted:
    """Per conversation: labels of each side, and labels that match one to one."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    matched: NDArray[np.int64]

    def f1(self) -> Additive:
        """F1 over all labels; symmetric in the two sides."""
        return label_f1(self.matched, self.first, self.second)

    def recall(self) -> Additive:
        """Share of the first side's labels that the second side found."""
        return ratio_of_sums(self.matched, self.first)

    def precision(self) -> Additive:
        """Share of the second side's labels that the first side has."""
        return ratio_of_sums(self.matched, self.second)

    def jaccard(self) -> Additive:
        """Mean Jaccard index over conversations; two empty lists say nothing and are left out."""
        either = self.first + self.second - self.matched
        known = either > 0
        return mean(self.matched[known] / either[known])

    def where(self, rows: NDArray[np.bool_]) -> "Counted":
        """The same counts of some of the conversations."""
        return Counted(self.first[rows], self.second[rows], self.matched[rows])


def same(first: Labels, second: Labels, as_counted: Callable[[str], str | None] = str) -> Counted:
    """Labels match when they are the same; a label counts once per conversation.

    Args:
        first: labels of each conversation.
        second: the same conversations by another reader.
        as_counted: what a label counts as, such as its normalised spelling or its cluster. None
            leaves it out.
    """
    counts = []
    for a, b in zip(first, second, strict=True):
        mine, theirs = ({as_counted(label) for label in side} - {None} for side in (a, b))
        counts.append((len(mine), len(theirs), len(mine & theirs)))
    return _counted(counts)


def near(
    first: Labels, second: Labels, similarity: Similarity, threshold: float = MATCH_COSINE
) -> Counted:
    """Labels match one to one, most similar first, when their cosine reaches the threshold."""
    counts = []
    for a, b in zip(first, second, strict=True):
        mine, theirs = sorted(set(a)), sorted(set(b))
        found = matches(similarity(mine, theirs), threshold) if mine and theirs else 0
        counts.append((len(mine), len(theirs), found))
    return _counted(counts)


def _counted(counts: Sequence[tuple[int, int, int]]) -> Counted:
    columns = np.array(counts, np.int64).reshape(-1, 3)
    return Counted(columns[:, 0], columns[:, 1], columns[:, 2])
