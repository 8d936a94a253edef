"""Stages 1, 3 and 5: what is read from storage for each row, at three sizes.

Rows meet by hash through sorted runs. The benchmark counts files opened (or parts of files, each by
one request), bytes and rows read for each row: of conversations, from runs to parts; of openings,
which find growing histories; of pairs of accounts and labels; and of answers to prompts. Runs are
an eighth of their size or less, so that a size has as many runs as an input eight times or more as
large. `before` is what it costs to read each range from every run, counted on a few ranges.

Nothing here is timed against another: counts have no noise. The last lines of the table are
computed for full runs.

    python benchmarks/bench_sort_growth.py [--quick] [--sizes 50000 200000 800000]
        [--output s3://bucket/folder]
"""

import hashlib
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from unittest.mock import patch

import numpy as np
import pyarrow as pa
from counted_reads import CountedReads
from harness import Result, parser_of

from vitw_ray import cluster
from vitw_ray.config import ConversationsConfig, RunConfig
from vitw_ray.conversations import histories
from vitw_ray.conversations.histories import OPENINGS, find_repeats
from vitw_ray.conversations.parts import Rows, merge
from vitw_ray.conversations.runs import INDEX, RUN, Cutoffs
from vitw_ray.conversations.runs import RUN_ROWS as FULL_RUN_ROWS
from vitw_ray.facets import VALUE_FACETS
from vitw_ray.hash_buckets import (
    Buckets,
    bucket_count,
    group_count,
    power_of_two,
    write_buckets,
)
from vitw_ray.hash_runs import read_range, write_sorted_run
from vitw_ray.keys import Keyed, id_hash, range_bounds
from vitw_ray.labels import counting
from vitw_ray.labels.counting import PAIR, Pairs, count_accounts
from vitw_ray.run_folder import StageFolder
from vitw_ray.stages import StageContext
from vitw_ray.statistics import answered_prompts
from vitw_ray.statistics.answered_prompts import AnswerRuns, count_prompts
from vitw_ray.statistics.codebook import Codebook
from vitw_ray.statistics.paired import ANSWERS
from vitw_ray.storage import Storage

SIZES = (50_000, 200_000, 800_000)
QUICK_SIZES = (25_000, 50_000, 100_000)
RUN_ROWS = 1024  # an eighth of a full run of conversations
SCALE = FULL_RUN_ROWS // RUN_ROWS
PART_ROWS = 4096 // SCALE
RANGES_COUNTED = 8  # of those that are read from every run
ROUNDS_UP = (10_000_000, 100_000_000)


@dataclass(frozen=True)
class PerRow:
    """What is read for each row."""

    opens: float
    bytes: float
    rows: float
    cpu_us: float


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", help="rows, rising; more than 16,384")
    parser.add_argument("--output", help="where runs are written; default: a temporary folder")
    options = parser.parse_args()
    result = Result.stored("sort_growth", options.quick, options.output)
    sizes = options.sizes or (QUICK_SIZES if options.quick else SIZES)
    result.work = {"sizes": list(sizes), "run_rows": RUN_ROWS}
    kinds = {
        "conversations before": every_run,
        "conversations": sort_rows,
        "openings": compare_openings,
        "pairs": count_pairs,
        "prompts": pair_prompts,
    }
    for kind, measure in kinds.items():
        found = []
        for rows in sizes:
            with tempfile.TemporaryDirectory() as folder, in_this_process():
                place = f"{options.output}/{kind}-{rows}".replace(" ", "-")
                found.append(measure(Storage(place if options.output else folder), rows))
            numbers = f"{found[-1].opens:.5f}", f"{found[-1].bytes:,.0f}", f"{found[-1].rows:.2f}"
            result.rows.append((kind, f"{rows:,}", *numbers, f"{found[-1].cpu_us:.0f}"))
        name = kind.replace(" ", "_")
        first, last = found[0], found[-1]
        result.ratios[f"{name}_opens_growth"] = last.opens / first.opens
        result.ratios[f"{name}_bytes_growth"] = last.bytes / first.bytes
        result.ratios[f"{name}_cpu_growth"] = last.cpu_us / first.cpu_us
        result.ratios[f"{name}_rows_read_per_row"] = last.rows
        result.rates[f"{name}_opens_per_row"] = last.opens
        result.rates[f"{name}_cpu_us_per_row"] = last.cpu_us
    for rows in ROUNDS_UP:
        opens, before = computed(rows)
        result.rows.append(("computed", f"{rows:,}", f"{opens / rows:.5f}", "", "2.00", ""))
        result.rows.append(("computed before", f"{rows:,}", f"{before / rows:.5f}", "", "", ""))
        result.work |= {f"opens_of_{rows}": opens, f"opens_before_of_{rows}": before}
    result.report(("what", "rows", "opens/row", "bytes/row", "rows read/row", "CPU us/row"))


@contextmanager
def in_this_process() -> Iterator[None]:
    """Units run one after the other, where reads can be counted."""
    with (
        patch.object(cluster, "stream", lambda units, function: map(function, units)),
        patch.object(histories, "LEAST_RANGE_ROWS", RUN_ROWS // 2),
        patch.object(histories, "OPENING_ROWS", RUN_ROWS),
        patch.object(counting, "PAIR_RUN_ROWS", RUN_ROWS),
        patch.object(answered_prompts, "ANSWER_RUN_ROWS", RUN_ROWS),
    ):
        yield


def context_of(storage: Storage) -> StageContext:
    return StageContext(
        config=RunConfig(conversations=ConversationsConfig(rows_per_part=PART_ROWS)),
        storage=storage,
        folder=StageFolder(storage, "1_conversations-benchmark"),
        keyed=Keyed(b"the key of a benchmark"),
        epoch=1,
        inputs=(),
        shapes={},
        tables={},
        manifests={},
    )


def conversation_runs(storage: Storage, rows: int) -> list[str]:
    """Sorted runs of tiny conversations."""
    messages = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}]
    row = {"hash": 0, "source": "planted", "messages": messages, "file": "a", "row": 0}
    row |= {"invented": False, "turns": 2, "chars": 7}
    same = pa.Table.from_pylist([row] * RUN_ROWS, RUN)
    runs = []
    for first in range(0, rows, RUN_ROWS):
        numbers = range(first, min(first + RUN_ROWS, rows))
        ids = [f"c{number:09d}" for number in numbers]
        hashes = [id_hash(identity) for identity in ids]
        table = same.slice(0, len(ids))
        for name, values in (
            ("hash", hashes),
            ("conversation_id", ids),
            ("row", numbers),
            ("content", hashes),
            ("draw", hashes),
        ):
            place = RUN.get_field_index(name)
            table = table.set_column(
                place, RUN.field(place), pa.array(values, RUN.field(place).type)
            )
        runs.append(write_sorted_run(storage, "private/runs", table))
    return runs


def sort_rows(storage: Storage, rows: int) -> PerRow:
    """From runs to parts, as the stage does it."""
    context = context_of(storage)
    runs = conversation_runs(storage, rows)
    size = rows / RUN_ROWS
    with counted(rows) as found:
        count = bucket_count(len(runs), size, power_of_two(rows / PART_ROWS))
        buckets = write_buckets(storage, "private/buckets", runs, size, count, INDEX.names)
        of_all = Rows((buckets,), Buckets(storage, count))
        merged = merge(context, of_all, Cutoffs(), rows, rows, {})
    assert sum(file.rows for file in merged.files) == rows
    return found[0]


def every_run(storage: Storage, rows: int) -> PerRow:
    """Each range from every run: a few ranges, as all cost the same."""
    runs, parts = conversation_runs(storage, rows), -(-rows // PART_ROWS)
    with counted(rows * RANGES_COUNTED / parts) as found:
        for number in range(RANGES_COUNTED):
            read_range(storage, runs, range_bounds(number, parts), RUN)
    return found[0]


def compare_openings(storage: Storage, rows: int) -> PerRow:
    """Growing histories, of which every fourth row is one."""
    context = context_of(storage)
    rng = np.random.default_rng(0)
    runs = []
    for first in range(0, rows, RUN_ROWS):
        length = min(RUN_ROWS, rows - first)
        numbers = rng.integers(0, 1 << 62, (4, length))
        columns = [*numbers[:2], numbers[2], np.zeros(length, np.int64), numbers[3]]
        lists = [[] if n % 4 else [n] for n in range(length)]
        table = pa.table([*columns, np.zeros(length, bool), lists], schema=OPENINGS)
        runs.append(write_sorted_run(storage, "private/openings", table))
    with counted(rows) as found:
        find_repeats(context, "private/repeats", runs, rows / RUN_ROWS, rows)
    return found[0]


def count_pairs(storage: Storage, rows: int) -> PerRow:
    """Distinct accounts of labels; a row is a pair of both."""
    context = context_of(storage)
    pairs = Pairs(storage, "private/pairs")
    accounts = (hashlib.md5(b"%d" % (n // 4)).hexdigest() for n in range(rows))
    for first in range(0, rows, RUN_ROWS):
        numbers = range(first, min(first + RUN_ROWS, rows))
        some = list(islice(accounts, len(numbers)))
        labels = [f"label {n % 997}" for n in numbers]
        facets = ["ai_values"] * len(some)
        columns = [[id_hash(account) for account in some], some, facets, labels]
        pairs.write([pa.table(columns, schema=PAIR)])
    with counted(rows) as found:
        counts = count_accounts(context, pairs)
    assert sum(counts.values()) == rows
    return found[0]


def pair_prompts(storage: Storage, rows: int) -> PerRow:
    """Answers of two assistants to each prompt; a row is an answer."""
    answers = AnswerRuns(storage, "private/prompts")
    same = {"codes": [0], "response_type": 0}
    for first in range(0, rows, RUN_ROWS):
        numbers = range(first, min(first + RUN_ROWS, rows))
        prompts = [f"p{number // 2}" for number in numbers]
        lines = [
            {"hash": id_hash(prompt), "prompt_id": prompt, "conversation_id": f"c{number}"}
            | {"model": number % 2, **same}
            for number, prompt in zip(numbers, prompts, strict=True)
        ]
        answers.write(pa.Table.from_pylist(lines, ANSWERS))
    answers.flush()
    labels = {"ai_values": ["care"], "human_values": list[str]()}
    codes = {facet: {name: n for n, name in enumerate(labels[facet])} for facet in VALUE_FACETS}
    own = [np.zeros(1, np.int32)]
    vocabulary = Codebook(labels, codes, [["care"]], own, [], ["one", "two"])
    with counted(rows) as found:
        counts = count_prompts(answers, vocabulary)
    assert counts["types"].answered[0, 1] == rows // 2
    return found[0]


@contextmanager
def counted(rows: float) -> Iterator[list[PerRow]]:
    """Count the reads of a block; the list is filled at its end."""
    found = list[PerRow]()
    start = time.process_time()
    with CountedReads() as reads:
        yield found
    seconds = time.process_time() - start
    found.append(
        PerRow(reads.opens / rows, reads.bytes / rows, reads.rows / rows, 1e6 * seconds / rows)
    )


def computed(rows: int) -> tuple[int, int]:
    """Opens of a whole input in full runs: now, and if each range was read from every run."""
    runs, parts = -(-rows // FULL_RUN_ROWS), -(-rows // 4096)
    buckets = bucket_count(runs, runs, power_of_two(parts))
    return runs + buckets * group_count(runs, runs, buckets), runs * parts


if __name__ == "__main__":
    main()
