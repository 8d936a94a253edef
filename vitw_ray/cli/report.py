"""`vitw report`: the page of a finished run, written again, or that of two runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro

from vitw_ray.cli.printing import say_json
from vitw_ray.errors import ConfigError
from vitw_ray.progress import set_up_logging
from vitw_ray.storage import Storage


@dataclass(frozen=True)
class Arguments:
    """Write the page of a finished run again, from its tables and its own settings.

    The input files are not needed, nor is what a purge takes. A page that is there already, with
    the same number of rows and by the same version, is taken as it is. With --compare, the page
    is of two runs: two readers, two months, or two populations.
    """

    run: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = None
    """A run folder: a local path or an s3:// address."""
    top: int | None = None
    """Rows of each ranked list; default: as the run has it."""
    compare: Annotated[tuple[str, str] | None, tyro.conf.arg(metavar="RUN_A RUN_B")] = None
    """Instead of RUN: one page of two finished runs, of what differs between them."""
    output: str = "runs/two-runs.html"
    """Where the page of two runs is written; both run folders stay as they are."""


def main(arguments: Sequence[str]) -> int:
    """Write the page."""
    asked = tyro.cli(Arguments, args=arguments, prog="vitw report")
    set_up_logging()
    if (asked.run is None) == (asked.compare is None):
        raise ConfigError(
            "vitw report needs one run folder, or --compare and two",
            "give RUN, or --compare RUN_A RUN_B",
        )
    if asked.compare is not None:
        return _compare(*asked.compare, asked.output)
    assert asked.run is not None
    from vitw_ray.rewrite_report import rewrite_report

    result = rewrite_report(Storage(asked.run), asked.top)
    page = f"{asked.run.rstrip('/')}/report.html"
    say_json({"run": asked.run, "report": page, "top": result["config"]["report"]["top"]})
    return 0


def _compare(first: str, second: str, output: str) -> int:
    from vitw_ray.two_runs import compare_runs

    page, told = compare_runs(Storage(first), Storage(second))
    folder, _, name = output.rpartition("/")
    Storage(folder or ".").write(name, page.encode())
    say_json({"compared": [first, second], "page": output, **told})
    return 0
