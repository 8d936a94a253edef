"""The settings of a command that runs the pipeline: a preset, then flags that change single fields.

Flags are the fields of the configuration without the name of their class: `--sample 1000`,
`--min-conversations 5`. tyro parses them, and prints all of them for `--help-all`; `--help` is the
short list of `short_help`.
"""

import argparse
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, fields, make_dataclass
from typing import Annotated, Any, Literal, get_args, get_type_hints

import tyro

from vitw_ray.cli.printing import say
from vitw_ray.cli.short_help import Job, short_help
from vitw_ray.config import RunConfig
from vitw_ray.errors import ConfigError
from vitw_ray.presets import PRESETS
from vitw_ray.setting_checks import did_you_mean

StageName = Literal["extractions", "labels", "taxonomy", "statistics", "report", "release"]
"""Where a run may end. Conversations that nobody read are no result."""
STAGE_NAMES: tuple[StageName, ...] = get_args(StageName)
DEFAULT_PRESET = "laptop"
SECTION_OF = {"extractions": "extraction"}
"""Stage -> its field of `RunConfig`, where that has another name."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a command line asks for."""

    config: RunConfig
    until: StageName = STAGE_NAMES[-1]


def settings_from(arguments: Sequence[str], job: Job) -> Settings:
    """Build the settings of a job. With `--help` or `--help-all`, print and exit instead.

    Raises:
        ConfigError: a preset that does not exist, a list given twice, or a value that cannot work.
        SystemExit: a flag that does not exist, or a value of another kind; tyro has said so.
    """
    preset, until = _starting_point(arguments)
    base = PRESETS[preset]()
    if "--help-all" in arguments:
        _parse(["--help"], job, preset, base, hidden=_later_sections(until))
    if not {"-h", "--help"}.isdisjoint(arguments):
        say(short_help(job, preset, base, _later_sections(until)).rstrip())
        raise SystemExit(0)
    _refuse_repeated(arguments, base)
    flags = _parse(arguments, job, preset, base)
    config = RunConfig(**{f.name: getattr(flags, f.name) for f in fields(RunConfig)})
    return Settings(config, getattr(flags, "until", STAGE_NAMES[-1]))


def _starting_point(arguments: Sequence[str]) -> tuple[str, str]:
    """The preset, which gives every flag its default, and the last stage, before all is parsed."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--preset", nargs="?")  # a missing value is for tyro to tell
    first.add_argument("--until", nargs="?")
    chosen, _ = first.parse_known_args(arguments)
    preset = chosen.preset or DEFAULT_PRESET
    if preset not in PRESETS:
        raise ConfigError(
            f"--preset {preset} does not exist{did_you_mean(preset, PRESETS)}",
            f"choose {', '.join(PRESETS)}",
        )
    return preset, chosen.until


def _refuse_repeated(arguments: Sequence[str], base: RunConfig) -> None:
    """Refuse a flag of several values that is given twice: tyro would drop the first ones."""
    several = {
        f"--{f.name}".replace("_", "-")
        for section in fields(base)
        for f in fields(getattr(base, section.name))
        if isinstance(getattr(getattr(base, section.name), f.name), tuple)
    }
    given = Counter(argument.partition("=")[0].replace("_", "-") for argument in arguments)
    for flag in sorted(several):
        if given[flag] > 1:
            raise ConfigError(
                f"{flag} is given {given[flag]} times, and only the last would count",
                f"write all values after one flag: {flag} FIRST SECOND",
            )


def _later_sections(until: str | None) -> set[str]:
    """Sections of the configuration that concern no stage up to `until`."""
    names = list(STAGE_NAMES)
    later = names[names.index(until) + 1 :] if until in names else []
    return {SECTION_OF.get(name, name) for name in later}


def _parse(
    arguments: Sequence[str],
    job: Job,
    preset: str,
    base: RunConfig,
    hidden: Collection[str] = (),
) -> Any:
    """Parse with tyro into one object with the sections of `RunConfig`, `preset` and `until`.

    What is `hidden` is not in the help, and would not be parsed either: tyro knows no third way.
    """
    chosen = [("preset", _described(str, _PRESET), field(default=preset))]
    if job.has_until:
        chosen.append(("until", _described(StageName, _UNTIL), field(default=STAGE_NAMES[-1])))
    types = get_type_hints(RunConfig)
    sections = [
        (
            f.name,
            Annotated[types[f.name], tyro.conf.Suppress] if f.name in hidden else types[f.name],
            field(default=getattr(base, f.name)),
        )
        for f in fields(RunConfig)
    ]
    return tyro.cli(
        make_dataclass("Flags", [*chosen, *sections], frozen=True, kw_only=True),
        args=arguments,
        prog=f"vitw {job.name}",
        description=job.summary,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
    )


def _described(kind: Any, text: str) -> Any:
    return Annotated[kind, tyro.conf.arg(help=text)]


_PRESET = f"Starting value of every flag: {', '.join(PRESETS)}. Flags change single values of it."
_UNTIL = "The last stage to run."
