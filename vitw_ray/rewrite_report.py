"""The page of a finished run, written again from its tables: no input file is needed for it."""

from dataclasses import replace
from typing import Any

from vitw_ray.certified import NAME, standing, table_of
from vitw_ray.config import ReportConfig
from vitw_ray.errors import OutputError
from vitw_ray.finished_run import read_finished, read_record, setup_of
from vitw_ray.lease import acquire
from vitw_ray.pipeline import STAGES, run_stage
from vitw_ray.planning import stage_folder
from vitw_ray.run_folder import tables_of, write_run_file
from vitw_ray.stages import StageContext
from vitw_ray.storage import Storage
from vitw_ray.summary import folder_name, summarise

STAGE = next(stage for stage in STAGES if stage.name == "report")


def rewrite_report(
    storage: Storage, top: int | None = None, certificate: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Make the stage `report` anew, with its own key; other stages stay as the run has them.

    Args:
        storage: of the run folder.
        top: rows of each ranked list; default: as the run has it.
        certificate: manifest of a new one; default: the one that stands.

    Returns:
        The content of `run.json`, which then names the new page.

    Raises:
        OutputError: no run folder, or a run that ended before it had all tables of the page.
        RunLocked: a run is going on in it.
    """
    record = read_record(storage)  # before the lease, which writes: is it a run folder at all?
    with acquire(storage) as lease:
        finished = read_finished(storage)
        config = finished.config
        if top is not None:
            config = replace(config, report=ReportConfig(top=top))
        before = {n: m for n, m in finished.manifests.items() if m["number"] < STAGE.number}
        after = {n: m for n, m in finished.manifests.items() if m["number"] > STAGE.number}
        tables = {name: t for m in before.values() for name, t in tables_of(m).items()}
        if missing := [name for name in STAGE.reads if name not in tables]:
            raise OutputError(
                f"the page needs {', '.join(missing)}, and this run ended after {[*before][-1]}",
                "run it on with vitw run --until report and its own settings",
            )
        after.pop(NAME, None)
        certified = {NAME: certificate} if certificate else standing(storage, tables)
        shown = tables | table_of(certified)
        setup = setup_of(storage, record, finished, config, lease.epoch)
        made_of = [folder_name(m) for m in (*before.values(), *certified.values())]
        folder = stage_folder(setup, STAGE, tables, made_of)
        context = StageContext(**vars(setup), folder=folder, tables=shown, manifests=before)
        manifest = folder.manifest() or run_stage(STAGE, context, lease)
        manifests = {**before, STAGE.name: manifest, **after, **certified}
        result = summarise(setup, manifests, shown)
        result |= {name: record[name] for name in ("inputs", "passed_over") if name in record}
        write_run_file(storage, result)
    return result
