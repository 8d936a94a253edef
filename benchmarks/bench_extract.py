"""Stage 2: overhead of the pipeline over its engine, token costs of prompts, speed of the lexicon.

- routes: the same requests to vLLM alone, through our pipeline, and through Ray Data LLM, in turn,
  on a tiny model on the CPU (`extract_throughput.py`); bytes through Ray's object store.
- long: one run of ten minutes, of ours and of vLLM alone; total seconds with start and drain.
- tokens: prefilled and output tokens of prompt layouts (`extract_tokens.py`).
- simulated: an extractor that sleeps a fixed time per row, so that the ideal is known.
- lexicon: rows per CPU second.

    python benchmarks/bench_extract.py [--quick] [--only routes|long|tokens|simulated|lexicon]
    python benchmarks/bench_extract.py --engine-only [--model FOLDER] [--device gpu]

With `--engine-only`, vLLM alone is compared with our extractor, without Ray (`extract_engine.py`).
"""

import importlib.util
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from extract_engine import measure_engine
from extract_inputs import conversations_of, conversations_table, through_actors
from extract_throughput import measure_long, measure_routes
from extract_tokens import measure_tokens
from harness import Result, parser_of, plant, real_conversations

from vitw_ray import cluster
from vitw_ray.config import SAMPLE, ConversationsConfig, Execution, ExtractionConfig, RunConfig
from vitw_ray.extraction.answers import in_order
from vitw_ray.extraction.extractors import make_extractor
from vitw_ray.extraction.unit_extractor import UnitExtractor

COST_S = 0.005  # ours, per row: a sixth of a GPU's 31 ms, to make overhead visible
ACTORS = 2
PARTS = ("lexicon", "tokens", "simulated", "routes", "long")
LONG_ROWS = 36_000  # ten minutes of the tiny model on one core


class TimedUnits(UnitExtractor):
    """Adds to each result the time when it was committed."""

    def __call__(self, unit: cluster.Unit) -> cluster.Unit:
        """Process a unit, and add the time."""
        result = super().__call__(unit)
        return {**result, "committed": time.monotonic()}


def measure_lexicon(result: Result, quick: bool) -> None:
    """Rows per CPU second, in one process, including the embedder's model."""
    extractor = make_extractor(RunConfig())
    measured = [("sample", str(SAMPLE))]
    real = real_conversations()
    if real is not None:
        measured.append(("real", str(real)))
    for data, path in measured:
        warm_up, *rows = conversations_of(path, 101 if quick else 1_001)
        in_order(extractor, [warm_up])  # loads what is loaded on first use
        # One round only: the extractor caches requests, and a second round would hit the cache.
        start_s = time.process_time()
        in_order(extractor, rows)
        seconds = time.process_time() - start_s
        result.work[f"lexicon_{data}_rows"] = len(rows)
        result.rates[f"lexicon_{data}_rows_per_cpu_s"] = len(rows) / seconds
        result.rows.append((f"lexicon, {data}", f"{len(rows) / seconds:,.1f}", "rows/CPU s"))


def steady_efficiency(units: Sequence[cluster.Unit]) -> float:
    """Ideal over measured seconds of one actor, from its first to its last committed unit."""
    ordered = sorted(units, key=lambda unit: unit["committed"])
    rows = sum(unit["counts"]["answered"] for unit in ordered[1:])
    return rows * COST_S / (ordered[-1]["committed"] - ordered[0]["committed"])


def measure_simulated(result: Result, folder: Path, rows: int) -> None:
    """Overhead of the pipeline over an extractor of known cost."""
    config = RunConfig(
        conversations=ConversationsConfig(input=(plant(folder / "in", rows),)),
        extraction=ExtractionConfig(extractor="simulated", simulated_seconds_per_row=COST_S),
        execution=Execution(output=str(folder / "out"), actors=ACTORS),
    )
    parts = conversations_table(config)
    start = time.monotonic()
    units = through_actors(TimedUnits, config, parts, "private/answers-benchmark")
    seconds = time.monotonic() - start
    actors = [[u for u in units if u["actor"] == actor] for actor in {u["actor"] for u in units}]
    steady = statistics.mean(steady_efficiency(of_actor) for of_actor in actors)
    ideal_s = rows * COST_S / ACTORS
    result.work |= {"simulated_rows": rows, "simulated_cost_s_per_row": COST_S}
    result.ratios |= {
        "simulated_efficiency_steady": steady,
        "simulated_efficiency_total": ideal_s / seconds,
    }
    result.rows += [
        ("simulated, steady", f"{steady:.3f}", "of the ideal"),
        ("simulated, with start and drain", f"{ideal_s / seconds:.3f}", f"{seconds:.1f} s"),
    ]


def measure(result: Result, parts: Sequence[str], folder: Path, quick: bool) -> None:
    """Run all parts that can run on this machine."""
    if importlib.util.find_spec("vllm") is None:
        parts = [part for part in parts if part in ("lexicon", "simulated")]
        result.rows.append(("routes, tokens", "left out", "vLLM is not installed"))
    if "lexicon" in parts:
        measure_lexicon(result, quick)
    if "tokens" in parts:
        measure_tokens(result, folder / "tokens", 200 if quick else sys.maxsize)
    if "simulated" in parts:
        measure_simulated(result, folder / "simulated", 4_800 if quick else 12_000)
        cluster.disconnect()
    if "routes" in parts:
        rows, rounds = (1_200, 2) if quick else (2_000, 3)
        measure_routes(result, folder / "routes", rows=rows, rounds=rounds)
        cluster.disconnect()
    if "long" in parts and not quick:
        measure_long(result, folder / "long", LONG_ROWS)
        cluster.disconnect()


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--only", choices=PARTS, help="one part; default: all of them")
    parser.add_argument("--engine-only", action="store_true", help="no Ray: vLLM and our extractor")
    parser.add_argument("--model", help="with --engine-only: a folder; default: one made here")
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu", help="of --engine-only")
    chosen = parser.parse_args()
    only = f"engine_{chosen.device}" if chosen.engine_only else chosen.only
    result = Result("extract" + (f"_{only}" if only else ""), chosen.quick)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if chosen.engine_only:
            measure_engine(result, folder, chosen.model, chosen.device, chosen.quick)
        else:
            measure(result, [only] if only else PARTS, folder, chosen.quick)
    result.report(("what", "measured", ""))


if __name__ == "__main__":
    main()
