"""The flags of `vitw compare-readers` beside those of a run, and what `--reader` may say."""

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from vitw_ray.config import ExtractionConfig
from vitw_ray.errors import ConfigError
from vitw_ray.execution import Execution
from vitw_ray.extractor_kinds import EXTRACTORS
from vitw_ray.profiles import READER_PROFILES
from vitw_ray.setting_checks import did_you_mean

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")  # names a folder
NOT_A_READERS = ("output", "secret_file")
SETTINGS = tuple(
    f.name
    for section in (ExtractionConfig, Execution)
    for f in fields(section)
    if f.name not in NOT_A_READERS
)
"""What may differ between readers."""
WITHOUT_MODEL = tuple(name for name, kind in EXTRACTORS.items() if not kind.has_model)


@dataclass(frozen=True, kw_only=True)
class ReaderSpec:
    """One reader: its name, and the settings of a run that are its own."""

    name: str
    settings: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class CompareFlags:
    """What the command takes beside the flags of a run; `FLAGS` describes each."""

    reader: tuple[str, ...] = ()
    labelled: str | None = None
    planted: int = 64
    valueeval: str | None = None
    valuebench: str | None = None
    xstest: str | None = None
    political_compass: str | None = None
    check_rows: int = 100
    taxonomy: str | None = None
    price_per_gpu_hour: float | None = None
    price_per_million_read: float | None = None
    price_per_million_written: float | None = None

    def __post_init__(self) -> None:
        """Reject invalid values, naming the flag."""
        for name in ("planted", "check_rows"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{flag_of(name)} is {getattr(self, name)}", "give 0 or more")


FLAGS: Mapping[str, tuple[str, str]] = {
    "reader": ("NAME=SETTINGS", "a reader; give the flag once for each, see below"),
    "labelled": ("FILE", "conversations labelled by people, joined by conversation_id"),
    "planted": ("N", "also read N synthetic conversations with known truth [64]"),
    "valueeval": ("FILE", "ValueEval'23: are human values of the same category?"),
    "valuebench": ("FILE", "ValueBench: is the value of a survey item found?"),
    "xstest": ("FILE", "XSTest: are refusals read as strong resistance?"),
    "political_compass": ("FILE", "answers with a stance: does the response type agree?"),
    "check_rows": ("N", "read at most N rows of each of these four [100]"),
    "taxonomy": ("RUN", "a finished run, by whose tree labels are compared too"),
    "price_per_gpu_hour": ("X", "price of a GPU, in any currency"),
    "price_per_million_read": ("X", "a server's price of a million prompt tokens"),
    "price_per_million_written": ("X", "a server's price of a million answer tokens"),
}
"""Flag -> form of its value, what it does."""


def flag_of(name: str) -> str:
    """A field as a flag."""
    return "--" + name.replace("_", "-")


def split_flags(arguments: Sequence[str]) -> tuple[CompareFlags, list[str]]:
    """The command's own flags, and the words that are left for the settings of a run.

    Raises:
        SystemExit: a value of another kind; argparse has said so.
    """
    parser = argparse.ArgumentParser("vitw compare-readers", add_help=False, allow_abbrev=False)
    for f in fields(CompareFlags):
        kind = int if f.type is int else float if f.type == float | None else str
        if f.name == "reader":
            parser.add_argument("--reader", action="append", default=[])
        else:
            parser.add_argument(flag_of(f.name), type=kind, default=f.default)
    found, rest = parser.parse_known_args(arguments)
    return CompareFlags(**{**vars(found), "reader": tuple(found.reader)}), rest


def read_specs(texts: Sequence[str]) -> tuple[ReaderSpec, ...]:
    """The readers of a command line.

    Raises:
        ConfigError: fewer than two, two of one name, or one that cannot be understood.
    """
    specs = tuple(map(read_spec, texts))
    names = [spec.name for spec in specs]
    if len(names) < 2:
        raise ConfigError(
            f"--reader is given {len(names)} times, and a comparison needs two readers",
            "add --reader NAME=SETTINGS, such as --reader lexicon --reader small=qwen3-8b",
        )
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"--reader {name} is given twice", "give each reader its own name")
    return specs


def read_spec(text: str) -> ReaderSpec:
    """One reader, from `NAME=SETTINGS` or a shorthand that is its own name.

    SETTINGS are `key=value` pairs with commas between, of which the first may be a shorthand.
    """
    name, equals, rest = text.partition("=")
    if not equals:
        name, rest = Path(text).name, text
    if not NAME.fullmatch(name) or name in SETTINGS:
        raise ConfigError(
            f"--reader {text} begins with no name",
            "write NAME=SETTINGS; a name has letters, digits, dots, dashes and underscores, and is"
            " no setting",
        )
    settings: dict[str, str] = {}
    for number, item in enumerate(re.split(r",(?=[A-Za-z_-]+=)", rest)):
        key, equals, value = item.partition("=")
        key = key.strip().removeprefix("--").replace("-", "_")
        if number == 0 and (not equals or key not in SETTINGS):
            settings |= _shorthand(item, name)
        elif key not in SETTINGS:
            raise ConfigError(
                f"--reader {name}: {key} is no setting of a reader{did_you_mean(key, SETTINGS)}",
                "give flags of vitw run about the reader or where it runs",
            )
        else:
            settings[key] = value
    return ReaderSpec(name=name, settings=settings)


def _shorthand(text: str, name: str) -> dict[str, str]:
    if text in WITHOUT_MODEL:
        return {"extractor": text}
    if text in READER_PROFILES or "/" in text or Path(text).is_dir():
        return {"extractor": "vllm", "model": text}
    known = (*WITHOUT_MODEL, *READER_PROFILES)
    raise ConfigError(
        f"--reader {name}: {text} is no reader{did_you_mean(text, known)}",
        f"give {', '.join(known)}, a model id (owner/name), a folder, or key=value",
    )
