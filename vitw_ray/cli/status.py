"""`vitw status`: how far a run is, from its folder alone."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from vitw_ray.cli.printing import say, say_json
from vitw_ray.known_clusters import frozen_lines

if TYPE_CHECKING:
    from vitw_ray.run_status import RunStatus, StageStatus


@dataclass(frozen=True)
class Arguments:
    """Say how far a run is: stages, failures, rates, time to go, tokens and their cost.

    Works from any machine that can read the run folder, while the run works and after it was
    killed. Nothing is written, and no text is shown.
    """

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """A run folder: a local path or an s3:// address."""
    price_input: float | None = None
    """Price of a million tokens that the model reads."""
    price_output: float | None = None
    """Price of a million tokens that the model writes."""
    json: bool = False
    """One line of JSON for programs."""


def main(arguments: Sequence[str]) -> int:
    """Print the status; 1 when the run has failed, was killed, or is damaged."""
    config = (tyro.conf.FlagCreatePairsOff,)
    asked = tyro.cli(Arguments, args=arguments, prog="vitw status", config=config)
    from vitw_ray.run_status import read_status
    from vitw_ray.storage import Storage

    prices = None
    if asked.price_input is not None or asked.price_output is not None:
        prices = (asked.price_input or 0.0, asked.price_output or 0.0)
    status = read_status(Storage(asked.run), prices)
    if asked.json:
        say_json(as_json(status))
    else:
        for line in lines(status):
            say(line)
    damaged = any(stage.damage for stage in status.stages)
    return 1 if damaged or status.state in ("failed", "silent") else 0


def as_json(status: "RunStatus") -> dict[str, Any]:
    """All of it, but of each manifest what counts rows."""
    shown = ("rows_in", "rows_out", "rejected", "failed", "seconds", "rows_per_s", "finished")
    stages = [
        {
            **{name: getattr(stage, name) for name in ("number", "name", "folder", "state")},
            **{name: stage.manifest[name] for name in shown if name in stage.manifest},
            "damage": list(stage.damage),
        }
        for stage in status.stages
    ]
    return {**asdict(status), "stages": stages}


def lines(status: "RunStatus") -> Iterator[str]:
    """The status for a person."""
    yield f"run      {status.address}"
    yield f"state    {_state(status)}"
    if status.error:
        yield f"error    {status.error}"
    for stage in status.stages:
        yield f"{stage.number}  {stage.name:<14} {stage.state:<8} {_counts(stage)}".rstrip()
        yield from (f"   damage: {damage}" for damage in stage.damage)
        frozen = stage.manifest.get("details", {}).get("frozen")
        yield from (f"   {line}" for line in frozen_lines(frozen))
    if status.part:
        yield f"at work  {_part(status)}"
    answers = status.answers
    if answers["committed"]:
        recent = f", {answers['last_5_min']:,} in the last 5 min" if answers["last_5_min"] else ""
        yield f"answers  {answers['committed']:,} committed{recent}"
    if answers["files_set_aside"]:
        yield f"         {answers['files_set_aside']:,} damaged files of answers are set aside"
    if any(status.tokens.values()):
        read, written = (status.tokens.get(f"{of}_tokens", 0) for of in ("prompt", "output"))
        cost = f", cost {status.cost:,.2f}" if status.cost is not None else ""
        yield f"tokens   {read:,} read, {written:,} written{cost}"
    yield from _forecast(status.forecast)
    if status.purged:
        yield "private/ was purged"


def _forecast(compared: Mapping[str, tuple[float, float | None]]) -> Iterator[str]:
    """What the run said beforehand, beside what it took."""
    for name, (foreseen, took) in compared.items():
        text = f"forecast {name.replace('_', ' ')} {foreseen:,.0f}"
        if took is not None:
            share = f" ({took / foreseen - 1:+.0%})" if foreseen else ""
            text += f", was {took:,.0f}{share}"
        yield text


def _state(status: "RunStatus") -> str:
    driver = status.driver
    who = f"process {driver['pid']} on {driver['host']}" if "pid" in driver else ""
    if status.state == "silent":
        return f"not heard of for {_time(driver['silent_s'])}: {who} was killed, or is cut off"
    return f"running, {who}" if status.state == "running" else status.state


def _counts(stage: "StageStatus") -> str:
    manifest = stage.manifest
    if not manifest:
        return ""
    text = f"{manifest.get('rows_in', 0):,} rows in, {manifest.get('rows_out', 0):,} out"
    for name in ("rejected", "failed"):
        if reasons := manifest.get(name):
            text += f", {sum(reasons.values()):,} {name} ({_reasons(reasons)})"
    return f"{text}, {_time(manifest.get('seconds', 0))}"


def _reasons(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{code} {n:,}" for code, n in ordered)


def _part(status: "RunStatus") -> str:
    part = status.part or {}
    of = f" of {part['total']:,}" if part.get("total") else ""
    text = f"{part['part']}: {part['done']:,}{of} {part['unit']}"
    text += f", {part['failed']:,} failed" if part.get("failed") else ""
    if status.rate is not None:
        text += f", {status.rate:,.1f} {part['unit']}/s over the last 5 min"
    return text + (f", {_time(status.left_s)} to go" if status.left_s is not None else "")


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"
