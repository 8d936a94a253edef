"""Stage 2: `conversations` -> `extractions`, one row in, one row out.

Ray Data sends units (ranges of rows of one part) to actors that hold an extractor. An actor reads
its rows from storage, skips those already answered, commits new answers to segments, and returns
counts only. When all units are done, each part of `extractions` is built from the committed
answers, in the row order of its part of `conversations`.
"""

from collections import Counter
from typing import Any

from vitw_ray.config import RunConfig
from vitw_ray.errors import StageFailed
from vitw_ray.extraction.assemble import REPAIRS, AnswersMissing, Assembled, assemble
from vitw_ray.extraction.committed import count_committed, count_set_aside
from vitw_ray.extraction.extractors import extractor_key
from vitw_ray.extraction.health import health_details
from vitw_ray.extraction.pending import pending_rows
from vitw_ray.extraction.reading import Reading
from vitw_ray.extraction.screen.steps import read_screened
from vitw_ray.extraction.segments import SET_ASIDE
from vitw_ray.progress import log
from vitw_ray.run_folder import StageReport
from vitw_ray.stages import StageContext
from vitw_ray.storage import PRIVATE, Storage

_MOST_PASSES = 3  # ours: a segment that is damaged while the stage works is rare


def extract(context: StageContext) -> StageReport:
    """Extract from every conversation once."""
    config = context.config
    key = extractor_key(config)
    reading = Reading(context, answers_folder(config), key)
    table, screen = _read(context, reading)
    set_aside = count_set_aside(context.storage, answers_folder(config))
    if set_aside:
        log.warning(
            "extractions: %d damaged files of answers are set aside in %s/%s/; their conversations"
            " were read again",
            *(set_aside, answers_folder(config), SET_ASIDE),
        )
    rows = sum(file.rows for file in table.files)
    reused = rows - reading.answered - screen.get("skipped", 0)
    if reused:
        counts = (f"{number:,}" for number in (reading.answered, reused))
        log.info("extractions: %s answers new, %s reused", *counts)
    counts = table.counts
    repaired = {name: n for name in REPAIRS if (n := counts.pop(name, 0))}
    _check_failed_share(counts, rows, config.extraction.max_error_share)
    failed = {code.removeprefix("error:"): n for code, n in counts.items() if "error:" in code}
    return StageReport(
        files=table.files,
        rows_in=context.tables["conversations"].rows,
        rows_out=rows,
        failed=dict(sorted(failed.items())),
        details={
            "extractor": f"{config.extraction.extractor}@{key}",
            "settings": reading.settings,
            "rows_per_s_once_ready": reading.rate,
            "answers_new": reading.answered,
            "answers_reused": reused,
            "repaired": repaired,
            **{name: n for name, n in sorted(counts.items()) if "error:" not in name},
            **({"screen": screen} if screen else {}),
            **({"segments_set_aside": set_aside} if set_aside else {}),
            **health_details(context, reading.watch),
        },
    )


def _read(context: StageContext, reading: Reading) -> tuple[Assembled, dict[str, Any]]:
    """The table, and what is said of a screen. Answers that are lost on the way are asked again."""
    for left in reversed(range(_MOST_PASSES)):
        try:
            if context.config.extraction.screen:
                return read_screened(context, reading)
            return _read_all(context, reading), {}
        except AnswersMissing:
            if not left:
                raise
    raise AssertionError("unreachable")


def answers_folder(config: RunConfig) -> str:
    """Where the answers of a run's extractor are committed; they are kept from run to run."""
    return f"{PRIVATE}/answers-{extractor_key(config)}"


def count_answers(config: RunConfig, storage: Storage) -> int:
    """Committed answers that no later run of this extractor asks for again."""
    return count_committed(storage, answers_folder(config))


def _read_all(context: StageContext, reading: Reading) -> Assembled:
    """Have the reader answer what has no answer yet, and build the table."""
    answers, rows = reading.answers(), context.tables["conversations"].rows
    pending = pending_rows(context, answers, reading.key)
    of_none = not answers.is_new and sum(map(len, pending.rows)) == rows
    if of_none and (kept := count_committed(context.storage, answers.path)):
        log.info("extractions: %s answers are there, to other conversations", f"{kept:,}")
    reading.answer(pending.rows, rows)
    asked = {part for part, of_part in enumerate(pending.rows) if len(of_part)}
    return assemble(context, reading.answers(), reading.key, anew=asked)


def _check_failed_share(counts: Counter[str], rows: int, limit: float) -> None:
    codes = {code.removeprefix("error:"): n for code, n in counts.items() if "error:" in code}
    failed = sum(codes.values())
    if rows and failed / rows > limit:
        listed = ", ".join(f"{code} {n}" for code, n in sorted(codes.items()))
        raise StageFailed(
            f"{failed} of {rows} conversations failed ({listed}); --max-error-share is {limit}",
            "check the error codes; a rerun asks only the failed conversations again",
        )
