"""Labels of people compared with each other and with the reader, weighted to the run.

Writes `score.json`, which holds aggregates only, and `reviewed.jsonl`, a line per labelled
conversation, from which statistics can be corrected. Both lie beside the sample, in `private/`.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from itertools import combinations
from typing import Any

import numpy as np

from vitw_ray.agreement.estimates import MISSING
from vitw_ray.comparison.readers.compared import spelling
from vitw_ray.comparison.readers.readings import BY_NAME
from vitw_ray.evaluation.review.alternative import READER, Verdict, alternative_test
from vitw_ray.evaluation.review.labels_file import (
    Labelled,
)
from vitw_ray.evaluation.review.measures import (
    CLOSED,
    alphas,
    confusion,
    gate_errors,
    headlines,
    more_labels,
    pair_measures,
)
from vitw_ray.evaluation.review.opened_review import Review, open_review
from vitw_ray.evaluation.review.reviewed_run import ReviewedRun
from vitw_ray.facets import VALUE_FACETS
from vitw_ray.run_folder import pretty_json
from vitw_ray.setting_checks import between

SCORE, REVIEWED = "score.json", "reviewed.jsonl"
TESTED = ("is_subjective", "subjectivity", "response_type", "response_group")


def score(
    run: ReviewedRun, addresses: Sequence[str], precision: float, epsilon: float
) -> tuple[str, dict[str, Any]]:
    """Compare labels, and write what was found.

    Args:
        run: the run that the sample was drawn from.
        addresses: of the files that the labellers saved.
        precision: wanted half width of intervals.
        epsilon: allowance for the reader in the alt-test.

    Returns:
        The folder, relative to the run, and what `score.json` holds.

    Raises:
        InputError: a file is no file of labels, or of another sample.
        OutputError: the run has changed since the sample was drawn.
    """
    between("precision", precision, 0.001, 0.5)
    between("epsilon", epsilon, 0.0, 1.0)
    review = open_review(run, addresses)
    found = scored(review, precision, epsilon)
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in reviewed_rows(review))
    run.storage.write(f"{review.folder}/{REVIEWED}", "".join(lines).encode())
    run.storage.write(f"{review.folder}/{SCORE}", pretty_json(found))
    return review.folder, found


def scored(review: Review, precision: float, epsilon: float) -> dict[str, Any]:
    """All that the labels show, as JSON can hold it; aggregates only."""
    consensus = review.consensus
    reader = pair_measures(consensus, review.reader, review.ways, review.design, directed=True)
    labelled = int(consensus.valid.sum())
    return _plain(
        {
            "sample": review.manifest["sample"],
            "name": review.manifest["name"],
            "population": review.manifest["population"],
            "drawn": len(review.ids),
            "labelled": labelled,
            "labellers": [_counts(*one) for one in zip(review.names, review.labels, strict=True)],
            "ties": dict(Counter(tie for one in review.joint if one for tie in one.ties)),
            "people": {
                "alpha": alphas(review.people, review.design),
                "pairs": [
                    {"first": a.name, "second": b.name}
                    | pair_measures(a, b, review.ways, review.design)
                    for a, b in combinations(review.people, 2)
                ],
            },
            "reader": {
                **reader,
                "gate": gate_errors(consensus, review.reader, review.design),
                "confusion": {
                    facet.name: confusion(consensus, review.reader, facet, review.design)
                    for facet in CLOSED
                },
                "with_each": [
                    {"labeller": one.name}
                    | pair_measures(one, review.reader, review.ways, review.design)
                    for one in review.people
                ],
            },
            "alternative_test": alternative_tests(review, epsilon),
            "more_labels": {
                "precision": precision,
                "by_measure": {
                    name: more_labels(found, labelled, precision)
                    for name, found in headlines(reader).items()
                },
            },
        }
    )


def alternative_tests(review: Review, epsilon: float) -> dict[str, Verdict]:
    """May the reader stand in for a person? By facet."""
    found = {}
    for name in TESTED:
        codes = np.array([review.reader.codes[name], *(one.codes[name] for one in review.people)])
        ordinal = BY_NAME[name].ordinal

        def closeness(
            i: int, one: int, other: int, codes: Any = codes, ordinal: bool = ordinal
        ) -> float:
            # as the root of the mean square would order them
            apart = int(codes[one + 1, i]) - int(codes[other + 1, i])
            return float(-(apart**2)) if ordinal else float(apart == 0)

        answered = codes != MISSING
        found[name] = alternative_test(answered[1:], answered[0], closeness, epsilon)
    for facet in VALUE_FACETS:
        lists = [[frozenset(map(spelling, labels)) for labels in one.labels[facet]] for one in
                 (review.reader, *review.people)]  # fmt: skip

        def overlap(i: int, one: int, other: int, lists: Any = lists) -> float:
            a, b = lists[one + 1][i], lists[other + 1][i]
            return len(a & b) / len(a | b) if a | b else 1.0

        subjective = np.array([one.subjective for one in review.people])
        found[facet] = alternative_test(subjective, review.reader.valid, overlap, epsilon)
    assert READER == -1
    return found


def reviewed_rows(review: Review) -> list[dict[str, Any]]:
    """A row per conversation that people labelled, by which statistics can be corrected."""
    told = np.array([one is not None for one in review.joint])
    within = review.design.where(told)
    joint = [one for one in review.joint if one is not None]
    return [
        {
            "conversation_id": one.label.conversation_id,
            "stratum": within.names[stratum],
            "probability": probability,
            "subjectivity": one.label.subjectivity,
            "response_type": one.label.response_type,
            "ai_values": list(one.label.ai_values),
            "human_values": list(one.label.human_values),
            "labellers": one.labellers,
        }
        for one, stratum, probability in zip(
            joint, within.strata.tolist(), within.probability.tolist(), strict=True
        )
    ]


def _counts(name: str, labels: Sequence[Labelled | None]) -> dict[str, Any]:
    given = [one for one in labels if one is not None]
    return {
        "name": name,
        "labelled": sum(one.answered for one in given),
        "skipped": sum(one.skipped for one in given),
    }


def _plain(value: Any) -> Any:
    """Dataclasses and arrays as JSON can hold them."""
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
