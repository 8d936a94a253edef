"""`vitw check`: the checker, a package of its own that shares no code with this one."""

from collections.abc import Sequence

from vitw_ray.errors import ConfigError


def main(arguments: Sequence[str]) -> int:
    """Check a finished run folder; 1 when a check failed."""
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
