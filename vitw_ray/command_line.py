"""The command line of every job: a preset, then flags that change single fields."""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tyro

from vitw_ray.config import RunConfig
from vitw_ray.errors import ConfigError, Stopped, VitwRayError
from vitw_ray.pipeline import STAGES, run
from vitw_ray.presets import PRESETS
from vitw_ray.progress import set_up_logging


def run_job(
    arguments: Sequence[str],
    description: str,
    until: str = STAGES[-1].name,
    then: Callable[[RunConfig, Mapping[str, Any]], Mapping[str, Any]] | None = None,
) -> int:
    """Run the pipeline up to a stage, for a person at a terminal.

    Standard output gets the plan and, as its last line, one line of JSON; log lines and errors go
    to standard error. `then` is given the finished run, and what it returns joins that line.

    Returns:
        0 when every stage is finished, 1 when one could not be, 130 when the user stopped it.
    """
    set_up_logging()
    try:
        config = config_from(arguments, description)
        result = run(config, announce=_say, until=until)
        more = then(config, result) if then else {}
    except Stopped as stopped:
        sys.stderr.write(f"{stopped.problem}\n")
        return 130  # as a shell reports Ctrl-C
    except VitwRayError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    line = {
        "run": config.execution.output,
        **result["totals"],
        "seconds": {stage["name"]: stage["seconds"] for stage in result["stages"]},
        "report": result["report"] and f"{config.execution.output}/report.html",
        **more,
    }
    _say(json.dumps(line))
    return 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def config_from(arguments: Sequence[str], description: str) -> RunConfig:
    """Build the configuration of a job.

    `--preset NAME` chooses the starting point (default: laptop). Field names are flags without the
    name of their class: `--sample 1000`, `--min-conversations 5`.

    Raises:
        ConfigError: a preset that does not exist, or a value that cannot work.
    """
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--preset", default="laptop")
    chosen, rest = first.parse_known_args(arguments)
    if chosen.preset not in PRESETS:
        raise ConfigError(
            f"--preset {chosen.preset} does not exist", f"choose {', '.join(PRESETS)}"
        )
    presets = "\n".join(
        f"    {name:<13} {(make.__doc__ or '').splitlines()[0]}" for name, make in PRESETS.items()
    )
    return tyro.cli(
        RunConfig,
        args=rest,
        default=PRESETS[chosen.preset](),
        description=f"{description}\n\n--preset NAME, one of\n\n{presets}\n",
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
    )
