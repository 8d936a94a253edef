"""The reader's confidence against what people said, for the details of the stage.

A bin in which few conversations are right, or few are wrong, would tell a count that is too small
to be public: it joins the next one.
"""

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitw_ray.agreement.reliability import EDGES, bin_of, places
from vitw_ray.gate import Mask
from vitw_ray.statistics.correction.answers import Answers
from vitw_ray.statistics.correction.corrected import Evidence


def confidence_bins(answers: Answers, least: Evidence) -> list[dict[str, Any]]:
    """How often the reader is right about `is_subjective`, by its confidence.

    Rows are weighted by the design of the sample. Empty if the reader gives no confidence, or if
    too few conversations were reviewed.
    """
    given = answers.reader.table["confidence"]
    known = (
        given.is_valid().to_numpy() & answers.reader.table["is_subjective"].is_valid().to_numpy()
    )
    confidence = given.fill_null(0.5).to_numpy().astype(float)
    people, reader = answers.base
    right, place = people == reader, np.where(known, places(confidence), -1)
    bins = []
    for rows in _pooled(place, right, answers.design.account, least):
        low, high = EDGES[place[rows].min()], EDGES[place[rows].max() + 1]
        weight = answers.design.weight[rows]
        bins.append(asdict(bin_of(low, high, confidence[rows], right[rows], weight)))
    return bins


def _pooled(
    place: NDArray[np.intp], right: Mask, account: NDArray[np.int64], least: Evidence
) -> list[NDArray[np.intp]]:
    """The rows of each bin that may be shown, from the least sure up."""
    found, last = list[NDArray[np.intp]](), len(EDGES) - 2
    for first in range(last, -1, -1):
        rows = np.flatnonzero((place >= first) & (place <= last))
        if _may_be_shown(right[rows], account[rows], least):
            found.append(rows)
            last = first - 1
    rest = np.flatnonzero((place >= 0) & (place <= last))
    while rest.size and found:  # the rest joins the bin above, until that may be shown
        rest = np.concatenate([found.pop(), rest])
        if _may_be_shown(right[rest], account[rest], least):
            return [rest, *reversed(found)]
    return [] if rest.size else found[::-1]


def _may_be_shown(right: Mask, account: NDArray[np.int64], least: Evidence) -> bool:
    """Enough conversations, and of the right and of the wrong ones either none or enough."""
    if right.size < least.rows:
        return False
    return all(
        not side.any()
        or (side.sum() >= least.cell and np.unique(account[side]).size >= least.accounts)
        for side in (right, ~right)
    )
