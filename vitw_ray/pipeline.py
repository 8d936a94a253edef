"""The whole road: seven stages in order. Plan, skip what is finished, run the rest.

conversations -> extractions -> labels -> taxonomy -> statistics -> report, release
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from vitw_ray import cluster
from vitw_ray.config import RunConfig
from vitw_ray.conversations.read import read_conversations, shapes_of
from vitw_ray.conversations.sources import SourceFile, find_files
from vitw_ray.extraction.extract import extract, extractor_settings
from vitw_ray.keys import Keyed
from vitw_ray.labels.counting import PAPER_MIN_CONVERSATIONS, count_labels
from vitw_ray.lease import acquire
from vitw_ray.progress import log
from vitw_ray.release.publish import publish
from vitw_ray.report.write import write_report
from vitw_ray.run_folder import (
    StageFolder,
    TableRef,
    entries,
    load_secret,
    tables_of,
    write_run,
)
from vitw_ray.stages import Stage, StageContext
from vitw_ray.statistics.analyze import analyze
from vitw_ray.storage import Storage
from vitw_ray.taxonomy.build import build_taxonomy
from vitw_ray.versions import versions

STAGES = (
    Stage(
        1,
        "conversations",
        read_conversations,
        settings=lambda c: replace(c.conversations, input=("by their content",)),
        code=("conversations",),
    ),
    Stage(
        2,
        "extractions",
        extract,
        settings=extractor_settings,
        code=("extraction/extract.py", "extraction/segments.py"),
        reads=("conversations",),
    ),
    Stage(
        3,
        "labels",
        count_labels,
        settings=lambda c: c.labels,
        code=("labels",),
        reads=("extractions",),
    ),
    Stage(
        4,
        "taxonomy",
        build_taxonomy,
        settings=lambda c: (c.taxonomy, c.labels.min_conversations, c.execution.device),
        code=("taxonomy",),
        reads=("extractions", "labels"),
    ),
    Stage(
        5,
        "statistics",
        analyze,
        settings=lambda c: c.statistics,
        code=("statistics",),
        reads=("extractions", "labels", "merges", "taxonomy", "task_assignments"),
    ),
    Stage(
        6,
        "report",
        write_report,
        settings=lambda c: (c.report, c.labels, c.extraction.extractor),
        code=("report", "statistics/intervals.py"),
        reads=("labels", "taxonomy", "response_types", "associations", "variation", "mirroring"),
        after=True,
    ),
    Stage(
        7,
        "release",
        publish,
        settings=lambda c: (c.release, c.labels, c.extraction.extractor),
        code=("release", "report", "statistics/intervals.py"),
        reads=("labels", "taxonomy"),
        after=True,
    ),
)


@dataclass(frozen=True)
class Planned:
    """One line of the plan. The folder of a stage is known once its inputs are."""

    stage: Stage
    folder: str
    state: str


@dataclass(frozen=True)
class _Run:
    """What stays the same over the stages of one run."""

    config: RunConfig
    storage: Storage
    keyed: Keyed
    epoch: int
    inputs: tuple[SourceFile, ...]
    shapes: Mapping[str, str]

    def folder(
        self, stage: Stage, tables: Mapping[str, TableRef], before: list[str]
    ) -> StageFolder:
        inputs: Any = stage.inputs(tables)
        if stage.number == 1:
            files = [(f.name, f.size_bytes, f.version) for f in self.inputs]
            inputs = {"files": files, "shapes": self.shapes, "secret": self.keyed.fingerprint}
        if stage.after:
            inputs = {**inputs, "stages": before}
        key = stage.key(self.config, inputs)
        return StageFolder(self.storage, f"{stage.number}_{stage.name}-{key}")


def run(
    config: RunConfig, announce: Callable[[str], None] = log.info, until: str = STAGES[-1].name
) -> dict[str, Any]:
    """Run the stages that are not finished; returns the content of `run.json`.

    Args:
        config: the run.
        announce: gets the plan, a line at a time, before any work is done.
        until: name of the last stage to run.
    """
    stages = STAGES[: [stage.name for stage in STAGES].index(until) + 1]
    storage = Storage(config.execution.output)
    inputs = tuple(find_files(config.conversations.input))
    shapes = shapes_of(inputs, config.conversations.source_format)
    with acquire(storage) as lease:
        keyed = load_secret(storage, config.execution.secret_file)
        this = _Run(config, storage, keyed, lease.epoch, inputs, shapes)
        for line in describe(this, plan(this, stages)):
            announce(line)
        manifests: list[dict[str, Any]] = []
        tables: dict[str, TableRef] = {}
        for stage in stages:
            folder = this.folder(stage, tables, [_folder_name(m) for m in manifests])
            manifest = folder.manifest()
            if manifest is None:
                lease.check()
                manifest = _run_stage(this, stage, folder, tables, manifests)
            manifests.append(manifest)
            tables.update(tables_of(manifest))
        result = summarise(this, manifests, tables)
        write_run(storage, result)
    return result


def plan(this: _Run, stages: Sequence[Stage] = STAGES) -> list[Planned]:
    """What is done and what is to do."""
    lines, tables, before = [], {}, []
    for stage in stages:
        if len(lines) > len(before):
            lines.append(Planned(stage, f"{stage.number}_{stage.name}-...", "to do"))
            continue
        folder = this.folder(stage, tables, before)
        manifest = folder.manifest()
        lines.append(Planned(stage, folder.name, "to do" if manifest is None else "done"))
        if manifest is not None:
            before.append(folder.name)
            tables.update(tables_of(manifest))
    return lines


def describe(this: _Run, planned: list[Planned]) -> list[str]:
    """The plan for a person."""
    config = this.config
    shapes = ", ".join(sorted(set(this.shapes.values()))) or "none"
    size = sum(file.size_bytes for file in this.inputs)
    labels = config.labels
    return [
        f"input   {len(this.inputs)} files, {size / 1e6:,.1f} MB, shape: {shapes}",
        f"output  {config.execution.output}",
        f"reader  {config.extraction.extractor} on {config.execution.device}, "
        f"{config.execution.actors} actors",
        f"support a label is kept from {labels.min_conversations} conversations"
        + (
            f" (scaled down: the paper's threshold is {PAPER_MIN_CONVERSATIONS})"
            if labels.min_conversations < PAPER_MIN_CONVERSATIONS
            else ""
        ),
        *(f"{p.stage.number}  {p.stage.name:<14} {p.folder:<32} {p.state}" for p in planned),
    ]


def _run_stage(
    this: _Run,
    stage: Stage,
    folder: StageFolder,
    tables: Mapping[str, TableRef],
    manifests: list[dict[str, Any]],
) -> dict[str, Any]:
    cluster.connect(this.config.execution)
    log.info("%s: starts", stage.name)
    start = time.monotonic()
    report = stage.run(
        StageContext(
            config=this.config,
            storage=this.storage,
            folder=folder,
            keyed=this.keyed,
            epoch=this.epoch,
            inputs=this.inputs,
            shapes=this.shapes,
            tables=tables,
            manifests=tuple(manifests),
        )
    )
    seconds = time.monotonic() - start
    rate = report.rows_in / seconds if seconds else 0.0
    log.info("%s: %s rows in %.1f s", stage.name, f"{report.rows_out:,}", seconds)
    return folder.publish(
        {
            "stage": stage.name,
            "number": stage.number,
            "key": folder.name.rsplit("-", 1)[1],
            "inputs": stage.inputs(tables),
            "config": asdict(this.config),
            "rows_in": report.rows_in,
            "rows_out": report.rows_out,
            "rejected": dict(report.rejected),
            "failed": dict(report.failed),
            "seconds": round(seconds, 3),
            "rows_per_s": round(rate, 1),
            "versions": versions(),
            "files": entries(report.files),
            "details": dict(report.details),
        }
    )


def summarise(
    this: _Run, manifests: list[dict[str, Any]], tables: Mapping[str, TableRef]
) -> dict[str, Any]:
    """The content of `run.json`."""
    by_name = {manifest["stage"]: manifest for manifest in manifests}
    read, extracted = by_name["conversations"], by_name.get("extractions")
    report = by_name.get("report")
    shown = ("number", "key", "rows_in", "rows_out", "rejected", "failed", "seconds", "rows_per_s")
    return {
        "vitw_ray": versions()["vitw_ray"],
        "secret_fingerprint": this.keyed.fingerprint,
        "config": asdict(this.config),
        "inputs": [{**asdict(f), "shape": this.shapes.get(f.name)} for f in this.inputs],
        "stages": [
            {"name": m["stage"], "folder": _folder_name(m), "details": m["details"]}
            | {name: m[name] for name in shown}
            for m in manifests
        ],
        "tables": {
            name: {
                "stage": next(_folder_name(m) for m in manifests if name in tables_of(m)),
                "rows": table.rows,
                "digest": table.digest,
                "files": [file.path for file in table.files],
            }
            for name, table in tables.items()
        },
        "totals": {
            "rows_read": read["rows_in"],
            "conversations": read["rows_out"],
            "rejected": sum(read["rejected"].values()),
            "extractions": extracted["rows_out"] if extracted else 0,
            "failed": sum(extracted["failed"].values()) if extracted else 0,
        },
        "report": report["files"][0]["path"] if report else None,
        "versions": versions(),
    }


def _folder_name(manifest: Mapping[str, Any]) -> str:
    return f"{manifest['number']}_{manifest['stage']}-{manifest['key']}"
