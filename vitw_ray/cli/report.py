"""`vitw report`: the page of a finished run, written again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro

from vitw_ray.cli.printing import say_json
from vitw_ray.progress import set_up_logging
from vitw_ray.storage import Storage


@dataclass(frozen=True)
class Arguments:
    """Write the page of a finished run again, from its tables and its own settings.

    The input files are not needed, nor is what a purge takes. A page that is there already, with
    the same number of rows and by the same version, is taken as it is.
    """

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """A run folder: a local path or an s3:// address."""
    top: int | None = None
    """Rows of each ranked list; default: as the run has it."""


def main(arguments: Sequence[str]) -> int:
    """Write the page."""
    asked = tyro.cli(Arguments, args=arguments, prog="vitw report")
    from vitw_ray.rewrite_report import rewrite_report

    set_up_logging()
    result = rewrite_report(Storage(asked.run), asked.top)
    page = f"{asked.run.rstrip('/')}/report.html"
    say_json({"run": asked.run, "report": page, "top": result["config"]["report"]["top"]})
    return 0
