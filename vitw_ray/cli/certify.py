"""`vitw certify`: which headlines of a finished run hold however its conversations are read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import tyro

from vitw_ray.cli.printing import say, say_json
from vitw_ray.progress import set_up_logging
from vitw_ray.setting_checks import at_least, between
from vitw_ray.storage import Storage
from vitw_ray.wording import count, percent, plain

if TYPE_CHECKING:
    from vitw_ray.cli.certificate_runs import Certified

WIDE = 60  # columns of a headline on a terminal


@dataclass(frozen=True)
class Arguments:
    """Read a sample of a finished run in other ways: which headlines of its page hold in all?

    Other wordings of the prompts, strict reading, one pass or several, other gates and readers.

    Writes the table `certificate` and the page anew. Needs the run's private tables. Answers are
    kept under private/certificate/: run it again to go on.
    """

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """A run folder: a local path or an s3:// address."""
    sample: int = 2000
    """Most conversations to read; fewer where the budget is smaller."""
    reader: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A further reader as NAME=SETTINGS, as of vitw compare-readers; once for each."""
    budget: float = 0.05
    """Most tokens to spend, as a share of what the run spent. Readers without a model are free."""
    seed: int = 0
    """Seed of the sample, of draws and of shuffles."""


def main(arguments: Sequence[str]) -> int:
    """Certify."""
    asked = tyro.cli(Arguments, args=arguments, prog="vitw certify")
    at_least("sample", asked.sample, 1)
    between("budget", asked.budget, 0.0001, 100.0)
    from vitw_ray.cli.certificate_runs import Plan, certify

    set_up_logging()
    plan = Plan(asked.sample, asked.reader, asked.budget, asked.seed)
    done = certify(Storage(asked.run), plan, say)
    for line in lines(done, asked.sample):
        say(line)
    say_json(
        {
            "run": asked.run,
            "conversations": done.conversations,
            "specifications": done.specifications,
            "tokens": done.tokens,
            "tokens_of_run": done.tokens_of_run,
            "badges": done.badges,
            "report": f"{asked.run.rstrip('/')}/report.html",
        }
    )
    return 0


def lines(done: "Certified", asked: int) -> list[str]:
    """The badges for a terminal."""
    size = f"{count(done.conversations)} conversations in {count(done.specifications)} ways"
    if done.within_budget < done.drawn:
        size += f"; the budget allows {count(done.within_budget)} of {count(done.drawn)}"
    elif done.drawn < asked:
        size += f"; the run has no more than {count(done.drawn)} that were read"
    spent = f"{count(done.tokens)} tokens"
    if done.tokens_of_run:
        spent += f", {percent(done.tokens / done.tokens_of_run)} of the run's"
    found = [
        f"  {name[:WIDE]:<{WIDE}}{plain(badge or 'too few to tell')}"
        for name, badge in done.headlines
    ]
    return [size, spent, *found, ""]
