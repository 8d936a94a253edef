"""`vitw purge`: deletes what a run holds of single conversations, once the user agrees."""

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Annotated

import tyro

from vitw_ray.cli.printing import say, say_json
from vitw_ray.errors import ConfigError
from vitw_ray.storage import FileStat, Storage

YES = ("y", "yes")


@dataclass(frozen=True)
class Arguments:
    """Delete private/ of a run: conversations, answers, extractions, vectors and the secret.

    The tables of aggregates, the page and releases stay. Afterwards no stage but the report can be
    made again, nothing can be published, and vitw check skips what it can no longer count.
    """

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """A run folder: a local path or an s3:// address."""
    yes: bool = False
    """Delete without asking."""


def main(arguments: Sequence[str]) -> int:
    """Purge a run; 1 when the user does not agree."""
    config = (tyro.conf.FlagCreatePairsOff,)
    asked = tyro.cli(Arguments, args=arguments, prog="vitw purge", config=config)
    from vitw_ray.purge import purge

    if not asked.yes and not sys.stdin.isatty():
        raise ConfigError(
            "vitw purge asks before it deletes, and there is no terminal", "add --yes"
        )
    declined = False

    def agreed(files: Sequence[FileStat]) -> bool:
        nonlocal declined
        for line in listing(files):
            say(line)
        declined = not (asked.yes or _confirmed())
        return not declined

    gone = purge(Storage(asked.run), agreed)
    if not gone:
        say("nothing was deleted" if declined else "private/ holds nothing: it was purged before")
    size = sum(file.size for file in gone)
    say_json({"run": asked.run, "purged_files": len(gone), "purged_bytes": size})
    return 1 if declined else 0


def listing(files: Sequence[FileStat]) -> Iterator[str]:
    """What goes: a line for each kind of file, then the sum."""
    kinds = sorted((_kind(file.path), file.size) for file in files)
    for kind, found in groupby(kinds, key=lambda pair: pair[0]):
        yield _counted(kind, [size for _, size in found])
    yield _counted("private/", [file.size for file in files])


def _kind(path: str) -> str:
    """`private/2_extractions-0a1b2c/...` is of the kind `extractions`."""
    return re.sub(r"^\d+_|-[0-9a-f]+$", "", path.split("/")[1])


def _counted(kind: str, sizes: Sequence[int]) -> str:
    return f"{kind:<18}{len(sizes):>8,} files{sum(sizes) / 1e6:>12,.1f} MB"


def _confirmed() -> bool:
    sys.stdout.write("Delete all of this? It cannot be undone. [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in YES
