"""A sample that was labelled: its rows, what people said about them, and what the reader said."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vitw_ray.comparison.readers.compared import Ways
from vitw_ray.comparison.readers.readings import Reading, reading_of
from vitw_ray.comparison.readers.tree_levels import clusters_of
from vitw_ray.errors import InputError, OutputError
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
from vitw_ray.evaluation.review.population import BATCH_ROWS
from vitw_ray.evaluation.review.reviewed_run import ReviewedRun
from vitw_ray.facets import VALUE_FACETS
from vitw_ray.storage import PRIVATE

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
        folder=folder,
        manifest=manifest,
        ids=ids,
        design=Design.of(
            sample.column("stratum").to_pylist(),
            sample.column("stratum_size").to_pylist(),
            [row["account_id"] for row in said],
        ),
        reader=reading_of("reader", said, gate),
        names=names,
        labels=by_person,
        people=tuple(
            reading_of(name, map(as_row, given), gate)
            for name, given in zip(names, by_person, strict=True)
        ),
        joint=tuple(
            agreed(name, [one for one in given if one], gate)
            for name, *given in zip(ids, *by_person, strict=True)
        ),
        ways=Ways(clusters=_clusters(run)),
    )


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
