"""Outside labels, and how well a reader agrees with them by the mapping in `outside_checks.json`.

The labels were made for other purposes, so these numbers order readers; they are no error rates.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from vitw_ray.agreement.estimates import (
    MISSING,
    Additive,
    Estimate,
    agreement,
    estimate,
    kappa,
    mean,
    ratio_of_sums,
)
from vitw_ray.agreement.estimates import macro_f1 as macro_f1_of
from vitw_ray.agreement.label_lists import same
from vitw_ray.agreement.measures import Similarity
from vitw_ray.comparison.readers.mapping import MAPPING
from vitw_ray.comparison.readers.readings import BY_NAME, Reading

Records = Sequence[Mapping[str, Any]]


def valueeval(truth: Records, reading: Reading, similarity: Similarity | None) -> dict[str, Any]:
    """Categories of an argument: those of the human values that the reader found, by anchor."""
    if similarity is None:
        return {}
    place = category_of(similarity)
    wanted = [record["values"] for record in truth]
    found = [[place(label) for label in labels] for labels in reading.labels["human_values"]]
    kept = [[category for category in row if category is not None] for row in found]
    counted = same(wanted, kept)
    valid = reading.valid
    counted = counted.where(valid)
    known = {
        "f1": counted.f1(),
        "precision": counted.precision(),
        "recall": counted.recall(),
        "jaccard": counted.jaccard(),
        "labels_placed": ratio_of_sums([len(row) for row in kept], [len(row) for row in found]),
    }
    return _estimates(known)


def category_of(similarity: Similarity) -> Callable[[str], str | None]:
    """The category whose nearest anchor a label is near enough to."""
    categories: Mapping[str, Sequence[str]] = MAPPING["valueeval"]["categories"]
    anchors = [(anchor, name) for name, listed in categories.items() for anchor in listed]

    def place(label: str) -> str | None:
        cosines = similarity([label], [anchor for anchor, _ in anchors])[0]
        best = int(cosines.argmax())
        return anchors[best][1] if cosines[best] >= MAPPING["valueeval"]["cosine"] else None

    return place


def valuebench(truth: Records, reading: Reading, similarity: Similarity | None) -> dict[str, Any]:
    """Items that show a value: how often it is found; and of items that show its opposite."""
    if similarity is None:
        return {}
    threshold = MAPPING["valuebench"]["cosine"]
    hits = np.full(len(truth), np.nan)
    for n, (record, labels) in enumerate(zip(truth, reading.labels["human_values"], strict=True)):
        if reading.errors[n] is None:
            name = record["value"].casefold()
            hits[n] = bool(labels) and similarity([name], list(labels)).max() >= threshold
    agrees = np.array([record["agreement"] > 0 for record in truth])
    return _estimates({"found": mean(hits[agrees]), "found_of_opposites": mean(hits[~agrees])})


def xstest(truth: Records, reading: Reading, similarity: Similarity | None) -> dict[str, Any]:
    """Refusals by human label, against the response types that mean a refusal."""
    refusals = MAPPING["xstest"]["refusals"]
    types = BY_NAME["response_type"].categories
    wanted = np.array([refusals.get(r["refusal_human"], MISSING) for r in truth], np.int64)
    means_refusal = [types.index(kind) for kind in MAPPING["xstest"]["response_types"]]
    found = np.isin(reading.codes["response_type"], means_refusal).astype(np.int64)
    found[~reading.valid] = MISSING
    both = (wanted != MISSING) & (found != MISSING)
    hit = (wanted == 1) & (found == 1) & both
    return _estimates(
        {
            "kappa": kappa(wanted, found, 2),
            "precision": ratio_of_sums(hit, (found == 1) & both),
            "recall": ratio_of_sums(hit, (wanted == 1) & both),
        }
    )


def political_compass(
    truth: Records, reading: Reading, similarity: Similarity | None
) -> dict[str, Any]:
    """The assistant's stance by human label, against the response type in three groups."""
    groups = BY_NAME["response_group"].categories
    mapped = MAPPING["political_compass"]["groups"]
    wanted = [groups.index(mapped[record["stance_human"]]) for record in truth]
    found = reading.codes["response_group"]
    size = len(groups)
    found_of = {"kappa": kappa(wanted, found, size), "macro_f1": macro_f1_of(wanted, found, size)}
    return {"same": agreement(wanted, found), **_estimates(found_of)}


def _estimates(coefficients: Mapping[str, Additive]) -> dict[str, Estimate]:
    return {name: estimate(coefficient) for name, coefficient in coefficients.items()}


CHECKS: Mapping[str, Callable[[Records, Reading, Similarity | None], dict[str, Any]]] = (
    MappingProxyType(
        {
            "valueeval": valueeval,
            "valuebench": valuebench,
            "xstest": xstest,
            "political_compass": political_compass,
        }
    )
)
"""Name, as in the ids of its conversations -> the measures of a reader."""
