"""Labels of people compared with each other and with the reader, weighted to the run.

Writes `score.json`, which holds aggregates only, and `reviewed.jsonl`, a line per labelled
conversation, from which statistics can be corrected. Both lie beside the sample, in `private/`.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vitw_ray.agreement.estimates import MISSING
from vitw_ray.comparison.readers.compared import Ways, spelling
from vitw_ray.comparison.readers.readings import BY_NAME, Reading, reading_of
from vitw_ray.comparison.readers.tree_levels import clusters_of
from vitw_ray.errors import InputError, OutputError
from vitw_ray.evaluation.review.alternative import READER, Verdict, alternative_test
from vitw_ray.evaluation.review.consensus import Agreed, agreed
from vitw_ray.evaluation.review.design import Design
from vitw_ray.evaluation.review.draw import MANIFEST, SAMPLE
from vitw_ray.evaluation.review.labels_file import (
    Labelled,
    LabelsFile,
    as_row,
    check_files,
    read_labels,
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
from vitw_ray.evaluation.review.population import BATCH_ROWS
from vitw_ray.evaluation.review.reviewed_run import ReviewedRun
from vitw_ray.facets import VALUE_FACETS
from vitw_ray.run_folder import pretty_json
from vitw_ray.setting_checks import between
from vitw_ray.storage import PRIVATE

SCORE, REVIEWED = "score.json", "reviewed.jsonl"
TESTED = ("is_subjective", "subjectivity", "response_type", "response_group")
READER_COLUMNS = ("conversation_id", "account_id", "subjectivity", "response_type", "error")


@dataclass(frozen=True)
class Review:
    """A sample, and what people and the reader said about it; rows are those of the sample."""

    folder: str
    manifest: Mapping[str, Any]
    ids: tuple[str, ...]
    design: Design
    reader: Reading
    names: tuple[str, ...]
    labels: tuple[tuple[Labelled | None, ...], ...]
    """[labellers][conversations]."""
    people: tuple[Reading, ...]
    joint: tuple[Agreed | None, ...]
    ways: Ways

    @property
    def subjective_from(self) -> int:
        """The gate of the run."""
        return int(self.manifest["subjective_from"])

    @property
    def consensus(self) -> Reading:
        """What people say together."""
        rows = [as_row(one.label if one else None) for one in self.joint]
        return reading_of("consensus", rows, self.subjective_from)


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


def open_review(run: ReviewedRun, addresses: Sequence[str]) -> Review:
    """Read the sample that labels are of, the labels, and the reader's answers."""
    if not addresses:
        raise InputError("LABELS: no file is given", "name the files that the labellers saved")
    if twice := [address for address, n in Counter(addresses).items() if n > 1]:
        raise InputError(f"{twice[0]} is given twice", "name each file once")
    files = {address: read_labels(address) for address in addresses}
    folder, manifest = _find(run, files)
    sample = _read_sample(run, folder)
    ids = tuple(sample.column("conversation_id").to_pylist())
    labeller_of = dict(zip(ids, sample.column("labeller").to_pylist(), strict=True))
    check_files(files, manifest["sample"], labeller_of)
    said = _reader_rows(run, ids, manifest)
    gate = int(manifest["subjective_from"])
    labels = [{one.conversation_id: one for one in file.labels} for file in files.values()]
    by_person = tuple(tuple(found.get(name) for name in ids) for found in labels)
    names = tuple(file.labeller for file in files.values())
    return Review(
        folder,
        manifest,
        ids,
        Design.of(
            sample.column("stratum").to_pylist(),
            sample.column("stratum_size").to_pylist(),
            [row["account_id"] for row in said],
        ),
        reading_of("reader", said, gate),
        names,
        by_person,
        tuple(
            reading_of(name, map(as_row, given), gate)
            for name, given in zip(names, by_person, strict=True)
        ),
        tuple(
            agreed(name, [one for one in given if one], gate)
            for name, *given in zip(ids, *by_person, strict=True)
        ),
        Ways(clusters=_clusters(run)),
    )


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


def _find(run: ReviewedRun, files: Mapping[str, LabelsFile]) -> tuple[str, dict[str, Any]]:
    """The review that labels are of, by the digest of its sample."""
    wanted = {file.sample for file in files.values()}
    found = {}
    for stat in run.storage.list(PRIVATE):
        folder, _, name = stat.path.rpartition("/")
        if name == MANIFEST and folder.startswith(f"{PRIVATE}/review-"):
            manifest = json.loads(run.storage.read(stat.path))
            found[manifest["sample"]] = (folder, manifest)
    if not found:
        raise OutputError(
            f"{run.address} holds no sample for review", "draw one with vitw review draw"
        )
    matching = wanted & found.keys()
    if not matching:
        raise InputError(
            "sample: these labels are of no sample of this run",
            "give the run that the page was drawn from",
        )
    folder, manifest = found[min(matching)]
    if manifest["extractions"] != run.stages["extractions"]["folder"]:
        raise OutputError(
            "the run was read anew since the sample was drawn, so that its strata do not hold",
            "run the command of the first run again, or draw and label a new sample",
        )
    return folder, manifest


def _read_sample(run: ReviewedRun, folder: str) -> pa.Table:
    try:
        with run.storage.open(f"{folder}/{SAMPLE}") as handle:
            return pq.read_table(handle)
    except (FileNotFoundError, pa.ArrowException) as error:
        raise OutputError(
            f"{run.storage.address(f'{folder}/{SAMPLE}')} cannot be read ({type(error).__name__})",
            "draw it again with the same flags, which gives the same sample",
        ) from None


def _reader_rows(
    run: ReviewedRun, ids: Sequence[str], manifest: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """What the reader said, in the order of the sample."""
    wanted, found = set(ids), {}
    columns = (*READER_COLUMNS, "task", "confidence", *VALUE_FACETS)
    for batch in run.batches("extractions", columns, BATCH_ROWS):
        names = batch.column("conversation_id").to_pylist()
        rows = batch.take([place for place, name in enumerate(names) if name in wanted])
        found |= {row["conversation_id"]: row for row in rows.to_pylist()}
    if missing := len(wanted - found.keys()):
        raise OutputError(
            f"{missing} conversations of the sample {manifest['name']} are not in extractions",
            "give the run that the page was drawn from",
        )
    return [found[name] for name in ids]


def _clusters(run: ReviewedRun) -> Any:
    try:
        columns = ("facet", "cluster_id", "level", "parent_cluster_id")
        return clusters_of(run.table("taxonomy", columns).arrow)
    except OutputError:  # a run that ended before it had a taxonomy
        return None


def _plain(value: Any) -> Any:
    """Dataclasses and arrays as JSON can hold them."""
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
