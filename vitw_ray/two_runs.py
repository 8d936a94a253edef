"""The page of two finished runs, from their public tables."""

from typing import Any

from vitw_ray.comparison.runs.differing import differences
from vitw_ray.comparison.runs.page import render
from vitw_ray.comparison.runs.shared import agreement
from vitw_ray.comparison.runs.sides import Side, side_of
from vitw_ray.finished_run import read_finished, read_record, setup_of
from vitw_ray.run_folder import StageFolder, tables_of
from vitw_ray.stages import StageContext
from vitw_ray.storage import Storage


def compare_runs(first: Storage, second: Storage) -> tuple[str, dict[str, Any]]:
    """The page of two runs, and its counts. Nothing is written to either.

    Raises:
        OutputError: one is no run folder, or ended before it had all tables that are compared.
    """
    sides = _side(first), _side(second)
    alpha = read_finished(first).config.statistics.alpha
    kinds = differences(*sides, alpha)
    agreed = agreement(*sides)
    told = {
        "same_conversations": agreed.conversations,
        "differing": {kind.key: len(kind.sure) for kind in kinds},
        "matched": {kind.key: len(kind.rows) for kind in kinds},
    }
    return render(sides, kinds, agreed, alpha), told


def _side(storage: Storage) -> Side:
    record = read_record(storage)
    finished = read_finished(storage)
    setup = setup_of(storage, record, finished, finished.config)
    tables = {name: t for m in finished.manifests.values() for name, t in tables_of(m).items()}
    folder = StageFolder(storage, "")  # nothing is written
    return side_of(
        StageContext(**vars(setup), folder=folder, tables=tables, manifests=finished.manifests)
    )
