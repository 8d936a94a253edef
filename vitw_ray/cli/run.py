"""`vitw run`: the pipeline, for a person at a terminal.

Standard output gets the plan and, as its last line, one line of JSON; log lines go to standard
error.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from vitw_ray.cli.printing import say, say_json
from vitw_ray.cli.settings import Settings, settings_from
from vitw_ray.cli.short_help import Job
from vitw_ray.config import RunConfig
from vitw_ray.progress import set_up_logging

JOB = Job(
    name="run",
    summary="Read conversations, and write every table, the page and the release. What is finished"
    " is\nskipped: run it again to go on, or with other flags to make only what they change.",
    examples=(
        "vitw run",
        "vitw run --input 'logs/*.jsonl.gz' --output runs/mine --sample 5000",
        "ray job submit --working-dir . -- python jobs/run.py --preset paper \\\n"
        "      --input s3://bucket/logs --output s3://bucket/runs/mine",
    ),
    has_until=True,
)


def main(arguments: Sequence[str]) -> int:
    """Run the stages that are not finished."""
    settings = settings_from(arguments, JOB)
    say_json(last_line(settings.config, run_with(settings)))
    return 0


def run_with(settings: Settings) -> dict[str, Any]:
    """Run the pipeline with its plan on standard output; the content of `run.json`."""
    from vitw_ray.pipeline import run  # with all stages: only for flags that can work

    set_up_logging()
    return run(settings.config, announce=say, until=settings.until)


def last_line(config: RunConfig, result: Mapping[str, Any]) -> dict[str, Any]:
    """What a program may want to know of a run."""
    return {
        "run": config.execution.output,
        **result["totals"],
        "seconds": {stage["name"]: stage["seconds"] for stage in result["stages"]},
        "report": result["report"] and f"{config.execution.output}/report.html",
    }
