"""Start a run from Python: any setting of the configuration as a keyword, over a preset."""

import json
import os
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from vitw_ray import pipeline
from vitw_ray.config import RunConfig
from vitw_ray.errors import ConfigError
from vitw_ray.opened_run import OpenedRun, open_run
from vitw_ray.presets import PRESETS
from vitw_ray.setting_checks import near_names

LAST = pipeline.STAGES[-1].name


def run(
    config: RunConfig | None = None,
    *,
    preset: str | None = None,
    until: str = LAST,
    **settings: Any,
) -> OpenedRun:
    """Run the stages that are not finished, and open the run.

        run(input="logs/*.jsonl.gz", output="runs/mine", sample=1000)

    A keyword is the name of a field of one of the classes in `vitw_ray.config`: the flags of the
    command line with underscores. What is finished is skipped, as it is there. The plan and the
    progress go to the logger `vitw_ray`: `logging.basicConfig(level="INFO")` shows them.

    Args:
        config: a configuration to start from, in place of a preset.
        preset: name of the preset to start from; default: laptop.
        until: name of the last stage to run.
        **settings: fields to change. One path stands for a list of one, text for a date, a
            dictionary for JSON.

    Raises:
        ConfigError: a setting that does not exist or cannot work.
        VitwRayError: whatever else a run can meet; see `vitw_ray.errors`.
    """
    stages = [stage.name for stage in pipeline.STAGES]
    if until not in stages:
        raise ConfigError(f"until is {until!r}, which is no stage", f"choose {', '.join(stages)}")
    configured = configure(config, preset, settings)
    pipeline.run(configured, until=until)
    return open_run(configured.execution.output)


def configure(
    config: RunConfig | None, preset: str | None, settings: Mapping[str, Any]
) -> RunConfig:
    """A configuration or a preset, with single fields changed.

    Raises:
        ConfigError: a preset or a field that does not exist, or a value that cannot work.
    """
    if config is not None and preset is not None:
        raise ConfigError("both a configuration and a preset are given", "give one of them")
    if preset is not None and preset not in PRESETS:
        raise ConfigError(f"preset {preset!r} does not exist", f"choose {', '.join(PRESETS)}")
    start = config or PRESETS[preset or "laptop"]()
    section_of = {
        field.name: section.name
        for section in fields(start)
        for field in fields(getattr(start, section.name))
    }
    changed: dict[str, dict[str, Any]] = {}
    for name, value in settings.items():
        if name not in section_of:
            near = near_names(name, section_of)
            raise ConfigError(
                f"{name} is no setting",
                f"choose {near}" if near else "see the fields in vitw_ray/config.py",
            )
        section = section_of[name]
        hint = get_type_hints(type(getattr(start, section)))[name]
        changed.setdefault(section, {})[name] = _value(name, hint, value)
    sections = {name: replace(getattr(start, name), **new) for name, new in changed.items()}
    return replace(start, **sections)


def _value(name: str, hint: Any, value: Any) -> Any:
    """A value as its field has it, from what is natural to write in Python."""
    value = _plain(value)
    if isinstance(value, str) and get_origin(hint) is tuple:
        value = (value,)
    try:
        return TypeAdapter(hint).validate_python(value)
    except ValidationError as error:
        wanted = error.errors()[0]["msg"].removeprefix("Input should be ")
        raise ConfigError(f"{name} is {value!r}", f"give {wanted}") from None


def _plain(value: Any) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return json.dumps(dict(value))
    if isinstance(value, list | tuple):
        return tuple(map(_plain, value))
    return value
