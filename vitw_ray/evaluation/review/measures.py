"""Agreement of two readings of a sample, and of all people, weighted to the run."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitw_ray.agreement.estimates import (
    MISSING,
    Additive,
    Estimate,
    kappa,
    krippendorff_alpha,
    label_f1,
    ratio_of_sums,
)
from vitw_ray.comparison.readers.compared import Ways, compare
from vitw_ray.comparison.readers.readings import BY_NAME, ClosedFacet, Reading
from vitw_ray.evaluation.review.design import Design, estimate, share

CLOSED = tuple(
    BY_NAME[name] for name in ("is_subjective", "subjectivity", "response_type", "response_group")
)
Flags = NDArray[np.bool_]


def aligned(coefficient: Additive, rows: Flags) -> Additive:
    """Additions of some conversations as a row for each of all, with zeros for the others."""
    added = np.zeros((rows.size, coefficient.added.shape[1]))
    added[rows] = coefficient.added
    return Additive(added, coefficient.value)


def pair_measures(
    first: Reading, second: Reading, ways: Ways, design: Design, *, directed: bool = False
) -> dict[str, Any]:
    """How far two readings agree, per facet.

    Args:
        first: people, where one side is the truth.
        second: another reading of the same conversations.
        ways: how lists of labels are compared.
        design: how the conversations were drawn.
        directed: whether `first` is the truth: with precision and recall of lists.
    """
    both = first.valid & second.valid
    if not both.any():
        return {"conversations": 0, "closed": {}, "lists": {}}
    within = design.where(both)
    closed = {}
    for facet in CLOSED:
        a, b = (side.codes[facet.name][both] for side in (first, second))
        known = (a != MISSING) & (b != MISSING)
        found = kappa(a, b, len(facet.categories), ordinal=facet.ordinal)
        closed[facet.name] = {
            "same": share(a == b, known, within),
            "kappa": estimate(aligned(found, known), within),
        }
    compared = compare(first, second, ways)
    lists: dict[str, Any] = {}
    for facet, by_way in compared.counted.items():
        lists[facet] = {}
        for way, counted in by_way.items():
            listed = compared.listed[both]
            mine, theirs, matched = (
                np.where(listed, counts[both], 0)
                for counts in (counted.first, counted.second, counted.matched)
            )
            measures = {"f1": label_f1(matched, mine, theirs)}
            if directed:
                measures["recall"] = ratio_of_sums(matched, mine)
                measures["precision"] = ratio_of_sums(matched, theirs)
            lists[facet][way] = {name: estimate(m, within) for name, m in measures.items()}
    return {"conversations": int(both.sum()), "closed": closed, "lists": lists}


def gate_errors(people: Reading, reader: Reading, design: Design) -> dict[str, Estimate]:
    """Sensitivity and specificity of the reader's gate, and the share that it gets wrong."""
    both = people.valid & reader.valid
    if not both.any():
        return {}
    within = design.where(both)
    truth, said = people.subjective[both], reader.subjective[both]
    return {
        "sensitivity": share(said, truth, within),
        "specificity": share(~said, ~truth, within),
        "wrong": share(said != truth, np.ones(truth.size, bool), within),
    }


def confusion(people: Reading, reader: Reading, facet: ClosedFacet, design: Design) -> Any:
    """People by rows, the reader by columns: conversations, and shares of the run.

    The last row and column are those without an answer, such as a response type of a conversation
    that is not subjective.
    """
    both = people.valid & reader.valid
    size = len(facet.categories) + 1
    if not both.any():
        return None
    within = design.where(both)
    rows, columns = (
        np.where(codes == MISSING, size - 1, codes)
        for codes in (people.codes[facet.name][both], reader.codes[facet.name][both])
    )
    counts, weights = np.zeros((size, size), np.int64), np.zeros((size, size))
    np.add.at(counts, (rows, columns), 1)
    np.add.at(weights, (rows, columns), within.weights / within.weights.sum())
    return {
        "categories": [*facet.categories, "no answer"],
        "conversations": counts.tolist(),
        "share": np.round(weights, 6).tolist(),
    }


def alphas(people: Sequence[Reading], design: Design) -> dict[str, Estimate]:
    """Krippendorff's alpha of all people, by closed facet, where at least two labelled."""
    shared = np.sum([one.valid for one in people], axis=0) >= 2
    if not shared.any():
        return {}
    within = design.where(shared)
    found = {}
    for facet in CLOSED:
        codes = np.array([one.codes[facet.name][shared] for one in people])
        told = (codes != MISSING).sum(axis=0) >= 2
        alpha = krippendorff_alpha(codes.tolist(), len(facet.categories), ordinal=facet.ordinal)
        found[facet.name] = estimate(aligned(alpha, told), within)
    return found


def more_labels(found: Estimate, labelled: int, precision: float) -> dict[str, Any]:
    """Conversations that it takes until an interval has a wanted half width.

    Widths shrink with the root of the number, at the same mix of strata and labellers.
    """
    if found.low is None or found.high is None or labelled == 0:
        return {"half_width": None, "needed": None, "more": None}
    half = (found.high - found.low) / 2
    needed = int(np.ceil(labelled * (half / precision) ** 2))
    return {"half_width": half, "needed": needed, "more": max(needed - labelled, 0)}


def headlines(reader: Mapping[str, Any]) -> dict[str, Estimate]:
    """The coefficients of the reader that most readers of a report ask for."""
    closed, lists = reader["closed"], reader["lists"]
    found = {f"{name} {m}": closed[name][m] for name in closed for m in ("same", "kappa")}
    return found | {f"{facet} f1": lists[facet]["normalised"]["f1"] for facet in lists}
