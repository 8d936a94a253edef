"""The pipeline: seven stages, in order. Plan, skip what is finished, run the rest.

conversations -> extractions -> labels -> taxonomy -> statistics -> report, release
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from vitw_ray import cluster
from vitw_ray.config import RunConfig
from vitw_ray.conversations.read import read_conversations, shapes_of
from vitw_ray.conversations.sources import find_files
from vitw_ray.extraction.extract import extract
from vitw_ray.extraction.extractors import extractor_key, extractor_settings
from vitw_ray.inference.embedder_files import embedder_key
from vitw_ray.labels.counting import count_labels
from vitw_ray.lease import acquire
from vitw_ray.planning import RunSetup, describe, plan
from vitw_ray.progress import log
from vitw_ray.purge import refuse_after_purge
from vitw_ray.release.publish import publish
from vitw_ray.report.write import TABLES as READ_BY_REPORT
from vitw_ray.report.write import write_report
from vitw_ray.run_folder import (
    StageFolder,
    TableRef,
    entries,
    load_secret,
    tables_of,
    write_run_file,
)
from vitw_ray.stages import Stage, StageContext, without
from vitw_ray.statistics.analyze import analyze
from vitw_ray.storage import Storage
from vitw_ray.summary import folder_name, summarise
from vitw_ray.taxonomy.build import build_taxonomy
from vitw_ray.versions import versions

STAGES = (
    Stage(
        1,
        "conversations",
        read_conversations,
        settings=lambda c: without(c.conversations, "input"),  # known by its content
    ),
    Stage(
        2,
        "extractions",
        extract,
        settings=extractor_settings,
        reads=("conversations",),
    ),
    Stage(
        3,
        "labels",
        count_labels,
        settings=lambda c: c.labels,
        reads=("extractions",),
    ),
    Stage(
        4,
        "taxonomy",
        build_taxonomy,
        settings=lambda c: (
            embedder_key(c),
            without(c.taxonomy, "embedder", "embedder_revision"),  # by its key, above
            c.labels.min_conversations,
            extractor_key(c) if c.taxonomy.naming == "model" else None,
        ),
        reads=("extractions", "labels"),
    ),
    Stage(
        5,
        "statistics",
        analyze,
        settings=lambda c: (c.statistics, c.labels.min_salience),
        reads=("extractions", "labels", "merges", "taxonomy", "task_assignments"),
    ),
    Stage(
        6,
        "report",
        write_report,
        settings=lambda c: (c.report, c.labels, c.extraction.extractor, c.statistics.alpha),
        reads=READ_BY_REPORT,
        reads_private=False,
        distributed=False,
        depends_on_run=True,
    ),
    Stage(
        7,
        "release",
        publish,
        settings=lambda c: (c.release, c.labels, c.extraction.extractor),
        reads=("labels", "taxonomy"),
        distributed=False,
        depends_on_run=True,
    ),
)


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
    for stage in stages:
        stage.settings(config)  # names every model: one that cannot be found is found out now
    inputs = tuple(find_files(config.conversations.input))
    shapes = shapes_of(inputs, config.conversations.source_format)
    with acquire(storage) as lease:
        keyed = load_secret(storage, config.execution.secret_file)
        this = RunSetup(config, storage, keyed, lease, inputs, shapes)
        for line in describe(this, plan(this, stages)):
            announce(line)
        manifests: dict[str, dict[str, Any]] = {}
        tables: dict[str, TableRef] = {}
        for stage in stages:
            folder = this.folder(stage, tables, [folder_name(m) for m in manifests.values()])
            manifest = folder.manifest()
            if manifest is None:
                manifest = run_stage(this, stage, folder, tables, manifests)
            manifests[stage.name] = manifest
            tables.update(tables_of(manifest))
        result = summarise(this, manifests, tables)
        write_run_file(storage, result)
    return result


def run_stage(
    this: RunSetup,
    stage: Stage,
    folder: StageFolder,
    tables: Mapping[str, TableRef],
    manifests: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    """Run one stage; returns its manifest, which makes it visible."""
    this.lease.check()
    refuse_after_purge(stage, this.storage, this.keyed, tables)
    if stage.distributed:
        cluster.connect(this.config.execution)
    log.info("%s: starts", stage.name)
    start = time.monotonic()
    report = stage.run(
        StageContext(
            config=this.config,
            storage=this.storage,
            folder=folder,
            keyed=this.keyed,
            epoch=this.lease.epoch,
            inputs=this.inputs,
            shapes=this.shapes,
            tables=tables,
            manifests=manifests,
        )
    )
    seconds = time.monotonic() - start
    rate = report.rows_in / seconds if seconds else 0.0
    log.info("%s: %s rows in %.1f s", stage.name, f"{report.rows_out:,}", seconds)
    this.lease.check()  # what a replaced driver made is not published
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
