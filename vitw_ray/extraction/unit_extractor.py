"""The actor of stage 2: holds the extractor, reads units of rows, commits their answers."""

import threading
import time
import uuid
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow.parquet as pq

from vitw_ray import cluster
from vitw_ray.config import RunConfig
from vitw_ray.errors import ConfigError
from vitw_ray.extraction.answers import Extracted, as_judged
from vitw_ray.extraction.assemble import answer_keys, as_conversations
from vitw_ray.extraction.committed import Found, find_answers
from vitw_ray.extraction.extractors import extractor_key, make_extractor
from vitw_ray.extraction.health import check_reader, new_tallies
from vitw_ray.extraction.screen.screener import Screener, Screening
from vitw_ray.extraction.segments import AnswerFolder, SegmentWriter, places_of
from vitw_ray.extraction.watching import Group
from vitw_ray.inference.language_model import BY_SERVER
from vitw_ray.keys import Keyed
from vitw_ray.records import Conversation
from vitw_ray.run_folder import ROW_GROUP_ROWS, FileEntry, check_schema, open_part
from vitw_ray.storage import Storage
from vitw_ray.versions import versions


class UnitExtractor:
    """The actor: holds the extractor, reads units of conversations, commits their answers.

    If the extractor allows it, several threads call it with one unit each.
    """

    def __init__(
        self,
        *,
        storage: Storage,
        answers: AnswerFolder,
        parts: Sequence[FileEntry],
        config: RunConfig,
        keyed: Keyed,
        epoch: int,
        key: str,
        driver_version: str,
        tally: cluster.Tally | None = None,
        screening: Screening | None = None,
    ) -> None:
        _check_same_code(config, key, driver_version)
        self._name = uuid.uuid4().hex
        self._storage, self._parts, self._keyed = storage, parts, keyed
        self._extractor_key, self._tally = key.encode(), tally
        self._answers = answers
        self._segment = SegmentWriter(
            answers,
            epoch,
            config.execution.segment_rows,
            config.execution.segment_seconds,
        )
        self._extractor = make_extractor(config)
        check_reader(config, storage, self._extractor, epoch)
        self._tallies = new_tallies(config)
        self._screener = Screener(screening, keyed, epoch) if screening else None
        self._ready = time.time()  # wall clock: compared with other machines

    def __call__(self, unit: cluster.Unit) -> cluster.Unit:
        """Answer a unit; all its answers are committed when this returns."""
        conversations, groups = read_unit(self._storage, self._parts[unit["part"]], unit)
        keys = answer_keys(self._keyed, self._extractor_key, conversations)
        places = places_of(one.conversation_id for one in conversations)
        done = find_answers(self._answers, keys, places)  # also from before a restart
        without_answer = wanted = _to_ask(done, only_failed_by_server=unit.get("again", False))
        if self._screener is not None:
            wanted = self._screener.for_the_model(unit, keys, places, conversations, without_answer)
        name, thread = _name(unit), f"{self._name}-{threading.get_ident()}"
        failed = 0
        ask_again: list[int] = []
        tokens = Counter[str]()
        seen: list[tuple[Group, Extracted]] = []
        for n, extracted in self._extractor.extract([conversations[n] for n in wanted]):
            row = wanted[n]
            judged = as_judged(conversations[row], extracted)
            self._segment.add(keys[row], int(places[row]), judged)
            failed += extracted.error is not None
            if extracted.error in BY_SERVER:
                ask_again.append(unit["start"] + row)
            tokens.update(
                prompt_tokens=extracted.prompt_tokens, output_tokens=extracted.output_tokens
            )
            seen.append((groups[row], extracted))
            if self._tally:
                self._tally.report(thread, name, len(seen))
        self._segment.commit(places[wanted])
        return {
            "counts": {
                "rows": len(conversations),
                "answered": len(wanted),
                "reused": len(conversations) - len(without_answer),
                "failed": failed,
            },
            "tokens": tokens,
            "unit": name,
            "part": unit["part"],
            "ask_again": ask_again,
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


def _to_ask(done: Found, *, only_failed_by_server: bool) -> list[int]:
    """The conversations of a unit without an answer; of the failed ones all, or only these."""
    rows = np.flatnonzero(done.unanswered)
    if only_failed_by_server:
        there = rows[~done.missing[rows]]
        errors = done.take(there)["error"].to_pylist()
        others = [row for row, error in zip(there, errors, strict=True) if error not in BY_SERVER]
        rows = np.setdiff1d(rows, others)
    return rows.tolist()


def _name(unit: cluster.Unit) -> str:
    return f"{unit['part']}-{unit['start']}"


def read_unit(
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
