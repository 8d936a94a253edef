"""Two readings of the same conversations, compared in every way that a facet allows.

One side may be the truth; then precision and recall are of the other side.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitw_ray.agreement.estimates import (
    Additive,
    Estimate,
    agreement,
    estimate,
    kappa,
    krippendorff_alpha,
    level_auc,
    macro_f1,
)
from vitw_ray.agreement.label_lists import Counted, near, same
from vitw_ray.agreement.measures import Similarity
from vitw_ray.comparison.readers.readings import BY_NAME, CLOSED, Reading
from vitw_ray.facets import VALUE_FACETS
from vitw_ray.labels.normalize import fold_case, fold_hyphens, singular

Cluster = Callable[[str], str | None]


def spelling(label: str) -> str:
    """A label without what the stage `labels` merges: case, hyphens, plural endings."""
    return singular(fold_hyphens(fold_case(label)))


@dataclass(frozen=True, eq=False)
class Ways:
    """How lists of labels are compared.

    Attributes:
        similarity: cosines of labels; None: no embedder is at hand.
        clusters: by value facet and name of a level, the cluster of a label; None where the tree
            does not know the label.
    """

    similarity: Similarity | None = None
    clusters: Mapping[str, Mapping[str, Cluster]] | None = None

    def counted(self, facet: str, first: Reading, second: Reading) -> dict[str, Counted]:
        """Counts of matching labels by way of comparing."""
        a, b = first.labels[facet], second.labels[facet]
        found = {"exact": same(a, b), "normalised": same(a, b, spelling)}
        if self.similarity is not None:
            found["near"] = near(a, b, self.similarity)
        for level, cluster in ((self.clusters or {}).get(facet) or {}).items():
            found[level] = same(a, b, cluster)
        return found


@dataclass(frozen=True, eq=False)
class Compared:
    """Two readings, with the matches of their lists counted."""

    first: Reading
    second: Reading
    counted: Mapping[str, Mapping[str, Counted]]

    @property
    def listed(self) -> NDArray[np.bool_]:
        """Conversations that both read and either read as subjective: there lists are compared."""
        both = self.first.valid & self.second.valid
        return both & (self.first.subjective | self.second.subjective)


def swapped(compared: Compared) -> Compared:
    """The same with the sides exchanged: matching is symmetric."""
    counted = {
        facet: {way: Counted(c.second, c.first, c.matched) for way, c in by_way.items()}
        for facet, by_way in compared.counted.items()
    }
    return Compared(compared.second, compared.first, counted)


def compare(first: Reading, second: Reading, ways: Ways) -> Compared:
    """Count what two readings of the same conversations have in common."""
    return Compared(first, second, {f: ways.counted(f, first, second) for f in VALUE_FACETS})


def closed_measures(compared: Compared, rows: NDArray[np.bool_]) -> dict[str, dict[str, Estimate]]:
    """By closed facet: share of same answers, kappa (of levels: quadratic) and macro F1."""
    found = {}
    for facet in CLOSED:
        size = len(facet.categories)
        a, b = (side.codes[facet.name][rows] for side in (compared.first, compared.second))
        found[facet.name] = {
            "same": agreement(a, b),
            "kappa": estimate(kappa(a, b, size, ordinal=facet.ordinal)),
            "macro_f1": estimate(macro_f1(a, b, size)),
        }
    return found


def list_measures(
    compared: Compared, rows: NDArray[np.bool_]
) -> dict[str, dict[str, dict[str, Estimate]]]:
    """By value facet and way of comparing: F1, Jaccard, precision and recall."""
    kept = rows & compared.listed
    return {
        facet: {way: _of_lists(counted.where(kept)) for way, counted in by_way.items()}
        for facet, by_way in compared.counted.items()
    }


def _of_lists(counted: Counted) -> dict[str, Estimate]:
    wanted: dict[str, Additive] = {
        "f1": counted.f1(),
        "jaccard": counted.jaccard(),
        "precision": counted.precision(),
        "recall": counted.recall(),
    }
    return {name: estimate(coefficient) for name, coefficient in wanted.items()}


def measures(compared: Compared, rows: NDArray[np.bool_] | None = None) -> dict[str, Any]:
    """All measures of a pair of readings, over all conversations or some."""
    chosen = np.ones(len(compared.first), bool) if rows is None else rows
    return {
        "conversations": int((compared.first.valid & compared.second.valid & chosen).sum()),
        "closed": closed_measures(compared, chosen),
        "lists": list_measures(compared, chosen),
    }


def level_ranking(truth: Reading, reading: Reading) -> Estimate:
    """AUC of a reader's level for what is truly subjective: can it order conversations at all?"""
    size = len(BY_NAME["subjectivity"].categories)
    codes = truth.codes["is_subjective"], reading.codes["subjectivity"]
    return estimate(level_auc(*codes, size))


def alphas(readings: Sequence[Reading]) -> dict[str, Estimate]:
    """Krippendorff's alpha of all readers, by closed facet."""
    return {
        facet.name: estimate(
            krippendorff_alpha(
                [reading.codes[facet.name] for reading in readings],
                len(facet.categories),
                ordinal=facet.ordinal,
            )
        )
        for facet in CLOSED
    }
