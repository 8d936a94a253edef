"""`vitw attack`: looks for what a published folder gives away about few people."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from vitw_ray.cli.printing import say, say_json
from vitw_ray.errors import ConfigError


@dataclass(frozen=True)
class Arguments:
    """Attack a run folder, a release, or any folder with names and counts (CSV, JSON, Parquet).

    Only what lies outside private/ is read. The exit status is 1 if anything was found.
    """

    folder: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
    """A local folder or file."""
    before: str | None = None
    """An earlier release, to compare with."""
    canaries: str | None = None
    """A file of secrets that were planted in the conversations, one a line."""
    guesses: str | None = None
    """A file of guesses to try against public digests, one a line."""
    min_conversations: int | None = None
    """That a public number needs (default: what the folder says, else 15)."""
    min_accounts: int | None = None
    """That it needs (default: what the folder says, else 5)."""


def main(arguments: Sequence[str]) -> int:
    """Make the attacks; 1 if anything was found."""
    config = (tyro.conf.FlagCreatePairsOff,)
    asked = tyro.cli(Arguments, args=arguments, prog="vitw attack", config=config)
    from vitw_ray.release.attacks.attack import attack
    from vitw_ray.release.attacks.findings import as_lines, as_record

    outcomes = attack(
        asked.folder,
        before=asked.before,
        canaries=_lines("--canaries", asked.canaries),
        guesses=_lines("--guesses", asked.guesses),
        conversations=asked.min_conversations,
        accounts=asked.min_accounts,
    )
    for line in as_lines(outcomes):
        say(line)
    found = sum(len(outcome.findings) for outcome in outcomes)
    say_json({"folder": asked.folder, "found": found, "attacks": as_record(outcomes)})
    return 1 if found else 0


def _lines(flag: str, path: str | None) -> list[str]:
    if path is None:
        return []
    try:
        return [line for line in Path(path).read_text().splitlines() if line.strip()]
    except (OSError, ValueError):
        raise ConfigError(f"{flag} {path} cannot be read", "name a text file") from None
