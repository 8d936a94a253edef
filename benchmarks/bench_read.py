"""Stage 1: the cost of validation on top of decompression and parsing.

Ours reads each row as the stage does: bounded lines, untrusted JSON, parsing of a shape. The
alternatives trust their input: `json.loads` of every line of the same gzip files, and `to_pylist`
of the same rows in Parquet. CPU seconds, one process, no Ray. With `--against`, the same is done
by the code of another checkout, in turn with ours, in processes of their own.

    python benchmarks/bench_read.py [--quick] [--against CHECKOUT]
"""

import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from harness import (
    ONE_THREAD,
    ROOT,
    Result,
    interleave,
    parser_of,
    plant,
    ratio,
    real_conversations,
    spread,
)

from vitw_ray.config import RunConfig
from vitw_ray.conversations.intake import FileReader
from vitw_ray.conversations.looking import recognise
from vitw_ray.conversations.reading_units import Span
from vitw_ray.conversations.shapes import SHAPES, parse
from vitw_ray.conversations.sources import find_files, iter_rows
from vitw_ray.keys import Keyed
from vitw_ray.run_folder import StageFolder
from vitw_ray.stages import SourceFile, StageContext
from vitw_ray.storage import Storage


def read(file: SourceFile, shape: str) -> None:
    for _, raw in iter_rows(file, shape):
        parse(shape, raw)  # type: ignore[arg-type]  # neither source has rejects


def loads(path: str) -> None:
    with gzip.open(path) as lines:
        for line in lines:
            json.loads(line)


def intake(file: SourceFile, shape: str, output: Path) -> Callable[[], object]:
    """The first pass of the stage for one file: read, validate, hash, write sorted runs."""
    storage = Storage(str(output))
    context = StageContext(
        config=RunConfig(),
        storage=storage,
        folder=StageFolder(storage, "1_conversations-benchmark"),
        keyed=Keyed(b"the key of a benchmark"),
        epoch=1,
        inputs=(file,),
        shapes={file.name: shape},
        tables={},
        manifests={},
    )
    reader = FileReader(context, "private/runs")
    return lambda: reader({"spans": [tuple(Span(0))]})


TIMED = """
import sys, time
from vitw_ray.conversations.shapes import parse
from vitw_ray.conversations.sources import find_files, iter_rows
*paths, shape = sys.argv[1:]
for path in paths:
    (file,) = find_files([path])
    parse(shape, next(iter_rows(file, shape))[1])
    start, rows = time.process_time(), 0
    for _, raw in iter_rows(file, shape):
        parse(shape, raw)
        rows += 1
    print((time.process_time() - start) / rows)
"""
ROUNDS = 5  # ours: an A/A pair of three is too coarse to see a tenth


def per_row(checkout: Path, paths: tuple[str, str], shape: str) -> tuple[float, ...]:
    """CPU seconds per row of JSON Lines and of Parquet, read and parsed by a checkout's code."""
    done = subprocess.run(  # in the checkout: `-c` imports from the working folder first
        [sys.executable, "-c", TIMED, *paths, shape],
        cwd=checkout,
        env=os.environ | ONE_THREAD | {"PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        check=True,
    )
    return tuple(map(float, done.stdout.split()))


def compare(result: Result, data: str, paths: tuple[str, str], shape: str, other: Path) -> float:
    """Compare with another checkout; return the larger spread of the A/A pairs."""
    found: dict[str, list[tuple[float, ...]]] = {"other": [], "ours": [], "again": []}
    for number in range(ROUNDS):
        for name in list(found)[:: 1 if number % 2 else -1]:
            checkout = other if name == "other" else ROOT
            found[name].append(per_row(checkout, paths, shape))
    noise = []
    for place, kind in enumerate(("jsonl", "parquet")):
        of = {name: [round[place] for round in rounds] for name, rounds in found.items()}
        result.ratios[f"{data}_{kind}_cpu_over_the_other"] = ratio(of["ours"], of["other"])
        noise.append(spread(of["ours"], of["again"]))
    return max(noise)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--against", type=Path, help="another checkout, to compare the CPU")
    given = parser.parse_args()
    quick, other = given.quick, given.against and given.against.resolve()
    result = Result("read", quick)
    noise = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measured = [("planted", plant(folder / "planted", 20_000 if quick else 100_000, files=1))]
        real = real_conversations()
        if real is not None:
            measured.append(("real", str(real)))
        for data, path in measured:
            noise.append(measure(result, data, path, folder, other))
    result.aa_spread = max(noise)
    result.report(("data", "rows", "MB", "what", "CPU s", "rows/CPU s", "MB/CPU s", "over"))


def measure(result: Result, data: str, pattern: str, folder: Path, other: Path | None) -> float:
    """Measure one data set; return the spread of its A/A pairs."""
    (source,) = find_files([pattern])
    with gzip.open(source.url) as lines:
        texts = list(lines)
    rows, megabytes = len(texts), sum(map(len, texts)) / 1e6
    shape = recognise(source)
    assert shape is not None
    table = pa.Table.from_pylist([json.loads(text) for text in texts])
    table = table.select([n for n in table.column_names if n in SHAPES[shape].columns.split()])
    pq.write_table(table, folder / f"{data}.parquet")
    (columns,) = find_files([str(folder / f"{data}.parquet")])
    del texts, table
    seconds = interleave(
        {
            "lines": lambda: read(source, shape),
            "lines again": lambda: read(source, shape),
            "json.loads": lambda: loads(source.url),
            "parquet": lambda: read(columns, shape),
            "to_pylist": lambda: pq.read_table(columns.url).to_pylist(),
            "first pass": intake(source, shape, folder / "runs"),
        }
    )

    def show(what: str, over: str = "") -> None:
        cpu = statistics.median(seconds[what])
        gain = f"{ratio(seconds[over], seconds[what]):.2f} of {over}" if over else ""
        rates = (f"{cpu:.2f}", f"{rows / cpu:,.0f}", f"{megabytes / cpu:.1f}", gain)
        result.rows.append((data, f"{rows:,}", f"{megabytes:.1f}", what, *rates))

    for what, over in (
        ("lines", "json.loads"),
        ("json.loads", ""),
        ("parquet", "to_pylist"),
        ("to_pylist", ""),
        ("first pass", "json.loads"),
    ):
        show(what, over)
    result.work |= {f"{data}_rows": rows, f"{data}_json_mb": round(megabytes, 2)}
    result.ratios |= {
        f"{data}_over_json_loads": ratio(seconds["json.loads"], seconds["lines"]),
        f"{data}_over_to_pylist": ratio(seconds["to_pylist"], seconds["parquet"]),
    }
    result.rates |= rates_of(data, seconds, rows, megabytes)
    noise = spread(seconds["lines"], seconds["lines again"])
    if other is not None:
        noise = max(noise, compare(result, data, (source.url, columns.url), shape, other))
    return noise


def rates_of(
    data: str, seconds: dict[str, list[float]], rows: int, megabytes: float
) -> dict[str, float]:
    def median(what: str) -> float:
        return statistics.median(seconds[what])

    return {
        f"{data}_{name}_{unit}_per_cpu_s": amount / median(what)
        for what, name in (("lines", "jsonl"), ("parquet", "parquet"), ("first pass", "first_pass"))
        for unit, amount in (("rows", rows), ("mb", megabytes))
    }


if __name__ == "__main__":
    main()
