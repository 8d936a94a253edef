"""Stages 3, 4 and 5, whole: what is opened and read for each conversation, at three sizes.

The stages run in this process, without Ray, over invented extractions with accounts, prompts, two
assistants and a task of its own for every second conversation. Parts, runs, blocks and the limits
of the tree have a sixteenth of their rows, so the sizes have the files of 100 and 400 thousand and
of 1.6 million conversations. Vectors are drawn from the hash of the text. The last lines carry the
counts on to full parts.

`flat_*` are counts per row of the largest size / of the smallest: 1 is a straight line. CPU has a
part that does not grow, and is noisy; opens and bytes are exact.

    python benchmarks/bench_stage_growth.py [--quick] [--output s3://bucket/folder]
"""

import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
from counted_reads import CountedReads
from harness import Result, parser_of

from vitw_ray import cluster
from vitw_ray.config import Execution, LabelsConfig, RunConfig, TaxonomyConfig
from vitw_ray.inference.embedder import Embedder
from vitw_ray.keys import Keyed, id_hash
from vitw_ray.labels import counting
from vitw_ray.labels.counting import count_labels
from vitw_ray.records import EXTRACTIONS
from vitw_ray.run_folder import StageFolder, StageReport, TableRef, tables_of
from vitw_ray.stages import StageContext
from vitw_ray.statistics import answered_prompts
from vitw_ray.statistics.analyze import analyze
from vitw_ray.storage import Storage
from vitw_ray.taxonomy import build, hierarchy, quality
from vitw_ray.taxonomy.build import build_taxonomy
from vitw_ray.taxonomy.kmeans import stored_shard
from vitw_ray.taxonomy.vectors import blocks, texts

SMALLER = 16
PART_ROWS = 4096 // SMALLER
SIZES = (6_400, 25_600, 102_400)
SCALED = (10_000_000, 100_000_000)
DIM = 96  # more than a shard holds
STAGES: Mapping[str, Callable[[StageContext], StageReport]] = {
    "labels": count_labels,
    "taxonomy": build_taxonomy,
    "statistics": analyze,
}
VALUES = 40
TYPES = ("mild_support", "strong_support", "mild_resistance", "neutral_acknowledgment")
SMALLER_LIMITS: Sequence[tuple[Any, str, int]] = (
    (texts, "RUN_ROWS", texts.RUN_ROWS // SMALLER),
    (hierarchy, "NODES", hierarchy.NODES // SMALLER),
    (quality, "MANY_LEAVES", quality.MANY_LEAVES // SMALLER),
    (stored_shard, "STEP_ROWS", stored_shard.STEP_ROWS // SMALLER),
    (counting, "PAIR_RUN_ROWS", counting.PAIR_RUN_ROWS // SMALLER),
    (answered_prompts, "ANSWER_RUN_ROWS", answered_prompts.ANSWER_RUN_ROWS // SMALLER),
)


@dataclass(frozen=True)
class Counts:
    """Of one stage."""

    opens: int
    bytes: int
    writes: int
    cpu_s: float


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--output", help="where the run folder is; default: a temporary folder")
    options = parser.parse_args()
    result = Result.stored("stage_growth", options.quick, options.output)
    sizes = SIZES[:2] if options.quick else SIZES
    found = {rows: measured(rows, options.output) for rows in sizes}
    for stage in STAGES:
        for rows in sizes:
            one = found[rows][stage]
            result.rows.append((stage, f"{rows:,}", *cells(one, rows)))
            result.work[f"{stage}_{rows}"] = {
                "opens": one.opens,
                "bytes": one.bytes,
                "writes": one.writes,
                "cpu_s": round(one.cpu_s, 2),
            }
        small, large = found[sizes[0]][stage], found[sizes[-1]][stage]
        growth = sizes[-1] / sizes[0]
        result.ratios |= {
            f"flat_{stage}_opens": large.opens / small.opens / growth,
            f"flat_{stage}_bytes": large.bytes / small.bytes / growth,
            f"flat_{stage}_writes": large.writes / small.writes / growth,
            f"flat_{stage}_cpu": large.cpu_s / small.cpu_s / growth,
        }
    for rows in SCALED:
        for stage in STAGES:
            one, times = found[sizes[-1]][stage], rows / sizes[-1]
            opens, writes = (round(n * times / SMALLER) for n in (one.opens, one.writes))
            gb, hours = one.bytes * times / 1e9, one.cpu_s * times / 3600
            line = (
                f"{opens:,} in all",
                f"{writes:,} in all",
                f"{gb:,.1f} GB in all",
                f"{hours:.1f} h",
            )
            result.rows.append((f"{stage}, computed", f"{rows:,}", *line))
            result.work[f"{stage}_at_{rows}"] = {
                "opens": opens,
                "writes": writes,
                "gb_read": round(gb, 2),
                "cpu_hours": round(hours, 2),
            }
    result.report(("stage", "rows", "opens/1,000", "writes/1,000", "B read/row", "CPU µs/row"))


def cells(one: Counts, rows: int) -> tuple[str, ...]:
    """One line of the table."""
    opens, writes = 1000 * one.opens / rows, 1000 * one.writes / rows
    return (
        f"{opens:.1f}",
        f"{writes:.1f}",
        f"{one.bytes / rows:,.0f}",
        f"{1e6 * one.cpu_s / rows:,.0f}",
    )


def measured(
    rows: int, output: str | None = None, stages: Sequence[str] = tuple(STAGES)
) -> dict[str, Counts]:
    """Run the stages one after the other over so many conversations."""
    with tempfile.TemporaryDirectory() as folder, in_this_process():
        storage = Storage(f"{output}/{rows}" if output else folder)
        context, found = invented(storage, rows), dict[str, Counts]()
        for stage in stages:
            here = replace(context, folder=StageFolder(storage, f"{stage}-1", context.keyed))
            with CountedReads() as reads, writes_counted() as written:
                start = time.process_time()
                report = STAGES[stage](here)
                seconds = time.process_time() - start
            found[stage] = Counts(reads.opens, reads.bytes, written[0], seconds)
            files = {"files": [asdict(file) for file in report.files]}
            context = replace(
                context,
                tables={**context.tables, **tables_of(files)},
                manifests={**context.manifests, stage: {"details": report.details}},
            )
        return found


@contextmanager
def writes_counted() -> Iterator[list[int]]:
    """Count the files that are written."""
    count = [0]
    with ExitStack() as stack:
        for name in ("write", "create"):
            method = getattr(Storage, name)

            def call(self: Storage, path: str, data: bytes, _method: Any = method) -> Any:
                count[0] += 1
                return _method(self, path, data)

            stack.enter_context(patch.object(Storage, name, call))
        yield count


class Drawn:
    """Vectors drawn from the hash of a text, near one of a few directions."""

    name, dim = "drawn", DIM

    def encode(self, given: Sequence[str]) -> np.ndarray:
        """One unit row for each text."""
        rows = np.empty((len(given), DIM), np.float32)
        for row, text in zip(rows, given, strict=True):
            code = zlib.crc32(text.encode())
            row[:] = np.random.default_rng(code).standard_normal(DIM)
            row += 3 * np.random.default_rng(code % 200).standard_normal(DIM)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@contextmanager
def in_this_process() -> Iterator[None]:
    """Units run one after the other, where reads can be counted, with limits for fewer rows."""

    def stream(units: Sequence[Any], function: Callable[[Any], Any], **_: Any) -> Iterator[Any]:
        return map(function, units)

    def through_actors(
        units: Sequence[Any], actor: Any, *, arguments: Mapping[str, Any], **_: Any
    ) -> Iterator[Any]:
        return map(actor(**arguments), units) if units else iter(())

    def load(*_: Any) -> Embedder:
        return Drawn()

    with ExitStack() as stack:
        for module, name, value in SMALLER_LIMITS:
            stack.enter_context(patch.object(module, name, value))
        for name, function in (
            ("stream", stream),
            ("stream_through_actors", through_actors),
            ("put_shared", lambda value: value),
            ("get_shared", lambda value: value),
            ("memory_to_ask", lambda *_, **__: 0),
        ):
            stack.enter_context(patch.object(cluster, name, function))
        small_blocks = {"cpu": blocks.BLOCK_TEXTS["cpu"] // SMALLER}
        stack.enter_context(patch.object(blocks, "BLOCK_TEXTS", small_blocks))
        stack.enter_context(patch.object(blocks, "load_embedder", load))
        stack.enter_context(patch.object(build, "describe_embedder", lambda _: {}))
        yield


def invented(storage: Storage, rows: int) -> StageContext:
    """A table `extractions`, in parts."""
    keyed = Keyed(b"the key of a benchmark, long enough")
    before = StageFolder(storage, "2_extractions-benchmark", keyed)
    files = []
    for number, start in enumerate(range(0, rows, PART_ROWS)):
        table = extractions(range(start, min(start + PART_ROWS, rows)))
        files.append(before.write_table("extractions", table, number, private=True))
    return StageContext(
        config=RunConfig(
            labels=LabelsConfig(min_conversations=5, min_accounts=3),
            taxonomy=TaxonomyConfig(embedder="hashing"),
            execution=Execution(output=storage.root),
        ),
        storage=storage,
        folder=before,
        keyed=keyed,
        epoch=1,
        inputs=(),
        shapes={},
        tables={"extractions": TableRef("extractions", tuple(files))},
        manifests={},
    )


def extractions(numbers: range) -> pa.Table:
    """Rows of `extractions`; every second is subjective, with a task and two values."""
    rows = []
    for number in numbers:
        draw = np.random.default_rng(number).integers(0, 1 << 30, 4).tolist()
        subjective = number % 2 == 0
        values = [{"label": f"value {spelled(one % VALUES)}", "explicit": True} for one in draw[:2]]
        rows.append(
            {
                **dict.fromkeys(EXTRACTIONS.names),
                **{"conversation_id": f"c{number:09d}", "prompt_id": f"p{number // 4}"},
                **{"account_id": f"a{draw[3] % (1 + numbers.stop // 3)}", "source": "invented"},
                **{"model": f"assistant {number // 2 % 2}", "extractor": "invented"},
                **{"is_subjective": subjective, "subjectivity": 4 if subjective else 1},
                **{"task": f"plan a {spelled(number)}" if subjective else None},
                **{"ai_values": values if subjective else []},
                **{"human_values": values[:1] if subjective else []},
                **{"response_type": TYPES[draw[2] % len(TYPES)] if subjective else None},
                **{"prompt_tokens": 0, "output_tokens": 0, "truncated_share": 0.0},
            }
        )
    rows.sort(key=lambda row: id_hash(row["conversation_id"]))
    return pa.Table.from_pylist(rows, EXTRACTIONS)


def spelled(number: int) -> str:
    """A word for a number."""
    return "q" + "".join(chr(ord("a") + int(digit)) for digit in str(number))


if __name__ == "__main__":
    main()
