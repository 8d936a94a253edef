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
from pathlib import Path
from typing import Any

from harness import Result, arguments, plant, real_conversations

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
from vitw_ray.run_folder import FileEntry, StageFolder, load_secret, read_part, tables_of
from vitw_ray.storage import Storage

COST_S = 0.005  # of one row (ours: an eighth of a GPU's 31 ms, to leave the pipeline less time)
ACTORS = 2


class TimedUnits(UnitExtractor):
    """Says with each result which actor it is from, and when it was committed."""

    def __call__(self, unit: cluster.Unit) -> cluster.Unit:
        """As an extractor's actor, with the time."""
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
        warm_up, *rows = conversations_of(path, 101 if quick else 1_001)
        extractor.extract([warm_up])  # loads what is loaded at first use
        # Once: the extractor remembers requests, and a second round would find them all.
        start_s = time.process_time()
        for start in range(0, len(rows), BATCH_ROWS):
            extractor.extract(rows[start : start + BATCH_ROWS])
        seconds = time.process_time() - start_s
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
) -> tuple[list[cluster.Unit], float, int]:
    """All conversations through the graph; results, seconds, and bytes that Ray carried."""
    storage, unit_rows = Storage(config.execution.output), config.execution.unit_rows
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
    found = list(
        cluster.stream_through_actors(
            units, TimedUnits, arguments=passing, execution=config.execution
        )
    )
    seconds = time.monotonic() - start
    carried = store_bytes() - created + sum(len(pickle.dumps(unit)) for unit in found)
    return found, seconds, carried


def steady_efficiency(units: Sequence[cluster.Unit]) -> float:
    """Of one actor, from its first committed unit to its last: ideal over measured seconds."""
    ordered = sorted(units, key=lambda unit: unit["committed"])
    rows = sum(unit["answered"] for unit in ordered[1:])
    return rows * COST_S / (ordered[-1]["committed"] - ordered[0]["committed"])


def measure_pipeline(result: Result, folder: Path, rows: int) -> None:
    config = RunConfig(
        conversations=ConversationsConfig(input=(plant(folder / "in", rows),)),
        extraction=ExtractionConfig(extractor="simulated", simulated_seconds_per_row=COST_S),
        execution=Execution(output=str(folder / "out"), actors=ACTORS),
    )
    before = quiet_run(config, "conversations")
    storage = Storage(config.execution.output)
    manifest = StageFolder(storage, before["tables"]["conversations"]["stage"]).manifest()
    assert manifest is not None
    parts = tables_of(manifest)["conversations"].files
    text_bytes = sum(
        len(message["content"].encode())
        for part in parts
        for messages in read_part(storage, part, ["messages"])["messages"].to_pylist()
        for message in messages
    )
    found, seconds, carried = one_pass(config, parts, "private/answers-benchmark")
    stage = quiet_run(config, "extractions")["stages"][-1]
    actors = [[u for u in found if u["actor"] == actor] for actor in {u["actor"] for u in found}]
    steady = [steady_efficiency(of_actor) for of_actor in actors]
    ideal_s = rows * COST_S / ACTORS
    result.work |= {
        "rows": rows,
        "cost_s_per_row": COST_S,
        "actors": ACTORS,
        "units": len(found),
        "ideal_s": round(ideal_s, 2),
        "seconds": round(seconds, 2),
        "stage_seconds": stage["seconds"],
        "text_bytes": text_bytes,
        "carried_bytes": carried,
    }
    result.ratios |= {
        "pipeline_efficiency_steady": statistics.mean(steady),
        "pipeline_efficiency_total": ideal_s / seconds,
        "stage_efficiency_total": ideal_s / stage["seconds"],
        "object_store_bytes_over_text": carried / text_bytes,
    }
    result.rates["pipeline_rows_per_s"] = rows / seconds
    result.aa_spread = max(steady) / min(steady) - 1
    result.rows += [
        (f"{name}, of the ideal {ideal_s:.1f} s", f"{result.ratios[share]:.3f}", over)
        for name, share, over in (
            ("steady", "pipeline_efficiency_steady", ""),
            ("actors' start and drain", "pipeline_efficiency_total", f"{seconds:.1f} s"),
            ("the stage, table written", "stage_efficiency_total", f"{stage['seconds']:.1f} s"),
        )
    ]
    carried_share = f"{result.ratios['object_store_bytes_over_text']:.4f} of the text"
    result.rows.append(("carried by Ray", carried_share, f"{carried:,} bytes"))


def quiet_run(config: RunConfig, until: str) -> dict[str, Any]:
    return run(config, announce=lambda line: None, until=until)


def main() -> None:
    quick = arguments(__doc__).quick
    result = Result("extract", quick)
    measure_lexicon(result, quick)
    with tempfile.TemporaryDirectory() as name:
        measure_pipeline(result, Path(name), 4_800 if quick else 36_000)
        cluster.disconnect()
    result.report(("what", "measured", ""))


if __name__ == "__main__":
    main()
