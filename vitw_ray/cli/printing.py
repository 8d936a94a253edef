"""Standard output of the commands: lines for a person, and one line of JSON as the last."""

import json
import sys
from collections.abc import Mapping
from typing import Any


def say(line: str) -> None:
    """Print one line, at once: whoever reads a pipe sees it while the command works."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def say_json(value: Mapping[str, Any]) -> None:
    """Print the last line of a command, for programs."""
    say(json.dumps(value))
