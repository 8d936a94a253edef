"""Stage 2: what the pipeline adds to its extractor, and how fast the lexicon reads.

The simulated extractor sleeps a fixed time for a row, so the ideal is known: rows x cost / actors.
Work passes through the same Ray graph as in a run: units go out, actors read their rows, answer
them and commit segments, counts come back. `steady` counts each actor from its first committed
unit to its last; `total` counts all, with the start of the actors and the wait for the last one.
What goes through the object store is what Ray's store says it created, and the results.

    python benchmarks/bench_extract.py [--quick]
"""

import os
import pickle
import statistics
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from harness import Result, arguments, interleave, plant, ratio, real_conversations

from vitw_ray import cluster
from vitw_ray.config import (
    SAMPLE,
    ConversationsConfig,
    Execution,
    ExtractionConfig,
    RunConfig,
)
from vitw_ray.conversations.shapes import parse
from vitw_ray.conversations.sources import find_files, iter_rows, recognise
from vitw_ray.extraction.extract import BATCH_ROWS, UnitExtractor, make_extractor
from vitw_ray.pipeline import run
from vitw_ray.records import Conversation, Message
from vitw_ray.run_folder import FileEntry, load_secret
from vitw_ray.storage import Storage

COST_S = 0.005  # of one row (ours: an eighth of a GPU's 31 ms, to leave the pipeline less time)
ACTORS = 2
SKIPPED_UNITS = 1  # of each actor: its first comes with its start


class TimedUnits(UnitExtractor):
    """Says with each result which actor it is from, and when it was committed."""

    def __call__(self, unit: cluster.Unit) -> cluster.Unit:
        result = super().__call__(unit)
        return {**result, "actor": os.getpid(), "committed": time.monotonic()}


def conversations_of(path: str, limit: int) -> list[Conversation]:
    (file,) = find_files([path])
    shape = recognise(file)
    found = []
    for _, raw in iter_rows(file, shape):
        row = parse(shape, raw)  # type: ignore[arg-type]  # these files hold no reject
        turns = tuple(Message(role, content) for role, content in row["messages"])
        found.append(Conversation(row["conversation_id"] or "", turns))
        if len(found) == limit:
            break
    return found


def measure_lexicon(result: Result, quick: bool) -> None:
    """Rows a CPU second, in one process; the model of the embedder included."""
    extractor = make_extractor(ExtractionConfig(extractor="lexicon"), "cpu")
    measured = [("sample", str(SAMPLE))]
    real = real_conversations()
    if real is not None:
        measured.append(("real", str(real)))
    for data, path in measured:
        rows = conversations_of(path, 100 if quick else 1_000)
        extractor.extract(rows[:BATCH_ROWS])  # loads what is loaded at first use

        def read(rows: Sequence[Conversation] = rows) -> None:
            for start in range(0, len(rows), BATCH_ROWS):
                extractor.extract(rows[start : start + BATCH_ROWS])

        seconds = statistics.median(interleave({"lexicon": read})["lexicon"])
        result.work[f"lexicon_{data}_rows"] = len(rows)
        result.rates[f"lexicon_{data}_rows_per_cpu_s"] = len(rows) / seconds
        result.rows.append((f"lexicon, {data}", f"{len(rows) / seconds:,.1f} rows/CPU s", ""))


def store_bytes() -> int:
    """Bytes that Ray's object store has created since it began (not in Ray's public interface)."""
    import ray
    from ray._private.internal_api import node_stats

    (node,) = ray.nodes()
    stats = node_stats(node["NodeManagerAddress"], node["NodeManagerPort"], False)
    return stats.store_stats.cumulative_created_bytes


def one_pass(
    config: RunConfig, parts: Sequence[FileEntry], answers: str
) -> tuple[dict[str, float], int]:
    """All conversations through the graph; seconds by phase, and bytes that Ray carried."""
    storage = Storage(config.execution.output)
    unit_rows = config.execution.unit_rows
    units: list[cluster.Unit] = [
        {"part": number, "start": start, "stop": min(start + unit_rows, part.rows)}
        for number, part in enumerate(parts)
        for start in range(0, part.rows, unit_rows)
    ]
    passing: dict[str, Any] = {
        "storage": storage,
        "answers": answers,
        "parts": parts,
        "config": config,
        "keyed": load_secret(storage, None),
        "epoch": 1,
    }
    created, start = store_bytes(), time.monotonic()
    results = list(
        cluster.stream_through_actors(
            units, TimedUnits, arguments=passing, execution=config.execution
        )
    )
    seconds = time.monotonic() - start
    carried = store_bytes() - created + sum(len(pickle.dumps(found)) for found in results)
    by_actor: dict[int, list[cluster.Unit]] = {}
    for found in sorted(results, key=lambda found: found["committed"]):
        by_actor.setdefault(found["actor"], []).append(found)
    gaps = [
        (later["committed"] - earlier["committed"], later["answered"])
        for of_actor in by_actor.values()
        for earlier, later in pairwise(of_actor[SKIPPED_UNITS - 1 :])
    ]
    rows = sum(found["answered"] for found in results)
    firsts = [of_actor[0]["committed"] for of_actor in by_actor.values()]
    lasts = [of_actor[-1]["committed"] for of_actor in by_actor.values()]
    return {
        "steady": sum(answered for _, answered in gaps) * COST_S / sum(gap for gap, _ in gaps),
        "total": rows * COST_S / ACTORS / seconds,
        "ramp_s": min(firsts) - start - unit_rows * COST_S,
        "drain_s": max(lasts) - min(lasts),
        "rows": rows,
        "seconds": seconds,
    }, carried


def measure_pipeline(result: Result, folder: Path, rows: int) -> None:
    config = RunConfig(
        conversations=ConversationsConfig(input=(plant(folder / "in", rows),)),
        extraction=ExtractionConfig(extractor="simulated", simulated_seconds_per_row=COST_S),
        execution=Execution(output=str(folder / "out"), actors=ACTORS, unit_rows=128),
    )
    manifest = run(config, announce=lambda line: None, until="conversations")
    entries = manifest["tables"]["conversations"]
    storage = Storage(config.execution.output)
    stage = storage.read
    del stage, entries


def main() -> None:
    quick = arguments(__doc__).quick
    result = Result("extract", quick)
    measure_lexicon(result, quick)


if __name__ == "__main__":
    main()
