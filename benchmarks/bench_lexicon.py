"""The lexicon: agreement with labelled conversations by cross-validation, and its speed.

- agreement: five folds of the labelled conversations; sources spread over the folds, answers to
  one prompt and near-duplicates kept together; each fold is read by heads trained on the others
  (and on planted conversations). Penalties and cuts are chosen within the training folds.
- speed: CPU seconds per conversation, beside another checkout given with `--against`, read in turn
  in the same run.

    python benchmarks/bench_lexicon.py [--quick] [--only agreement|speed] [--against CHECKOUT]
"""

import os
import subprocess
import sys
from pathlib import Path

from harness import ONE_THREAD, ROOT, Result, parser_of, real_conversations

FOLDS, SEED = 5, 0
ROWS = 500
TIMED = """
import sys, time
from extract_inputs import conversations_of
from vitw_ray.config import RunConfig
from vitw_ray.extraction.answers import in_order
from vitw_ray.extraction.extractors import make_extractor
extractor = make_extractor(RunConfig())
first, *rows = conversations_of(sys.argv[1], int(sys.argv[2]) + 1)
in_order(extractor, [first])
start = time.process_time()
in_order(extractor, rows)
print((time.process_time() - start) / len(rows))
"""


def seconds_per_row(checkout: Path, data: Path, rows: int) -> float:
    """CPU seconds per conversation of the lexicon of a checkout, without its start."""
    path = os.pathsep.join((str(checkout), str(checkout / "benchmarks")))
    environment = os.environ | ONE_THREAD | {"PYTHONPATH": path}
    command = [sys.executable, "-c", TIMED, str(data.resolve()), str(rows)]
    done = subprocess.run(  # in the checkout: `-c` imports from the working folder first
        command, cwd=checkout, env=environment, capture_output=True, text=True, check=True
    )
    return float(done.stdout.split()[-1])


def measure_speed(result: Result, against: Path | None, rows: int) -> None:
    data = real_conversations()
    if data is None:
        result.rows.append(("speed", "left out", "no real conversations"))
        return
    ours = seconds_per_row(ROOT, data, rows)
    result.work["speed_rows"] = rows
    result.rates["cpu_ms_per_row"] = 1000 * ours
    result.rows.append(("CPU per conversation", f"{1000 * ours:.1f}", "ms"))
    if against is not None:
        other = seconds_per_row(against.resolve(), data, rows)
        again = seconds_per_row(ROOT, data, rows)
        result.aa_spread = abs(again / ours - 1)
        result.rates["cpu_ms_per_row_of_the_other"] = 1000 * other
        result.ratios["cpu_over_the_other"] = ours / other
        result.rows.append(("over the other checkout", f"{ours / other:.2f}", ""))


def measure_agreement(result: Result) -> None:
    from vitw_ray.evaluation.lexicon_examples import examples
    from vitw_ray.evaluation.lexicon_folds import figures, held_out, outer_folds
    from vitw_ray.evaluation.lexicon_material import material
    from vitw_ray.inference.embedder import load_embedder

    file = real_conversations()
    if file is None:
        result.rows.append(("agreement", "left out", "no labelled conversations"))
        return
    embedder = load_embedder("minilm")
    data = material(examples(file.parent, embedder)[0], embedder)
    held = held_out(data, outer_folds(data, FOLDS, SEED))
    result.work |= {"labelled": len(held), "folds": FOLDS}
    result.ratios |= figures(data, held)
    result.rows += [(name, f"{value:.2f}", "") for name, value in figures(data, held).items()]


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--only", choices=("agreement", "speed"), help="one part; default: both")
    parser.add_argument("--against", type=Path, help="another checkout, to compare the speed")
    given = parser.parse_args()
    result = Result("lexicon", given.quick)
    if given.only != "agreement":
        measure_speed(result, given.against, 100 if given.quick else ROWS)
    if given.only != "speed":
        measure_agreement(result)
    result.report(("what", "measured", ""))


if __name__ == "__main__":
    main()
