"""`--help`: the flags that most runs need, in groups, with presets and examples on one screen."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, fields
from typing import Any

from vitw_ray.config import SAMPLE, RunConfig
from vitw_ray.presets import PRESETS

COLUMN = 26  # where descriptions start (ours: behind the longest flag)


@dataclass(frozen=True, kw_only=True)
class Job:
    """A command that runs the pipeline, as its help describes it."""

    name: str
    summary: str
    examples: tuple[str, ...]
    has_until: bool = False
    more_flags: tuple[str, ...] = ()
    """Flags that concern this job alone."""


@dataclass(frozen=True, slots=True)
class Flag:
    """One line of the help: a field of the configuration, the form of its value, what it does."""

    name: str
    value: str
    text: str
    of_one_job: bool = False


GROUPS: dict[str, tuple[Flag, ...]] = {
    "Input": (
        Flag("input", "FILE ...", "files, folders or globs, local or s3://"),
        Flag("output", "DIR", "run folder: a path or an s3:// address"),
        Flag("sample", "N", "read N conversations, drawn uniformly"),
        Flag("balance_assistants", "", "draw the sample evenly over the assistants", True),
    ),
    "Reader": (
        Flag("extractor", "KIND", "lexicon (no model), vllm, openai (any server) or simulated"),
        Flag("model", "MODEL", "profile such as qwen3-8b, hub id (owner/name) or folder"),
    ),
    "Labels and taxonomy": (
        Flag("min_conversations", "N", "a label is kept from N conversations"),
        Flag("min_accounts", "N", "... and N accounts, where accounts are known"),
        Flag("embedder", "MODEL", "profile such as minilm or mpnet, hub id or folder"),
        Flag("naming", "members|model", "what names clusters: their own labels, or the reader"),
    ),
    "Where it runs": (
        Flag("device", "cpu|gpu", "where readers and embedders run"),
        Flag("actors", "N", "readers at work at once"),
        Flag("gpus_per_actor", "N", "GPUs of each reader"),
        Flag("secret_file", "FILE", "key of all keyed hashes; else made once for the run folder"),
        Flag("until", "STAGE", "extractions, labels, taxonomy, statistics, report or release"),
    ),
}


def short_help(job: Job, preset: str, config: RunConfig, hidden: Collection[str] = ()) -> str:
    """The help of a job.

    Args:
        job: the command.
        preset: name of the starting point.
        config: its values, which are shown as the defaults.
        hidden: sections of the configuration whose flags do not concern this run.
    """
    blocks = [f"usage: vitw {job.name} [--preset NAME] [FLAGS]", job.summary]
    values = {
        field.name: getattr(getattr(config, section.name), field.name)
        for section in fields(config)
        if section.name not in hidden
        for field in fields(getattr(config, section.name))
    }
    if job.has_until:
        values["until"] = None
    for title, flags in GROUPS.items():
        shown = [f for f in flags if f.name in values]
        shown = [f for f in shown if not f.of_one_job or f.name in job.more_flags]
        if shown:
            blocks.append("\n".join([title, *(_line(flag, values[flag.name]) for flag in shown)]))
    blocks.append(
        "\n".join(
            [
                "Presets (--preset NAME): starting values of all flags; * those shown above",
                *_presets(preset),
            ]
        )
    )
    blocks.append("\n".join(["Examples", *(f"  {line}" for line in job.examples)]))
    blocks.append(f"All flags: vitw {job.name} --help-all")
    return "\n\n".join(blocks) + "\n"


def _line(flag: Flag, default: Any) -> str:
    left = f"--{flag.name.replace('_', '-')} {flag.value}".rstrip()
    return f"  {left:<{COLUMN}}{flag.text}{_default(default)}"


def _default(value: Any) -> str:
    if value is None or value is False:
        return ""
    if value == (str(SAMPLE),):
        return " [the sample of the package]"
    if isinstance(value, tuple):
        return f" [{' '.join(value)}]"
    return f" [{value:g}]" if isinstance(value, float) else f" [{value}]"


def _presets(chosen: str) -> Iterator[str]:
    for name, make in PRESETS.items():
        mark = "*" if name == chosen else " "
        yield f"  {name:<14}{mark} {(make.__doc__ or '').splitlines()[0]}"
