"""The command that makes a run again, from its settings: a preset, and the flags that change it."""

import shlex
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import PurePath
from typing import Any

from vitw_ray.config import RunConfig
from vitw_ray.presets import PRESETS

SECTIONS = ("conversations", "extraction", "labels", "taxonomy", "statistics", "report")
"""What decides numbers; where and how fast a run works does not."""
FILES = ("map", "reviewed", "screen_heads", "taxonomy_from")
"""Settings that name a file of the user's own; its name is not told."""
NOT_TOLD = ("input", "simulated_seconds_per_row")


def command_of(config: RunConfig) -> str:
    """The shortest command with these settings; `INPUT`, `RUN` and `FILE` stand for paths."""
    found = [list(_flags(config, preset)) for preset in PRESETS]
    name, flags = min(zip(PRESETS, found, strict=True), key=lambda pair: len(pair[1]))
    given = [] if name == next(iter(PRESETS)) else ["--preset", name]
    inputs = ["--input", "INPUT"] if config.conversations.input else []
    words = ["vitw", "run", *given, *inputs, "--output", "RUN", *flags]
    return shlex.join(words)


def _flags(config: RunConfig, preset: str) -> Iterator[str]:
    """Words of every setting that the preset has otherwise."""
    base, chosen = asdict(PRESETS[preset]()), asdict(config)
    for section in SECTIONS:
        for name, value in chosen[section].items():
            if name not in NOT_TOLD and value != base[section][name]:
                yield from _words(name, value)


def _words(name: str, value: Any) -> Iterator[str]:
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        yield f"--{flag}" if value else f"--no-{flag}"
        return
    yield f"--{flag}"
    if name in FILES:
        yield "FILE"
    elif isinstance(value, str) and PurePath(value).is_absolute():
        yield PurePath(value).name
    elif isinstance(value, tuple | list):
        yield from map(str, value)
    else:
        yield str(value)
