"""The pipeline: seven stages, in order. Plan, skip what is finished, run the rest.

conversations -> extractions -> labels -> taxonomy -> statistics -> report, release
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from vitw_ray import cluster
from vitw_ray.certified import standing, table_of
from vitw_ray.config import RunConfig
from vitw_ray.conversations.listing import list_input
from vitw_ray.conversations.read import read_conversations
from vitw_ray.conversations.survey import survey
from vitw_ray.errors import MayPass, StageFailed, Stopped, VitwRayError
from vitw_ray.extraction.extract import count_answers, extract
from vitw_ray.extraction.extractors import extractor_key, extractor_settings
from vitw_ray.facts import oddities
from vitw_ray.forecast.of_run import forecast_of_run
from vitw_ray.healing import Damaged, check_finished, check_inputs, sweep, sweep_stage, withdraw
from vitw_ray.inference.embedder_files import embedder_key
from vitw_ray.interruption import interruptible
from vitw_ray.labels.counting import count_labels
from vitw_ray.lease import Lease, acquire
from vitw_ray.planning import PAGE, describe, plan, stage_folder
from vitw_ray.preflight import check_places, check_shared, find_models, preflight
from vitw_ray.progress import Progress, log
from vitw_ray.progress_file import ProgressFile
from vitw_ray.purge import refuse_after_purge
from vitw_ray.records import TABLES
from vitw_ray.release.publish import publish
from vitw_ray.report.write import TABLES as READ_BY_REPORT
from vitw_ray.report.write import write_report
from vitw_ray.run_folder import (
    TableRef,
    entries,
    tables_of,
    write_inputs_file,
    write_run_file,
)
from vitw_ray.run_secret import load_secret
from vitw_ray.stages import RunSetup, Stage, StageContext, without
from vitw_ray.statistics.analyze import analyze
from vitw_ray.statistics.correction.reviewed_file import reviewed_digest
from vitw_ray.storage import Storage
from vitw_ray.summary import folder_name, inputs_of, public_settings, summarise
from vitw_ray.taxonomy.build import build_taxonomy
from vitw_ray.taxonomy.frozen.source import frozen_digest
from vitw_ray.versions import versions

STAGES = (
    Stage(
        1,
        "conversations",
        read_conversations,
        settings=lambda c: without(
            *(c.conversations, "input"),  # known by its content
            *(() if c.conversations.keep_parts else ("keep_parts",)),
        ),
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
            without(c.taxonomy, "embedder", "embedder_revision", "taxonomy_from"),
            frozen_digest(c),  # the embedder is known by its key, above
            c.labels.min_conversations,
            c.labels.min_accounts,
            extractor_key(c) if c.taxonomy.naming == "model" else None,
        ),
        reads=("extractions", "labels", "merges"),
    ),
    Stage(
        5,
        "statistics",
        analyze,
        settings=lambda c: (
            without(c.statistics, "reviewed"),  # by its content, below
            reviewed_digest(c.statistics.reviewed),
            c.extraction.subjective_from if c.statistics.reviewed else None,
            c.labels.min_salience,
            c.labels.min_conversations,
            c.labels.min_accounts,
        ),
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

UNREAD = frozenset(TABLES) - {name for stage in STAGES for name in stage.reads}
"""Tables that no stage reads, and so none checks."""
DEPEND_ON_RUN = {stage.name for stage in STAGES if stage.depends_on_run}


def run(
    config: RunConfig, announce: Callable[[str], None] = log.info, until: str = STAGES[-1].name
) -> dict[str, Any]:
    """Run the stages that are not finished; returns the content of `run.json`.

    Args:
        config: the run.
        announce: gets the plan, a line at a time, before any work is done.
        until: name of the last stage to run.

    Raises:
        Stopped: Ctrl-C or SIGTERM; what was answered is kept.
    """
    stages = STAGES[: [stage.name for stage in STAGES].index(until) + 1]
    storage = Storage(config.execution.output)
    told = ProgressFile(storage, 60 * config.execution.stall_minutes)
    with interruptible():
        try:
            return _run(config, storage, stages, announce, told)
        except KeyboardInterrupt:
            pass  # raised from here on, the error would hold on to all that was under way
        if told.stalled:
            raise StageFailed(
                told.stalled,
                "see that the cluster has the CPUs and GPUs asked for and that its nodes are alive,"
                " or raise --stall-minutes; run the same command again to go on",
            )
        raise _stopped(config, storage)


def _run(
    config: RunConfig,
    storage: Storage,
    stages: Sequence[Stage],
    announce: Callable[[str], None],
    told: ProgressFile,
) -> dict[str, Any]:
    find_models(config, stages)
    listed = list_input(config.conversations.input)
    check_places(config, listed.files)
    with acquire(storage) as lease, told.writing(), _ending_workers():
        found = survey(listed, config.conversations.shape)
        keyed = load_secret(storage, config.execution.secret_file)
        setup = RunSetup(
            config,
            storage,
            keyed,
            lease.epoch,
            inputs=found.files,
            shapes=found.shapes,
            passed_over=found.passed_over,
            not_read=found.not_read(),
        )
        planned = plan(setup, stages)
        for line in describe(setup, planned):
            announce(line)
        preflight(config, [p.stage.name for p in planned if p.made_by is None])
        if any(p.stage.distributed for p in planned if p.made_by is None):
            check_shared(config)
        lease.check()
        told.plan([(p.stage.number, p.stage.name, p.folder) for p in planned])
        to_do = {p.folder for p in planned if p.made_by is None}
        told.forecast = forecast_of_run(
            config, found, [p.stage.name for p in planned if p.made_by is None]
        )
        sweep(storage, to_do, keep_scratch=config.execution.keep_scratch)
        manifests, tables = _healed(setup, stages, lease, told)
        certified = standing(storage, tables)
        result = summarise(setup, manifests | certified, tables | table_of(certified))
        write_run_file(storage, result)
        if storage.exists(tables["conversations"].files[0].path):  # else private/ was purged
            write_inputs_file(storage, inputs_of(setup))
    return result


Manifests = dict[str, dict[str, Any]]


def _healed(
    setup: RunSetup, stages: Sequence[Stage], lease: Lease, told: ProgressFile
) -> tuple[Manifests, dict[str, TableRef]]:
    """Manifests and tables of all stages.

    Those whose files are damaged are made again, and one that fails by storage goes on after a
    while.
    """
    attempts: dict[str, int] = {}
    waits = list(cluster.ROUND_WAITS_S)
    while True:
        try:
            return _finished(setup, stages, lease, told)
        except MayPass as failure:
            lease.ask()
            if not waits:
                raise
            log.warning("storage failed, the run goes on in %.0f s: %s", waits[0], failure.problem)
            time.sleep(waits.pop(0))
        except Damaged as found:
            lease.check()
            withdraw(setup.storage, found, attempts)
        except Exception:
            lease.ask()  # what fails because another driver works here is not this run's failure
            raise


def _finished(
    setup: RunSetup, stages: Sequence[Stage], lease: Lease, told: ProgressFile
) -> tuple[Manifests, dict[str, TableRef]]:
    """Manifests and tables of all stages, after running those that are not finished."""
    manifests: Manifests = {}
    tables: dict[str, TableRef] = {}
    for stage in stages:
        before = {name: m for name, m in manifests.items() if name not in DEPEND_ON_RUN}
        certified = standing(setup.storage, tables) if stage.name == PAGE else {}
        made_of = [folder_name(m) for m in (*before.values(), *certified.values())]
        folder = stage_folder(setup, stage, tables, made_of)
        told.at(stage.name, folder.name)
        manifest = folder.manifest()
        shown = tables | table_of(certified)
        context = StageContext(**vars(setup), folder=folder, tables=shown, manifests=before)
        if manifest is None:
            manifest = run_stage(stage, context, lease)
        else:
            check_finished(context, manifest, UNREAD)
        manifests[stage.name] = manifest
        tables.update(tables_of(manifest))
    return manifests, tables


def run_stage(stage: Stage, context: StageContext, lease: Lease) -> dict[str, Any]:
    """Run one stage; returns its manifest, which makes it visible."""
    lease.check()
    refuse_after_purge(stage, context)
    if stage.distributed:
        cluster.connect(context.config.execution)
    check_inputs(stage, context)
    log.info("%s: starts", stage.name)
    start = time.monotonic()
    with Progress(stage.name):
        report = stage.run(context)
    seconds = time.monotonic() - start
    rate = report.rows_in / seconds if seconds else 0.0
    log.info("%s: %s rows in %.1f s", stage.name, f"{report.rows_out:,}", seconds)
    for line in oddities(report.details):
        log.info("%s: %s", stage.name, line)
    lease.check()  # what a replaced driver made is not published
    manifest = context.folder.publish(
        {
            "stage": stage.name,
            "number": stage.number,
            "key": context.folder.name.rsplit("-", 1)[1],
            "inputs": stage.inputs(context.tables),
            "config": public_settings(context.config),
            "rows_in": report.rows_in,
            "rows_out": report.rows_out,
            "rejected": dict(report.rejected),
            "failed": dict(report.failed),
            "seconds": round(seconds, 3),
            "rows_per_s": round(rate, 1),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": versions(),
            "files": entries(report.files),
            "details": dict(report.details),
        }
    )
    sweep_stage(context.storage, context.folder.name, manifest)
    return manifest


@contextmanager
def _ending_workers() -> Iterator[None]:
    """End the workers of a run that is stopped, before its lease ends."""
    try:
        yield
    except KeyboardInterrupt:
        cluster.disconnect()
        raise


def _stopped(config: RunConfig, storage: Storage) -> Stopped:
    """Says how many answers the next run will find."""
    kept = 0
    with suppress(VitwRayError, FileNotFoundError):
        kept = count_answers(config, storage)
    answers = "1 answer is" if kept == 1 else f"{kept:,} answers are"
    return Stopped(
        f"stopped; {f'{answers} kept; ' if kept else ''}run the same command again",
        "run the same command again: what is finished is skipped, what is answered is reused",
    )
