"""Stage 2: `conversations` -> `extractions`, one row in, one row out.

Ray Data hands units (a range of rows of one part) to actors that hold an extractor. An actor reads
its own rows, skips what is answered, commits answers to segments as they come, and sends back
counts. When all units are through, each part of `extractions` is put together from the committed
answers, in the order of its part of `conversations`.
"""

import math
import uuid
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from vitw_ray import cluster
from vitw_ray.config import ExtractionConfig, RunConfig
from vitw_ray.errors import StageFailed
from vitw_ray.extraction.answers import Extractor
from vitw_ray.extraction.assemble import answer_keys, as_conversations, assemble
from vitw_ray.extraction.model_files import resolve_revision
from vitw_ray.extraction.profiles import profile_of
from vitw_ray.extraction.questions import questions_for
from vitw_ray.extraction.segments import SegmentWriter, as_keys, compact, read_index
from vitw_ray.keys import Keyed, code_digest, content_key
from vitw_ray.progress import Progress
from vitw_ray.records import Conversation
from vitw_ray.run_folder import ROW_GROUP_ROWS, FileEntry, StageReport
from vitw_ray.stages import StageContext
from vitw_ray.storage import PRIVATE, Storage

# Source and data files that decide what an extractor answers, relative to the package.
_ASKED = (
    "extraction/prompts",
    "extraction/questions.py",
    "extraction/asking.py",
    "extraction/parsing.py",
    "conversations/transcript.py",
)
EXTRACTOR_CODE = {
    "vllm": (
        *_ASKED,
        "extraction/vllm_engine.py",
        "extraction/chat_prompt.py",
        "extraction/content_tokenizer.py",
    ),
    "openai": (*_ASKED, "extraction/openai_server.py"),
    "lexicon": ("extraction/lexicon", "conversations/transcript.py", "taxonomy/embed.py"),
    "simulated": ("extraction/simulated.py",),
}
MODEL_EXTRACTORS = ("vllm", "openai")
IN_FLIGHT = 1.5  # of the requests that an engine works on: the rest waits at its door (ours)


def extractor_key(config: RunConfig) -> str:
    """Hash of all that decides an extractor's answer to a conversation."""
    extraction = config.extraction
    parts: dict[str, Any] = {
        "extractor": extraction.extractor,
        "transcript_tokens": extraction.transcript_tokens,
        "device": config.execution.device,
        "code": code_digest("extraction/answers.py", *EXTRACTOR_CODE[extraction.extractor]),
    }
    if extraction.extractor in MODEL_EXTRACTORS:
        parts |= _model_parts(extraction)
    return content_key(parts)


def _model_parts(extraction: ExtractionConfig) -> dict[str, Any]:
    assert extraction.model is not None
    parts: dict[str, Any] = {
        name: getattr(extraction, name)
        for name in (
            "model",
            "questions",
            "explicit_only",
            "salience",
            "evidence",
            "max_output_tokens",
            "temperature",
            "sampling_kwargs",
            "subjective_from",  # where the questions end
        )
    }
    if extraction.extractor == "vllm":
        profile = profile_of(extraction.model)
        parts["profile"] = profile
        parts["revision"] = resolve_revision(profile.model, extraction.revision or profile.revision)
        parts["engine_kwargs"] = extraction.engine_kwargs
    return parts


def extractor_settings(config: RunConfig) -> dict[str, Any]:
    """What decides the content of `extractions`: the extractor, and where the gate stands."""
    return {
        "extractor_key": extractor_key(config),
        "subjective_from": config.extraction.subjective_from,
    }


def make_extractor(config: RunConfig) -> Extractor:
    """The extractor of a run; called inside the actor, as it may load a model."""
    extraction = config.extraction
    if extraction.extractor in MODEL_EXTRACTORS:
        from vitw_ray.extraction.model_extractor import EventLoop, ModelExtractor
        from vitw_ray.extraction.models import make_language_model

        model, loop = make_language_model(config), EventLoop()
        loop.run(model.open())
        return ModelExtractor(
            model,
            loop,
            questions_for(extraction),
            gate=extraction.subjective_from,
            in_flight=_in_flight(config),
        )
    if extraction.extractor == "lexicon":
        from vitw_ray.extraction.lexicon import LexiconExtractor

        return LexiconExtractor(extraction, config.execution.device)
    from vitw_ray.extraction.simulated import SimulatedExtractor

    return SimulatedExtractor(extraction)


def _in_flight(config: RunConfig) -> int:
    return math.ceil(IN_FLIGHT * config.execution.max_num_seqs)


def concurrent_units(config: RunConfig) -> int:
    """Units that one actor works on at once: enough that its model never waits for the next."""
    if config.extraction.extractor not in MODEL_EXTRACTORS:
        return 1
    return math.ceil(_in_flight(config) / config.execution.unit_rows) + 1


def extract(context: StageContext) -> StageReport:
    """Answer every conversation once."""
    key = extractor_key(context.config)
    answers = f"{PRIVATE}/answers-{key}"
    parts = context.tables["conversations"].files
    units = _units(parts, context.config.execution.unit_rows)
    totals, described = _answer(context, answers, units)
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
            "settings": described,
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


def _answer(
    context: StageContext, answers: str, units: list[cluster.Unit]
) -> tuple[Counter[str], dict[str, Any]]:
    """Answer all units; returns counts of rows, and what the extractors say of themselves."""
    config = context.config
    progress = Progress("extractions", context.tables["conversations"].rows)
    totals = Counter[str]()
    described: dict[str, dict[str, Any]] = {}  # by actor
    for result in cluster.stream_through_actors(
        units,
        UnitExtractor,
        arguments={
            "storage": context.storage,
            "answers": answers,
            "parts": context.tables["conversations"].files,
            "config": config,
            "keyed": context.keyed,
            "epoch": context.epoch,
        },
        execution=config.execution,
        concurrent_units=concurrent_units(config),
    ):
        totals.update(result["counts"])
        described[result["actor"]] = result["described"]
        progress.add(result["counts"]["rows"], result["counts"]["failed"])
    return totals, _one_description(list(described.values()))


def _one_description(described: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Settings are the same in all actors; restarts of their engines add up."""
    settings = dict(described[0]) if described else {}
    if "restarts" in settings:
        settings["restarts"] = sum(of_actor["restarts"] for of_actor in described)
    return settings


class UnitExtractor:
    """Reads units of conversations and commits their answers; holds the extractor.

    Works on several units at once, each in a thread, where the extractor allows it.
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
    ) -> None:
        self._name = uuid.uuid4().hex
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
        self._extractor = make_extractor(config)

    def __call__(self, unit: cluster.Unit) -> cluster.Unit:
        """Answer a unit; its answers are committed when this returns."""
        conversations = _read_unit(self._storage, self._parts[unit["part"]], unit)
        keys = answer_keys(self._keyed, self._extractor_key, conversations)
        places = self._done.find(as_keys(keys))
        done = (places >= 0) & ~self._done.failed[places] if len(self._done.keys) else places >= 0
        wanted = np.flatnonzero(~done).tolist()
        failed = 0
        for n, extracted in self._extractor.extract([conversations[n] for n in wanted]):
            self._segment.add(keys[wanted[n]], extracted)
            failed += extracted.error is not None
        self._segment.commit()
        return {
            "counts": {
                "rows": len(conversations),
                "answered": len(wanted),
                "reused": len(conversations) - len(wanted),
                "failed": failed,
            },
            "actor": self._name,
            "described": dict(self._extractor.describe()),
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
