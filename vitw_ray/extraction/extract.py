"""Stage 2: `conversations` -> `extractions`, one row in, one row out.

Ray Data sends units (ranges of rows of one part) to actors that hold an extractor. An actor reads
its rows from storage, skips those already answered, commits new answers to segments, and returns
counts only. When all units are done, each part of `extractions` is built from the committed
answers, in the row order of its part of `conversations`.
"""

import math
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from vitw_ray import cluster
from vitw_ray.config import RunConfig
from vitw_ray.errors import StageFailed
from vitw_ray.extraction.assemble import (
    SCREEN_COUNTS,
    Decided,
    answer_keys,
    as_conversations,
    assemble,
)
from vitw_ray.extraction.extractors import concurrent_units, extractor_key, make_extractor
from vitw_ray.extraction.screen import steps
from vitw_ray.extraction.screen.screener import Screener, Screening
from vitw_ray.extraction.segments import AnswerIndex, SegmentWriter, as_keys, compact, read_index
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


def extract(context: StageContext) -> StageReport:
    """Extract from every conversation once."""
    key = extractor_key(context.config)
    answers = answers_folder(context.config)
    parts = context.tables["conversations"].files
    units = units_of(parts, context.config.execution.unit_rows)
    if context.config.extraction.screen:
        read = _answer_what_the_screen_leaves(context, answers, units)
    else:
        read = _Read(*_answer(context, answers, units), *_assemble(context, answers))
    totals, files, counts = read.totals, read.files, read.counts
    rows = sum(file.rows for file in files)
    _check_failed_share(counts, rows, context.config.extraction.max_error_share)
    compact(context.storage, answers, read.index)
    failed = {code.removeprefix("error:"): n for code, n in counts.items() if "error:" in code}
    return StageReport(
        files=files,
        rows_in=context.tables["conversations"].rows,
        rows_out=rows,
        failed=dict(sorted(failed.items())),
        details={
            "extractor": f"{context.config.extraction.extractor}@{key}",
            "settings": read.described,
            "rows_per_s_once_ready": read.rate,
            "answers_new": totals["answered"],
            "answers_reused": totals["reused"],
            **{name: n for name, n in sorted(counts.items()) if "error:" not in name},
            **read.screen,
        },
    )


@dataclass(frozen=True)
class _Read:
    """What came of reading all conversations, and the parts of the table."""

    totals: Counter[str]
    described: dict[str, Any]
    rate: float | None
    index: AnswerIndex
    files: list[FileEntry]
    counts: Counter[str]
    screen: Mapping[str, Any] = field(default_factory=dict)


def _assemble(
    context: StageContext, answers: str, decided: Decided | None = None
) -> tuple[AnswerIndex, list[FileEntry], Counter[str]]:
    config = context.config
    index = read_index(context.storage, answers)
    extractor = f"{config.extraction.extractor}@{extractor_key(config)}"
    return index, *assemble(context, index, extractor, decided)


def answers_folder(config: RunConfig) -> str:
    """Where the answers of a run's extractor are committed; they are kept from run to run."""
    return f"{PRIVATE}/answers-{extractor_key(config)}"


def count_answers(config: RunConfig, storage: Storage) -> int:
    """Committed answers that no later run of this extractor asks for again."""
    index = read_index(storage, answers_folder(config))
    return int(np.count_nonzero(~index.failed))


def units_of(parts: Sequence[FileEntry], unit_rows: int) -> list[cluster.Unit]:
    """Ranges of rows; none crosses the boundary of a part."""
    return [
        {"part": number, "start": start, "stop": min(start + unit_rows, part.rows)}
        for number, part in enumerate(parts)
        for start in range(0, part.rows, unit_rows)
    ]


def _answer_what_the_screen_leaves(
    context: StageContext, answers: str, units: list[cluster.Unit]
) -> _Read:
    """As without a screen, but the head reads first, and an audit judges it at the end."""
    passes: list[tuple[Counter[str], dict[str, Any], float | None]] = []

    def answer(some: list[cluster.Unit], screening: Screening | None = None) -> None:
        passes.append(_answer(context, answers, some, screening))

    found = steps.prepare(
        context, units, extractor_key(context.config), answers, read=_read_unit, answer=answer
    )
    # A sample that was read just now has its answers; of an older one, failed rows are repeated.
    answer([*([] if passes else found.sample), *found.others], steps.screening_of(context, found))
    decided = steps.decided(context.storage, found.folder)
    index, files, counts = _assemble(context, answers, decided)
    audit = steps.audit_of(counts, found.screen)
    if steps.withdrawn(audit):
        answer(found.others)
        passes[-1][0]["reused"] = 0  # counted in the pass before
        index, files, counts = _assemble(context, answers)
    screen = steps.details(found.screen, audit, counts["skipped"])
    for name in SCREEN_COUNTS:
        del counts[name]
    totals = Counter[str]()
    for of_pass, _, _ in passes:
        totals.update(of_pass)
    _, described, rate = max(passes, key=lambda one: one[0]["answered"])
    return _Read(totals, described, rate, index, files, counts, {"screen": screen})


def _answer(
    context: StageContext,
    answers: str,
    units: list[cluster.Unit],
    screening: Screening | None = None,
) -> tuple[Counter[str], dict[str, Any], float | None]:
    """Answer all units.

    Returns:
        Counts of rows, the description that the extractors give of themselves, and rows/s since the
        first extractor was ready. The time to load a model is left out: it takes minutes, and is
        not part of the throughput.
    """
    config, rows = context.config, sum(unit["stop"] - unit["start"] for unit in units)
    there = min(count_answers(config, context.storage), rows)
    if there:
        # They may be of other conversations: which, the actors find out as they read.
        log.info("extractions: up to %s of %s answers are there already", f"{there:,}", f"{rows:,}")
    totals = Counter[str]()
    described: dict[str, dict[str, Any]] = {}  # by actor
    ready = math.inf
    results = cluster.stream_through_actors(
        units,
        UnitExtractor,
        arguments={
            "storage": context.storage,
            "answers": answers,
            "parts": context.tables["conversations"].files,
            "config": config,
            "keyed": context.keyed,
            "epoch": context.epoch,
            "screening": screening,
        },
        execution=config.execution,
        concurrent_units=concurrent_units(config),
    )
    waiting = "waiting for the first answers"
    with Progress("extractions", rows, waiting=waiting, left_before=there) as progress:
        for result in results:
            counts = result["counts"]
            totals.update(counts)
            described[result["actor"]] = result["described"]
            ready = min(ready, result["ready"])
            progress.add(counts["rows"], counts["failed"], counts["reused"])
    if totals["reused"]:
        told = (f"{totals[name]:,}" for name in ("answered", "reused"))
        log.info("extractions: %s answers new, %s reused", *told)
    rate = totals["answered"] / max(time.time() - ready, 1e-3) if described else None
    return totals, _one_description(list(described.values())), rate and round(rate, 2)


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
        screening: Screening | None = None,
    ) -> None:
        self._name = uuid.uuid4().hex
        self._storage, self._parts, self._keyed = storage, parts, keyed
        self._extractor_key = extractor_key(config).encode()
        self._done = read_index(storage, answers)  # also from before a restart
        self._segment = SegmentWriter(
            storage,
            answers,
            epoch,
            config.execution.segment_rows,
            config.execution.segment_seconds,
        )
        self._extractor = make_extractor(config)
        self._screener = screening and Screener(screening, storage, keyed, epoch)
        self._ready = time.time()  # wall clock: compared with other machines

    def __call__(self, unit: cluster.Unit) -> cluster.Unit:
        """Answer a unit; all its answers are committed when this returns."""
        conversations = _read_unit(self._storage, self._parts[unit["part"]], unit)
        keys = answer_keys(self._keyed, self._extractor_key, conversations)
        places = self._done.find(as_keys(keys))
        done = (places >= 0) & ~self._done.failed[places] if len(self._done.keys) else places >= 0
        without_answer = wanted = np.flatnonzero(~done).tolist()
        if self._screener is not None and unit["screened"]:
            wanted = self._screener.for_the_model(keys, conversations, without_answer)
        failed = 0
        for n, extracted in self._extractor.extract([conversations[n] for n in wanted]):
            self._segment.add(keys[wanted[n]], extracted)
            failed += extracted.error is not None
        self._segment.commit()
        return {
            "counts": {
                "rows": len(conversations),
                "answered": len(wanted),
                "reused": len(conversations) - len(without_answer),
                "failed": failed,
            },
            "actor": self._name,
            "ready": self._ready,
            "described": dict(self._extractor.describe()),
        }


def _read_unit(storage: Storage, part: FileEntry, unit: cluster.Unit) -> list[Conversation]:
    first = unit["start"] // ROW_GROUP_ROWS
    last = (unit["stop"] - 1) // ROW_GROUP_ROWS
    columns = ["conversation_id", "messages"]
    with open_part(storage, part) as handle:
        table = pq.ParquetFile(handle).read_row_groups(list(range(first, last + 1)), columns)
    check_schema(storage, part, table.schema, columns)
    offset = unit["start"] - first * ROW_GROUP_ROWS
    return as_conversations(table.slice(offset, unit["stop"] - unit["start"]))


def _check_failed_share(counts: Counter[str], rows: int, limit: float) -> None:
    codes = {code.removeprefix("error:"): n for code, n in counts.items() if "error:" in code}
    failed = sum(codes.values())
    if rows and failed / rows > limit:
        listed = ", ".join(f"{code} {n}" for code, n in sorted(codes.items()))
        raise StageFailed(
            f"{failed} of {rows} conversations failed ({listed}); --max-error-share is {limit}",
            "check the error codes; a rerun asks only the failed conversations again",
        )
