"""`vitw check`: the checker, a package of its own that shares no code with this one.

A release, which has no run beside it, is checked from its own files.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict

from vitw_ray.cli.printing import say, say_json
from vitw_ray.errors import ConfigError, OutputError

REFERENCE = "--reference"


def main(arguments: Sequence[str]) -> int:
    """Check a finished run folder, or a release; 1 when a check failed."""
    if arguments and not arguments[0].startswith("-") and _is_release(arguments[0]):
        if len(arguments) == 1:
            return _check_release(arguments[0])
        if len(arguments) == 3 and arguments[1] == REFERENCE:
            return _check_release(arguments[0]) | _compare(arguments[0], arguments[2])
        raise ConfigError(
            f"vitw check of a release takes {REFERENCE} FOLDER only",
            f"vitw check {arguments[0]}, with or without {REFERENCE} FOLDER",
        )
    try:
        from vitw_check.verdict import main as check
    except ModuleNotFoundError as error:
        if error.name != "vitw_check":
            raise
        raise ConfigError(
            "vitw_check is not installed: this is a checkout that only lies on the path",
            "pip install . in it, or call python jobs/check.py RUN from there",
        ) from None
    return check(arguments, program="vitw check")


def _is_release(address: str) -> bool:
    from vitw_ray.release.check import is_release
    from vitw_ray.storage import Storage

    with suppress(OutputError):  # the checker says what is wrong with an address
        return is_release(Storage(address))
    return False


def _check_release(address: str) -> int:
    from vitw_ray.release.check import check_release
    from vitw_ray.storage import Storage

    found = check_release(Storage(address))
    for name, problems in found.items():
        shown = f"FAILED  {'; '.join(problems[:3])}" if problems else "ok"
        say(f"{name:<12}{shown}")
    failed = [name for name, problems in found.items() if problems]
    say_json({"release": address, "checks": len(found), "failed": failed})
    return 1 if failed else 0


def _compare(address: str, reference: str) -> int:
    from vitw_ray.release.reference import compare
    from vitw_ray.storage import Storage

    found = asdict(compare(Storage(address), Storage(reference)))
    for name, value in found.items():
        say(f"{name.replace('_', ' '):<20}{'-' if value is None else value}")
    say_json({"release": address, "reference": reference, **found})
    return 0
