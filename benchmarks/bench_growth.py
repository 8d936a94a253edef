"""Growth of stage 2 around its reader: what a row costs must not depend on how many there are.

Runs the code of the actors and of the assembly in this process, without Ray, over 1, 4 and 16 times
as many invented conversations, and counts per row: files opened, folders listed, files written,
bytes of answers read and written, CPU, and the answers that one unit or part holds in memory at
most. Parts, units and segments have a sixteenth of their default rows, so the sizes have the files
of 50, 200 and 800 thousand rows; the last lines of the table scale the counts to the defaults.
Files are not synced to the disk, which changes no count.

`flat_*` are counts per row of the largest size / of the smallest: 1 is a straight line.

    python benchmarks/bench_growth.py [--quick] [--output s3://bucket/folder]
"""

import itertools
import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from harness import Result, parser_of

from vitw_ray.config import Execution, ExtractionConfig, RunConfig
from vitw_ray.extraction import assemble, pending, unit_extractor
from vitw_ray.extraction.extractors import extractor_key
from vitw_ray.extraction.segments import open_answers
from vitw_ray.keys import Keyed, id_hash
from vitw_ray.records import CONVERSATIONS
from vitw_ray.run_folder import StageFolder, TableRef
from vitw_ray.stages import StageContext
from vitw_ray.storage import Storage

SMALLER = 16  # parts, units and segments than by default, so that few rows make many files
PART_ROWS, UNIT_ROWS, SEGMENT_ROWS = 4096 // SMALLER, 256 // SMALLER, 256 // SMALLER
SIZES = (3_200, 12_800, 51_200)
SCALED = (10_000_000, 100_000_000)
ANSWERS = "private/answers-benchmark"
PHASES = ("answer", "look again", "assemble")
WRITES = ("write", "create")  # neither calls the other


@dataclass
class Counts:
    """What one phase asked of the storage, and what it held."""

    requests: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)
    held: int = 0
    cpu_s: float = 0.0


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--output", help="where the run folder is; default: a temporary folder")
    options = parser.parse_args()
    result = Result.stored("growth", options.quick, options.output)
    sizes = SIZES[:2] if options.quick else SIZES
    found = {rows: measure(rows, options.output) for rows in sizes}
    for phase, rows in itertools.product(PHASES, sizes):
        counts = found[rows][phase]
        result.rows.append((phase, f"{rows:,}", *cells(counts, rows)))
        result.work[f"{phase.replace(' ', '_')}_{rows}"] = as_record(counts)
    for rows, phase in itertools.product(SCALED, PHASES):
        requests, times = found[sizes[-1]][phase].requests, rows / sizes[-1] / SMALLER
        computed = {name: round(requests[name] * times) for name in ("open", "list", "write")}
        held = found[sizes[-1]][phase].held * SMALLER
        cells_of = (*(f"{n:,} in all" for n in computed.values()), "", "", f"{held:,}", "")
        result.rows.append((f"{phase}, computed", f"{rows:,}", *cells_of))
        result.work[f"{phase.replace(' ', '_')}_at_{rows}"] = computed
    for phase in PHASES:
        small, large = (found[rows][phase] for rows in (sizes[0], sizes[-1]))
        growth = sizes[-1] / sizes[0]
        name = phase.replace(" ", "_")
        result.ratios |= {
            f"flat_{name}_opens": large.requests["open"] / small.requests["open"] / growth,
            f"flat_{name}_lists": large.requests["list"] / small.requests["list"] / growth,
            f"flat_{name}_bytes": sum(large.bytes.values()) / sum(small.bytes.values()) / growth,
            f"flat_{name}_held": max(large.held, 1) / max(small.held, 1),
            f"flat_{name}_cpu": large.cpu_s / small.cpu_s / growth,
        }
    result.report(
        ("phase", "rows", "opens/1,000", "lists/1,000", "writes/1,000", "B read/row",
         "B written/row", "answers held", "CPU µs/row")
    )  # fmt: skip


def cells(counts: Counts, rows: int) -> tuple[str, ...]:
    """One line of the table."""
    per_1000 = [f"{1000 * counts.requests[name] / rows:.1f}" for name in ("open", "list", "write")]
    per_row = [f"{counts.bytes[name] / rows:,.0f}" for name in ("read", "written")]
    return (*per_1000, *per_row, f"{counts.held:,}", f"{1e6 * counts.cpu_s / rows:,.0f}")


def as_record(counts: Counts) -> dict[str, Any]:
    """For the line of JSON."""
    return {
        **counts.requests,
        **{f"bytes_{name}": n for name, n in counts.bytes.items()},
        "answers_held": counts.held,
        "cpu_s": round(counts.cpu_s, 2),
    }


def measure(rows: int, output: str | None = None) -> dict[str, Counts]:
    """All phases over so many conversations."""
    with tempfile.TemporaryDirectory() as name:
        context = invented(Storage(f"{output}/{rows}" if output else name), rows)
        parts = context.tables["conversations"].files
        key, storage = extractor_key(context.config), context.storage
        numbers = [{"part": part} for part in range(len(parts))]
        units = [
            {"part": part, "start": start, "stop": min(start + UNIT_ROWS, entry.rows)}
            for part, entry in enumerate(parts)
            for start in range(0, entry.rows, UNIT_ROWS)
        ]
        actor = unit_extractor.UnitExtractor(
            storage=storage,
            answers=open_answers(storage, ANSWERS, len(parts)),
            parts=parts,
            config=context.config,
            keyed=context.keyed,
            epoch=1,
            key=key,
            driver_version="benchmark",
        )
        counts = {"answer": counted(lambda: [actor(unit) for unit in units])}
        answers = open_answers(storage, ANSWERS, len(parts))
        finder = pending.Finder(context, answers, key)
        assembler = assemble.Assembler(context, answers, key)
        counts["look again"] = counted(lambda: [finder(unit) for unit in numbers])
        counts["assemble"] = counted(lambda: [assembler(unit) for unit in numbers])
        return counts


def invented(storage: Storage, rows: int) -> StageContext:
    """A table of short conversations in the order of the ring, in parts."""
    config = RunConfig(
        extraction=ExtractionConfig(extractor="simulated"),
        execution=Execution(output=storage.root, segment_rows=SEGMENT_ROWS, segment_seconds=1e9),
    )
    keyed = Keyed(b"the key of a benchmark, long enough")
    ids = sorted((f"conversation-{n}" for n in range(rows)), key=id_hash)
    bounds = np.linspace(0, rows, -(-rows // PART_ROWS) + 1).astype(int)
    folder = StageFolder(storage, "1_conversations-benchmark", keyed)
    files = [
        folder.write_table("conversations", table_of(ids[a:b]), number, private=True)
        for number, (a, b) in enumerate(itertools.pairwise(bounds))
    ]
    return StageContext(
        config=config,
        storage=storage,
        keyed=keyed,
        epoch=1,
        inputs=(),
        shapes={},
        folder=StageFolder(storage, "2_extractions-benchmark", keyed),
        tables={"conversations": TableRef("conversations", tuple(files))},
        manifests={},
    )


def table_of(ids: list[str]) -> pa.Table:
    """Rows of `conversations` with next to no text."""
    turns = [
        [{"role": "user", "content": one}, {"role": "assistant", "content": "-"}] for one in ids
    ]
    columns: dict[str, Any] = {"conversation_id": ids, "source": ["invented"] * len(ids)}
    columns["messages"] = turns
    return pa.table(
        {
            field.name: pa.array(columns.get(field.name, [None] * len(ids)), field.type)
            for field in CONVERSATIONS
        },
        schema=CONVERSATIONS,
    )


def counted(work: Callable[[], object]) -> Counts:
    """Do some work, and count what it asks of the storage."""
    counts = Counts()
    with watched(counts):
        start = time.process_time()
        work()
        counts.cpu_s = time.process_time() - start
    return counts


@contextmanager
def watched(counts: Counts) -> Iterator[None]:
    """Count the requests of every storage, and the rows that are found at once."""
    methods = {name: getattr(Storage, name) for name in ("open", "read", "list", *WRITES)}
    modules = (assemble, pending, unit_extractor)
    find, lock = unit_extractor.find_answers, threading.Lock()

    def reading(name: str) -> Callable[..., Any]:
        def read(self: Storage, path: str) -> Any:
            counts.requests["open"] += 1
            if path.startswith(ANSWERS):
                size = self.fs.size(self.address(path))
                with lock:  # segments are read by several threads
                    counts.bytes["read"] += size
            return methods[name](self, path)

        return read

    def listing(self: Storage, prefix: str = "") -> Any:
        counts.requests["list"] += 1
        return methods["list"](self, prefix)

    def writing(name: str) -> Callable[..., Any]:
        def write(self: Storage, path: str, data: bytes) -> Any:
            counts.requests["write"] += 1
            counts.bytes["written"] += len(data) if path.startswith(ANSWERS) else 0
            return methods[name](self, path, data)

        return write

    def finding(*arguments: Any, **options: Any) -> Any:
        found = find(*arguments, **options)
        counts.held = max(counts.held, found.answers.num_rows)
        return found

    replaced: dict[str, Any] = {"open": reading("open"), "read": reading("read")}
    replaced |= {"list": listing, **{name: writing(name) for name in WRITES}}
    sync, os.fsync = os.fsync, lambda handle: None
    try:
        for name, method in replaced.items():
            setattr(Storage, name, method)
        for module in modules:
            module.find_answers = finding
        yield
    finally:
        os.fsync = sync
        for name, method in methods.items():
            setattr(Storage, name, method)
        for module in modules:
            module.find_answers = find


if __name__ == "__main__":
    main()
