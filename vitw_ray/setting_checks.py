"""Checks of single settings; the error names the flag and the valid values."""

import json
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from vitw_ray.errors import ConfigError

NEAR = 0.65  # ours: similarity (0-1) from which a name may be a slip of another


def json_object(name: str, text: str) -> dict[str, Any]:
    """Parse a setting that must be a JSON object."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ConfigError(
            f"{flag(name)} is not a JSON object", f"write {flag(name)} '{{\"name\": value}}'"
        )
    return found


def flag(name: str) -> str:
    """A field's name on the command line."""
    return "--" + name.replace("_", "-")


def at_least(name: str, value: float | None, low: float) -> None:
    """Refuse a value below `low`; None passes."""
    if value is not None and not value >= low:
        raise ConfigError(f"{flag(name)} is {value}", f"give at least {low}")


def between(name: str, value: float, low: float, high: float) -> None:
    """Refuse a value below `low` or above `high`."""
    if not low <= value <= high:
        raise ConfigError(f"{flag(name)} is {value}", f"give a number from {low} to {high}")


def near_names(name: str, known: Iterable[str]) -> str:
    """Known names that differ from `name` by a letter or two; empty if there are none."""
    return " or ".join(get_close_matches(name, list(known), cutoff=NEAR))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question to put after a name that does not exist; empty if no known name is near."""
    near = near_names(name, known)
    return f" (did you mean {near}?)" if near else ""
