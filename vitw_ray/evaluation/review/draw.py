"""Draw conversations of a finished run for people to label, with known probabilities.

Written under `private/review-<name>/`: the sample, a manifest, and the page that people label on.
"""

import io
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vitw_ray.conversations.sampling import sample_hash
from vitw_ray.errors import ConfigError, OutputError
from vitw_ray.evaluation.review.page import has_answer, render, turns_of, vocabulary
from vitw_ray.evaluation.review.population import BATCH_ROWS, Population, population_of
from vitw_ray.evaluation.review.reviewed_run import ReviewedRun
from vitw_ray.evaluation.review.strata import Stratum, floor_of, make_strata
from vitw_ray.keys import content_key
from vitw_ray.run_folder import pretty_json
from vitw_ray.setting_checks import at_least, between
from vitw_ray.storage import PRIVATE
from vitw_ray.versions import versions

SAMPLE, MANIFEST, PAGE = "sample.parquet", "manifest.json", "label.html"
MOST_LABELLERS = 20  # ours: one page is made for all of them
ORDER = 1  # added to the seed: the order of the page says nothing about the order of drawing

SAMPLE_SCHEMA = pa.schema(
    [
        pa.field("conversation_id", pa.string(), nullable=False),
        pa.field("stratum", pa.string(), nullable=False),
        pa.field("probability", pa.float64(), nullable=False),  # of being drawn
        pa.field("stratum_size", pa.int64(), nullable=False),  # conversations of the run in it
        pa.field("stratum_drawn", pa.int64(), nullable=False),  # how many of them are drawn
        pa.field("labeller", pa.int8()),  # whose share it is in, from 1; null = everybody's
    ]
)
"""One row per drawn conversation, in the order of the page."""


@dataclass(frozen=True, kw_only=True)
class DrawConfig:
    """How a sample is drawn and shared out."""

    name: str = "main"
    size: int = 200
    labellers: int = 2
    overlap: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        """Reject invalid values, naming the field."""
        check_name(self.name)
        at_least("size", self.size, 10)
        between("labellers", self.labellers, 1, MOST_LABELLERS)
        between("overlap", self.overlap, 0.0, 1.0)


@dataclass(frozen=True)
class Drawn:
    """A sample that was drawn and written."""

    folder: str
    """Relative to the run folder."""
    manifest: Mapping[str, Any]
    sample: pa.Table


def check_name(name: str) -> None:
    """Refuse a name that cannot be part of a folder's name."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}", name):
        raise ConfigError(
            "--name is not the name of a folder",
            "give up to 40 letters, digits, hyphens and underscores",
        )


def folder_of(name: str) -> str:
    """Where a review of this name lies."""
    return f"{PRIVATE}/review-{name}"


def draw(run: ReviewedRun, config: DrawConfig) -> Drawn:
    """Draw and write a sample. The same run and settings give the same bytes.

    Raises:
        ConfigError: the name is taken by another sample.
        OutputError: the run has no conversations, or lacks its `private/`.
    """
    population = population_of(run, config.seed, config.size)
    if not population.conversations:
        raise OutputError(
            f"{run.address} holds no conversation that was read without error",
            "give a run with answers",
        )
    strata = make_strata(population.cells, config.size)
    sample = sample_of(population, strata, config)
    manifest = _manifest(run, population, strata, sample, config)
    folder = folder_of(config.name)
    _refuse_another(run, folder, manifest, config)
    page = render(
        manifest,
        _conversations(run, sample),
        vocabulary(run),
        int(run.config["extraction"]["subjective_from"]),
    )
    buffer = io.BytesIO()
    pq.write_table(sample, buffer, compression="zstd")
    run.storage.write(f"{folder}/{SAMPLE}", buffer.getvalue())
    run.storage.write(f"{folder}/{PAGE}", page.encode())
    run.storage.write(f"{folder}/{MANIFEST}", pretty_json(manifest))  # last: the rest is there
    return Drawn(folder, manifest, sample)


def sample_of(population: Population, strata: Sequence[Stratum], config: DrawConfig) -> pa.Table:
    """The drawn conversations, with what is known of how they were drawn."""
    rows = []
    turn = 0
    for stratum in strata:
        entries = [entry for cell in stratum.cells for entry in population.cells[cell].lowest]
        chosen = [identity for _, identity in sorted(entries, reverse=True)[: stratum.drawn]]
        shared = round(config.overlap * len(chosen)) if config.labellers > 1 else 0
        for place, identity in enumerate(chosen):
            labeller = None
            if place >= shared:
                labeller, turn = turn % config.labellers + 1, turn + 1
            rows.append(
                {
                    "conversation_id": identity,
                    "stratum": stratum.name,
                    "probability": stratum.probability,
                    "stratum_size": stratum.size,
                    "stratum_drawn": stratum.drawn,
                    "labeller": labeller,
                }
            )
    rows.sort(key=lambda row: sample_hash(row["conversation_id"], config.seed + ORDER))
    return pa.Table.from_pylist(rows, SAMPLE_SCHEMA)


def _manifest(
    run: ReviewedRun,
    population: Population,
    strata: Sequence[Stratum],
    sample: pa.Table,
    config: DrawConfig,
) -> dict[str, Any]:
    per_labeller = Counter(sample.column("labeller").to_pylist())
    shared = per_labeller[None]
    content = {
        "name": config.name,
        "seed": config.seed,
        "labellers": config.labellers,
        "overlap": config.overlap,
        "floor": floor_of(config.size),
        "drawn": sample.num_rows,
        "labelled_by_all": shared,
        "labelled_by": [shared + per_labeller[number] for number in range(1, config.labellers + 1)],
        "population": population.conversations,
        "left_out": population.left_out,
        "strata": [{"name": s.name, "size": s.size, "drawn": s.drawn} for s in strata],
        "extractions": run.stages["extractions"]["folder"],
        "subjective_from": run.config["extraction"]["subjective_from"],
    }
    key = content_key(content | {"rows": sample.to_pylist()})
    return content | {"sample": key, "vitw_ray": versions()["vitw_ray"]}


def _refuse_another(
    run: ReviewedRun, folder: str, manifest: Mapping[str, Any], config: DrawConfig
) -> None:
    """Labels of a sample that is replaced would be lost."""
    path = f"{folder}/{MANIFEST}"
    if not run.storage.exists(path):
        return
    if json.loads(run.storage.read(path)).get("sample") != manifest["sample"]:
        raise ConfigError(
            f"--name {config.name} is taken by another sample of this run",
            "choose another --name, or delete that folder if nobody has labelled it",
        )


def _conversations(run: ReviewedRun, sample: pa.Table) -> list[dict[str, Any]]:
    """What the page shows of each drawn conversation, and nothing that the reader said."""
    labeller = dict(
        zip(
            sample.column("conversation_id").to_pylist(),
            sample.column("labeller").to_pylist(),
            strict=True,
        )
    )
    found = {}
    for batch in run.batches("conversations", ("conversation_id", "messages"), BATCH_ROWS):
        wanted = [
            place
            for place, name in enumerate(batch.column("conversation_id").to_pylist())
            if name in labeller
        ]
        for row in batch.take(wanted).to_pylist():
            found[row["conversation_id"]] = turns_of(row["messages"])
        if len(found) == len(labeller):
            break
    return [
        {"id": name, "labeller": who, "turns": found[name], "answered": has_answer(found[name])}
        for name, who in labeller.items()
    ]
