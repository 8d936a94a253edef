"""`vitw inspect`: what an input holds, before anything is run."""

from collections.abc import Sequence
from dataclasses import dataclass

import tyro

from vitw_ray.cli.printing import say, say_json


@dataclass(frozen=True)
class Arguments:
    """Say what an input holds: shapes, fields, lengths, models, times, and what cannot be read.

    No text of a conversation is shown, and nothing is written.
    """

    input: tuple[str, ...]
    """Files, folders or globs, local or s3://."""
    source_format: str = "auto"
    """Shape of the rows; auto detects it."""
    map: str | None = None
    """Where the fields of other rows are, as messages=PATH,role=KEY,content=KEY,..."""
    rows: int = 100_000
    """Read up to this many rows, the same number of each file."""
    json: bool = False
    """One line of JSON for programs."""


def main(arguments: Sequence[str]) -> int:
    """Inspect an input."""
    config = (tyro.conf.FlagCreatePairsOff,)
    asked = tyro.cli(Arguments, args=arguments, prog="vitw inspect", config=config)
    from vitw_ray.config import ConversationsConfig
    from vitw_ray.conversations.inspection import inspect_input, lines
    from vitw_ray.conversations.shapes import SHAPES
    from vitw_ray.errors import ConfigError
    from vitw_ray.planning import passed_over_line
    from vitw_ray.setting_checks import at_least

    at_least("rows", asked.rows, 1)
    if asked.source_format != "auto" and asked.source_format not in SHAPES:
        raise ConfigError(
            f"--source-format {asked.source_format} does not exist", f"choose {', '.join(SHAPES)}"
        )
    shape = asked.source_format
    if asked.map is not None:
        shape = ConversationsConfig(map=asked.map).shape
    found = inspect_input(asked.input, shape, asked.rows)
    passed_over = found.survey.passed_over
    if asked.json:
        shapes = {name: counted.as_json() for name, counted in found.shapes.items()}
        say_json({"shapes": shapes, "passed_over": passed_over})
        return 0
    size = sum(file.size_bytes for file in found.survey.files)
    say(f"files: {len(found.survey.files)}, {size / 1e6:,.1f} MB")
    if passed_over:
        say(passed_over_line(passed_over))
    for line in lines(found):
        say(line)
    return 0
