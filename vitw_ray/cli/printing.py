"""Standard output of the commands: lines for a person, and one line of JSON as the last."""

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from vitw_ray.inert import on_terminal


def say(line: str) -> None:
    """Print one line, at once: whoever reads a pipe sees it while the command works.

    When nobody reads the pipe any more, as behind `| head`, the work goes on without output.
    """
    try:
        sys.stdout.write(on_terminal(line) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say_json(value: Mapping[str, Any]) -> None:
    """Print the last line of a command, for programs."""
    say(json.dumps(value))
