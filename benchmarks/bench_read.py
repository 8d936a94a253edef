"""Stage 1: the cost of validation on top of decompression and parsing.

Ours reads each row as the stage does: bounded lines, untrusted JSON, parsing of a shape. The
alternatives trust their input: `json.loads` of every line of the same gzip files, and `to_pylist`
of the same rows in Parquet. CPU seconds, one process, no Ray.

    python benchmarks/bench_read.py [--quick]
"""

import gzip
import json
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from harness import Result, arguments, interleave, plant, ratio, real_conversations, spread

from vitw_ray.config import RunConfig
from vitw_ray.conversations.intake import FileReader
from vitw_ray.conversations.looking import recognise
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
    return lambda: reader({"file": 0})


def main() -> None:
    quick = arguments(__doc__).quick
    result = Result("read", quick)
    noise = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measured = [("planted", plant(folder / "planted", 20_000 if quick else 100_000, files=1))]
        real = real_conversations()
        if real is not None:
            measured.append(("real", str(real)))
        for data, path in measured:
            noise.append(measure(result, data, path, folder))
    result.aa_spread = max(noise)
    result.report(("data", "rows", "MB", "what", "CPU s", "rows/CPU s", "MB/CPU s", "over"))


def measure(result: Result, data: str, pattern: str, folder: Path) -> float:
    """Measure one data set; return the spread of its A/A pair."""
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
    return spread(seconds["lines"], seconds["lines again"])


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
