"""What one percent more conversations costs a finished run, and what stays as it was.

Runs the pipeline with the simulated reader over planted conversations, then over the same files and
one more file with one percent of their number: into the same folder, once with a tree of its own,
once with the frozen tree of the first run (`--taxonomy-from`), and once with that tree and the
parts of the first run (`--keep-parts`, with which stage 1 was run before). All stages work in this
process, without Ray, so that CPU seconds are counted whole. Ratios are to the first run: calls and
CPU are best near 0, parts with the same bytes and cluster ids that are still there near 1.

    python benchmarks/bench_added_rows.py [--quick]
"""

import contextlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from harness import Result, arguments

from vitw_ray import cluster, pipeline
from vitw_ray.config import Execution, RunConfig
from vitw_ray.evaluation.planted import PlantedConfig, plant, write
from vitw_ray.opened_run import open_run
from vitw_ray.presets import smoke
from vitw_ray.run_folder import read_manifest, tables_of

ADDED = 0.01
ROWS, QUICK_ROWS = 20_000, 4_000
ALONE = 25  # as many times the rows are read by stage 1 alone, where fixed costs count little
FACETS = ("ai_values", "human_values", "tasks")


def main() -> None:
    quick = arguments(__doc__).quick
    result = Result("added_rows", quick)
    rows = QUICK_ROWS if quick else ROWS
    with tempfile.TemporaryDirectory() as place, in_this_process():
        folder = Path(place)
        base = replace(smoke(), execution=Execution(output=str(folder / "run"), actors=1))
        write(PlantedConfig(conversations=rows), folder / "input", rows)
        before = measured(with_input(base, folder))
        shutil.copytree(folder / "run", folder / "kept")
        noted = measured(with_input(keeping(base, folder), folder))["conversations"]
        # Row i depends on i alone: the second half of another set are rows that the first lacks.
        more = PlantedConfig(conversations=2 * rows, seed=0)
        write_rows(folder / "input" / "conversations-more.jsonl", more, rows, round(ADDED * rows))
        shutil.copytree(folder / "run", folder / "frozen")
        shutil.copytree(folder / "run", folder / "before")
        again = measured(with_input(base, folder))
        taxonomy = replace(base.taxonomy, taxonomy_from=str(folder / "before"))
        output = replace(base.execution, output=str(folder / "frozen"))
        frozen = measured(with_input(replace(base, taxonomy=taxonomy, execution=output), folder))
        kept = measured(with_input(replace(keeping(base, folder), taxonomy=taxonomy), folder))
        after = {"run": again, "frozen": frozen, "kept": kept}
        report(result, folder, before, after, rows)
        result.ratios["noting_conversations"] = noted / before["conversations"]
        result.ratios["alone_cpu_conversations"] = alone(base, folder / "alone", ALONE * rows)
        result.work["alone_rows"] = ALONE * rows
    result.report(("+1 % rows", "own tree", "frozen tree", "and kept parts"))


def alone(base: RunConfig, folder: Path, rows: int) -> float:
    """CPU of stage 1 for one percent more rows with kept parts / that of all rows without."""
    write(PlantedConfig(conversations=rows), folder / "input", rows)
    output = replace(base.execution, output=str(folder / "run"))
    first = with_input(replace(base, execution=output), folder)
    before = measured(first, "conversations")["conversations"]
    keeps = with_input(keeping(base, folder), folder)
    measured(keeps, "conversations")
    more = PlantedConfig(conversations=2 * rows, seed=0)
    write_rows(folder / "input" / "conversations-more.jsonl", more, rows, round(ADDED * rows))
    return measured(keeps, "conversations")["conversations"] / before


def keeping(config: RunConfig, folder: Path) -> RunConfig:
    """The run that keeps parts, in a folder of its own."""
    conversations = replace(config.conversations, keep_parts=True)
    execution = replace(config.execution, output=str(folder / "kept"))
    return replace(config, conversations=conversations, execution=execution)


def report(
    result: Result,
    folder: Path,
    before: Mapping[str, float],
    after: Mapping[str, Mapping[str, float]],
    rows: int,
) -> None:
    """Fill in the table and the ratios."""
    found: dict[str, dict[str, float]] = {}
    for name, seconds in after.items():
        one = found.setdefault(name, {})
        one["calls"] = calls(folder / name, rows) / rows
        for stage in ("conversations", "extractions", "labels", "taxonomy", "statistics"):
            one[f"cpu_{stage}"] = seconds[stage] / before[stage]
        one |= {f"parts_{n}": share for n, share in unchanged(folder / "before", folder / name)}
        one |= {f"ids_{n}": share for n, share in kept_ids(folder / "before", folder / name)}
    for key in found["run"]:
        result.rows.append((key, *(f"{found[name][key]:.4f}" for name in after)))
        for name in after:
            prefix = "" if name == "run" else f"{name}_"
            result.ratios[f"{prefix}{key}"] = found[name][key]
    result.work = {
        "rows": rows,
        "added": round(ADDED * rows),
        **{f"cpu_s_{stage}": round(seconds, 3) for stage, seconds in before.items()},
    }


def with_input(config: RunConfig, folder: Path) -> RunConfig:
    pattern = str(folder / "input" / "conversations-*")
    return replace(config, conversations=replace(config.conversations, input=(pattern,)))


def write_rows(path: Path, config: PlantedConfig, start: int, count: int) -> None:
    lines = (json.dumps(row) for row, _ in plant(config, start, start + count))
    path.write_text("\n".join(lines) + "\n")


def measured(config: RunConfig, until: str = "release") -> dict[str, float]:
    """Run the pipeline; CPU seconds of each stage."""
    seconds: dict[str, float] = {}
    run_stage = pipeline.run_stage

    def timed(stage: Any, *others: Any) -> Any:
        start = time.process_time()
        manifest = run_stage(stage, *others)
        seconds[stage.name] = time.process_time() - start
        return manifest

    with patch.object(pipeline, "run_stage", timed):
        pipeline.run(config, announce=lambda _: None, until=until)
    return seconds


def calls(run: Path, rows: int) -> int:
    """Conversations that the reader was asked again or anew, beyond those of the first run."""
    stage = open_run(run).stages["extractions"]
    return stage["rows_out"] - stage["details"]["answers_reused"]


def unchanged(before: Path, after: Path) -> Iterator[tuple[str, float]]:
    """Per table, the share of the first run's parts that are there with the same bytes."""
    for table in ("conversations", "extractions"):
        old, new = (hashes(run, table) for run in (before, after))
        yield table, len(old & new) / len(old)


def hashes(run: Path, table: str) -> set[str]:
    opened = open_run(run)
    manifest = read_manifest(opened.storage, opened.stages[table]["folder"])
    assert manifest is not None
    return {file.sha256 for file in tables_of(manifest)[table].files}


def kept_ids(before: Path, after: Path) -> Iterator[tuple[str, float]]:
    """Per facet, the share of cluster ids of all levels that are still there."""
    old, new = (open_run(run).table("taxonomy").arrow.to_pylist() for run in (before, after))
    there = {row["cluster_id"] for row in new}
    for facet in FACETS:
        ids = [row["cluster_id"] for row in old if row["facet"] == facet and row["level"] > 0]
        yield facet, sum(one in there for one in ids) / len(ids)


@contextlib.contextmanager
def in_this_process() -> Iterator[None]:
    """Units of work run one after the other here, and nothing is sent anywhere."""

    def through_actors(units: Any, actor: Any, *, arguments: Any, **_: Any) -> Iterator[Any]:
        made = actor(**arguments) if units else None
        return map(made, units)  # type: ignore[arg-type]

    class NoTally:
        def report(self, *_: object) -> None: ...

        def finish(self, *_: object) -> None: ...

        def rows(self) -> int:
            return 0

    with contextlib.ExitStack() as patches:
        for name, value in {
            "stream": lambda units, function, **_: map(function, units),
            "stream_through_actors": through_actors,
            "put_shared": lambda value: value,
            "get_shared": lambda value: value,
            "connect": lambda _: None,
            "disconnect": lambda: None,
            "node_resources": lambda: [{"CPU": 1.0, "memory": 2.0**36}],
            "Tally": NoTally,
        }.items():
            patches.enter_context(patch.object(cluster, name, value))
        yield


if __name__ == "__main__":
    main()
