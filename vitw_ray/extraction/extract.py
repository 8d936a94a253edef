"""Stage 2: `conversations` -> `extractions`, one row in, one row out.

Ray Data sends units (ranges of rows of one part) to actors that hold an extractor. An actor reads
its rows from storage, skips those already answered, commits new answers to segments, and returns
counts only. When all units are done, each part of `extractions` is built from the committed
answers, in the row order of its part of `conversations`.
"""

import math
import threading
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from vitw_ray import cluster
from vitw_ray.config import RunConfig
from vitw_ray.errors import ConfigError, StageFailed
from vitw_ray.extraction.answers import Extracted, as_judged
from vitw_ray.extraction.assemble import REPAIRS, answer_keys, as_conversations, assemble
from vitw_ray.extraction.extractors import extractor_key, make_extractor, settings_without_start
from vitw_ray.extraction.health import (
    check_reader,
    health_details,
    new_tallies,
    new_watch,
    tell_check,
)
from vitw_ray.extraction.pending import pending_rows, unanswered
from vitw_ray.extraction.segments import SegmentWriter, compact, read_index
from vitw_ray.extraction.units import schedule
from vitw_ray.extraction.watching import Group, Watch
from vitw_ray.extractor_kinds import EXTRACTORS
from vitw_ray.keys import Keyed
from vitw_ray.progress import Progress, log
from vitw_ray.records import Conversation
from vitw_ray.run_folder import (
    ROW_GROUP_ROWS,
    FileEntry,
    StageReport,
    check_schema,
    open_part,
)
from vitw_ray.stages import StageContext
from vitw_ray.storage import PRIVATE, Storage
from vitw_ray.versions import versions


def extract(context: StageContext) -> StageReport:
    """Extract from every conversation once."""
    key = extractor_key(context.config)
    answers = answers_folder(context.config)
    watch = new_watch(context.config)
    totals, described, rate = _answer(context, answers, key, watch)
    if totals["reused"]:
        counts = (f"{totals[name]:,}" for name in ("answered", "reused"))
        log.info("extractions: %s answers new, %s reused", *counts)
    index = read_index(context.storage, answers)
    files, counts = assemble(context, index, f"{context.config.extraction.extractor}@{key}")
    rows = sum(file.rows for file in files)
    _check_failed_share(counts, rows, context.config.extraction.max_error_share)
    compact(context.storage, answers, index)
    repaired = {name: n for name in REPAIRS if (n := counts.pop(name, 0))}
    failed = {code.removeprefix("error:"): n for code, n in counts.items() if "error:" in code}
    return StageReport(
        files=files,
        rows_in=context.tables["conversations"].rows,
        rows_out=rows,
        failed=dict(sorted(failed.items())),
        details={
            "extractor": f"{context.config.extraction.extractor}@{key}",
            "settings": described,
            "rows_per_s_once_ready": rate,
            "answers_new": totals["answered"],
            "answers_reused": totals["reused"],
            "repaired": repaired,
            **{name: n for name, n in sorted(counts.items()) if "error:" not in name},
            **health_details(context, watch),
        },
    )


def answers_folder(config: RunConfig) -> str:
    """Where the answers of a run's extractor are committed; they are kept from run to run."""
    return f"{PRIVATE}/answers-{extractor_key(config)}"


def count_answers(config: RunConfig, storage: Storage) -> int:
    """Committed answers that no later run of this extractor asks for again."""
    index = read_index(storage, answers_folder(config))
    return int(np.count_nonzero(~index.failed))


def _answer(
    context: StageContext, answers: str, key: str, watch: Watch
) -> tuple[Counter[str], dict[str, Any], float | None]:
    """Answer what has no answer yet. Where nothing is missing, no actor starts.

    Returns:
        Counts of rows, the description that the extractors give of themselves, and rows/s since the
        first extractor was ready. The time to load a model is left out: it takes minutes, and is
        not part of the throughput.
    """
    config, table = context.config, context.tables["conversations"]
    pending = pending_rows(context, read_index(context.storage, answers), key)
    there = table.rows - sum(map(len, pending))
    if there:
        log.info("extractions: %s answers are there already", f"{there:,} of {table.rows:,}")
    told = tell_check(context)
    units, concurrent_units = schedule(pending, config)
    tally = cluster.Tally() if units and EXTRACTORS[config.extraction.extractor].has_model else None
    totals = Counter[str]()
    described: dict[str, dict[str, Any]] = {}  # by actor
    ready = math.inf
    results = cluster.stream_through_actors(
        units,
        UnitExtractor,
        arguments={**_actor_arguments(context, answers, key), "tally": tally},
        execution=config.execution,
        concurrent_units=concurrent_units,
    )
    outside = table.rows - sum(unit["stop"] - unit["start"] for unit in units)
    totals["reused"] = outside
    with Progress(
        "extractions",
        table.rows,
        waiting="waiting for the first answers",
        left_before=there,
        under_way=tally.rows if tally else None,
    ) as progress:
        if outside:
            progress.add(outside, reused=outside)
        for result in results:
            told = told or tell_check(context)
            watch.add(result["tallies"])
            counts = result["counts"]
            totals.update(counts)
            if tally:
                tally.finish(result["unit"])
            described[result["actor"]] = result["described"]
            ready = min(ready, result["ready"])
            progress.add(counts["rows"], counts["failed"], counts["reused"])
    rate = totals["answered"] / max(time.time() - ready, 1e-3) if described else None
    settings = _one_description(list(described.values())) or settings_without_start(config)
    return totals, settings, rate and round(rate, 2)


def _actor_arguments(context: StageContext, answers: str, key: str) -> dict[str, Any]:
    return {
        "storage": context.storage,
        "answers": answers,
        "parts": context.tables["conversations"].files,
        "config": context.config,
        "keyed": context.keyed,
        "epoch": context.epoch,
        "key": key,
        "driver_version": versions()["vitw_ray"],
    }


def _one_description(described: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One actor's settings, which all actors share, with engine restarts summed over actors."""
    settings = dict(described[0]) if described else {}
    if "restarts" in settings:
        settings["restarts"] = sum(of_actor["restarts"] for of_actor in described)
    return settings


class UnitExtractor:
    """The actor: holds the extractor, reads units of conversations, commits their answers.

    If the extractor allows it, several threads call it with one unit each.
    """

    def __init__(
        self,
        *,
        storage: Storage,
        answers: str,
        parts: Sequence[FileEntry],
        config: RunConfig,
        keyed: Keyed,
        epoch: int,
        key: str,
        driver_version: str,
        tally: cluster.Tally | None = None,
    ) -> None:
        _check_same_code(config, key, driver_version)
        self._name = uuid.uuid4().hex
        self._storage, self._parts, self._keyed = storage, parts, keyed
        self._extractor_key, self._tally = key.encode(), tally
        self._done = read_index(storage, answers)  # also from before a restart
        self._segment = SegmentWriter(
            storage,
            answers,
            epoch,
            config.execution.segment_rows,
            config.execution.segment_seconds,
        )
        self._extractor = make_extractor(config)
        check_reader(config, storage, self._extractor, epoch)
        self._tallies = new_tallies(config)
        self._ready = time.time()  # wall clock: compared with other machines

    def __call__(self, unit: cluster.Unit) -> cluster.Unit:
        """Answer a unit; all its answers are committed when this returns."""
        conversations, groups = _read_unit(self._storage, self._parts[unit["part"]], unit)
        keys = answer_keys(self._keyed, self._extractor_key, conversations)
        wanted = unanswered(self._done, keys).tolist()
        name, thread = _name(unit), f"{self._name}-{threading.get_ident()}"
        failed = 0
        seen: list[tuple[Group, Extracted]] = []
        for n, extracted in self._extractor.extract([conversations[n] for n in wanted]):
            self._segment.add(keys[wanted[n]], as_judged(conversations[wanted[n]], extracted))
            failed += extracted.error is not None
            seen.append((groups[wanted[n]], extracted))
            if self._tally:
                self._tally.report(thread, name, len(seen))
        self._segment.commit()
        return {
            "counts": {
                "rows": len(conversations),
                "answered": len(wanted),
                "reused": len(conversations) - len(wanted),
                "failed": failed,
            },
            "unit": name,
            "tallies": self._tallies.count(seen) if self._tallies else {},
            "actor": self._name,
            "ready": self._ready,
            "described": dict(self._extractor.describe()),
        }


def _check_same_code(config: RunConfig, key: str, driver_version: str) -> None:
    """Refuse to answer under another key than the one under which the driver looks for answers."""
    own = extractor_key(config)
    if own != key:
        raise ConfigError(
            f"a node of the cluster has other code, or other files of the model, than the driver:"
            f" vitw_ray {versions()['vitw_ray']} with the extractor key {own} there,"
            f" {driver_version} with {key} here",
            "install the same version on all nodes, or submit the job with --working-dir; give all"
            " nodes the same model folder",
        )


def _name(unit: cluster.Unit) -> str:
    return f"{unit['part']}-{unit['start']}"


def _read_unit(
    storage: Storage, part: FileEntry, unit: cluster.Unit
) -> tuple[list[Conversation], list[Group]]:
    """The conversations of a unit, and the assistant and language of each."""
    first = unit["start"] // ROW_GROUP_ROWS
    last = (unit["stop"] - 1) // ROW_GROUP_ROWS
    columns = ["conversation_id", "messages", "model", "language"]
    with open_part(storage, part) as handle:
        table = pq.ParquetFile(handle).read_row_groups(list(range(first, last + 1)), columns)
    check_schema(storage, part, table.schema, columns)
    offset = unit["start"] - first * ROW_GROUP_ROWS
    table = table.slice(offset, unit["stop"] - unit["start"])
    groups = list(zip(table["model"].to_pylist(), table["language"].to_pylist(), strict=True))
    return as_conversations(table), groups


def _check_failed_share(counts: Counter[str], rows: int, limit: float) -> None:
    codes = {code.removeprefix("error:"): n for code, n in counts.items() if "error:" in code}
    failed = sum(codes.values())
    if rows and failed / rows > limit:
        listed = ", ".join(f"{code} {n}" for code, n in sorted(codes.items()))
        raise StageFailed(
            f"{failed} of {rows} conversations failed ({listed}); --max-error-share is {limit}",
            "check the error codes; a rerun asks only the failed conversations again",
        )
