"""Stage 2: `conversations` -> `extractions`, one row in, one row out.

Ray Data hands units (a range of rows of one part) to actors that hold an extractor. An actor reads
its own rows, skips what is answered, commits answers to segments, and sends back counts. When all
units are through, each part of `extractions` is put together from the committed answers, in the
order of its part of `conversations`.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq

from vitw_ray import cluster
from vitw_ray.config import ExtractionConfig, RunConfig
from vitw_ray.errors import StageFailed
from vitw_ray.extraction.answers import Extractor
from vitw_ray.extraction.assemble import answer_keys, as_conversations, assemble
from vitw_ray.extraction.segments import (
    SegmentWriter,
    as_keys,
    compact,
    read_index,
)
from vitw_ray.keys import Keyed, code_digest, content_key
from vitw_ray.progress import Progress
from vitw_ray.records import Conversation
from vitw_ray.run_folder import ROW_GROUP_ROWS, FileEntry, StageReport
from vitw_ray.stages import StageContext
from vitw_ray.storage import PRIVATE, Storage

BATCH_ROWS = 32  # conversations handed to an extractor at once (ours: what a kill may cost)

# Source and data files that decide what an extractor answers, relative to the package.
EXTRACTOR_CODE = {
    "lexicon": ("extraction/lexicon", "conversations/transcript.py", "taxonomy/embed.py"),
    "simulated": ("extraction/simulated.py",),
}


def extractor_key(config: RunConfig) -> str:
    """Hash of all that decides an extractor's answer to a conversation."""
    extraction = config.extraction
    return content_key(
        {
            "extractor": extraction.extractor,
            "transcript_tokens": extraction.transcript_tokens,
            "device": config.execution.device,
            "code": code_digest("extraction/answers.py", *EXTRACTOR_CODE[extraction.extractor]),
        }
    )


def extractor_settings(config: RunConfig) -> dict[str, Any]:
    """What decides the content of `extractions`: the extractor, and where the gate stands."""
    return {
        "extractor_key": extractor_key(config),
        "subjective_from": config.extraction.subjective_from,
    }


def make_extractor(config: ExtractionConfig, device: Literal["cpu", "gpu"]) -> Extractor:
    """The extractor of this name; called inside the actor, as it may load a model."""
    if config.extractor == "lexicon":
        from vitw_ray.extraction.lexicon import LexiconExtractor

        return LexiconExtractor(config, device)
    from vitw_ray.extraction.simulated import SimulatedExtractor

    return SimulatedExtractor(config)


def extract(context: StageContext) -> StageReport:
    """Answer every conversation once."""
    key = extractor_key(context.config)
    answers = f"{PRIVATE}/answers-{key}"
    parts = context.tables["conversations"].files
    units = _units(parts, context.config.execution.unit_rows)
    totals = _answer(context, answers, units)
    index = read_index(context.storage, answers)
    files, counts = assemble(context, index, f"{context.config.extraction.extractor}@{key}")
    rows = sum(file.rows for file in files)
    _check_failed_share(counts, rows, context.config.extraction.max_error_share)
    compact(context.storage, answers, index)
    failed = {code.removeprefix("error:"): n for code, n in counts.items() if "error:" in code}
    return StageReport(
        files=files,
        rows_in=context.tables["conversations"].rows,
        rows_out=rows,
        failed=dict(sorted(failed.items())),
        details={
            "extractor": f"{context.config.extraction.extractor}@{key}",
            "answers_new": totals["answered"],
            "answers_reused": totals["reused"],
            **{name: n for name, n in sorted(counts.items()) if "error:" not in name},
        },
    )


def _units(parts: Sequence[FileEntry], unit_rows: int) -> list[cluster.Unit]:
    return [
        {"part": number, "start": start, "stop": min(start + unit_rows, part.rows)}
        for number, part in enumerate(parts)
        for start in range(0, part.rows, unit_rows)
    ]


def _answer(context: StageContext, answers: str, units: list[cluster.Unit]) -> Counter[str]:
    rows = context.tables["conversations"].rows
    progress = Progress("extractions", rows)
    totals = Counter[str]()
    for result in cluster.stream_through_actors(
        units,
        UnitExtractor,
        arguments={
            "storage": context.storage,
            "answers": answers,
            "parts": context.tables["conversations"].files,
            "config": context.config,
            "keyed": context.keyed,
            "epoch": context.epoch,
        },
        execution=context.config.execution,
    ):
        totals.update(result)
        progress.add(result["rows"], result["failed"])
    return totals


class UnitExtractor:
    """Reads units of conversations and commits their answers; holds the extractor."""

    def __init__(
        self,
        *,
        storage: Storage,
        answers: str,
        parts: Sequence[FileEntry],
        config: RunConfig,
        keyed: Keyed,
        epoch: int,
    ) -> None:
        self._storage, self._parts, self._keyed = storage, parts, keyed
        self._extractor_key = extractor_key(config).encode()
        self._done = read_index(storage, answers)  # also of an earlier life of this actor
        self._segment = SegmentWriter(
            storage,
            answers,
            epoch,
            config.execution.segment_rows,
            config.execution.segment_seconds,
        )
        self._extractor = make_extractor(config.extraction, config.execution.device)

    def __call__(self, unit: cluster.Unit) -> cluster.Unit:
        """Answer a unit; its answers are committed when this returns."""
        conversations = _read_unit(self._storage, self._parts[unit["part"]], unit)
        keys = answer_keys(self._keyed, self._extractor_key, conversations)
        places = self._done.find(as_keys(keys))
        done = (places >= 0) & ~self._done.failed[places] if len(self._done.keys) else places >= 0
        wanted = np.flatnonzero(~done).tolist()
        failed = 0
        for start in range(0, len(wanted), BATCH_ROWS):
            batch = wanted[start : start + BATCH_ROWS]
            results = self._extractor.extract([conversations[n] for n in batch])
            for n, extracted in zip(batch, results, strict=True):
                self._segment.add(keys[n], extracted)
                failed += extracted.error is not None
        self._segment.commit()
        return {
            "rows": len(conversations),
            "answered": len(wanted),
            "reused": len(conversations) - len(wanted),
            "failed": failed,
        }


def _read_unit(storage: Storage, part: FileEntry, unit: cluster.Unit) -> list[Conversation]:
    first = unit["start"] // ROW_GROUP_ROWS
    last = (unit["stop"] - 1) // ROW_GROUP_ROWS
    with storage.open(part.path) as handle:
        table = pq.ParquetFile(handle).read_row_groups(
            list(range(first, last + 1)), columns=["conversation_id", "messages"]
        )
    offset = unit["start"] - first * ROW_GROUP_ROWS
    return as_conversations(table.slice(offset, unit["stop"] - unit["start"]))


def _check_failed_share(counts: Counter[str], rows: int, limit: float) -> None:
    codes = {code.removeprefix("error:"): n for code, n in counts.items() if "error:" in code}
    failed = sum(codes.values())
    if rows and failed / rows > limit:
        listed = ", ".join(f"{code} {n}" for code, n in sorted(codes.items()))
        raise StageFailed(
            f"{failed} of {rows} conversations failed ({listed}); --max-error-share is {limit}",
            "look into the codes; a rerun asks the failed ones again and keeps the rest",
        )
