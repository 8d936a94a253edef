"""The forecast for a person at a terminal."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from vitw_ray.forecast.counting import Estimate
from vitw_ray.forecast.forecast import Forecast
from vitw_ray.forecast.probes import Probe
from vitw_ray.forecast.simulation import QUANTILES, Cluster, Distribution

_MARKS = {True: "yes", False: "NO", None: "?"}
_SMALL = 0.01  # of the value: a margin that is not shown


def lines(forecast: Forecast) -> Iterator[str]:
    """What a run will take."""
    counts = forecast.counts
    yield (
        f"input    {forecast.files:,} files, {forecast.size_bytes / 1e6:,.1f} MB;"
        f" {forecast.looked_at:,} rows were looked at"
    )
    yield f"rows     {number(counts.rows)}; conversations {number(counts.conversations)}"
    yield f"kept     {number(counts.kept)} conversations"
    if forecast.tokens:
        yield from _tokens(forecast)
    yield f"rates    {_rates(forecast)}"
    yield from _time(forecast)
    stored = ", ".join(f"{name} {size(n)}" for name, n in forecast.storage.items())
    yield f"storage  {size(sum(forecast.storage.values()))}: {stored}"
    s3 = forecast.s3_requests
    kinds = ", ".join(f"{n:,.0f} {kind}" for kind, n in s3.items())
    yield f"s3       {sum(s3.values()):,.0f} requests ({kinds}); a small run makes more per row"
    for name, price in forecast.money.items():
        yield f"money    {price:,.2f} for {name}"
    yield from (f"note     {note}" for note in forecast.notes)


def _tokens(forecast: Forecast) -> Iterator[str]:
    tokens, means = forecast.tokens, forecast.per_conversation
    assert means is not None
    yield (
        f"tokens   {number(tokens['prompt'])} read, of them {number(tokens['computed'])} computed"
        f" (the others are cached), {number(tokens['answer'])} written"
    )
    yield f"         read: {forecast.counted_by}"
    yield f"         written: {forecast.answers_from}"
    each = {"read": means.prompt, "computed": means.computed, "written": means.answer}
    of_one = ", ".join(f"{mean.value:,.0f} {what}" for what, mean in each.items())
    yield f"         a conversation: {of_one}"
    asked = ", ".join(f"{name} {n:,.0f}" for name, n in forecast.requests.items())
    yield f"requests {sum(forecast.requests.values()):,.0f}: {asked}"


def _rates(forecast: Forecast) -> str:
    rates = forecast.rates
    if rates.rows_per_s is not None:
        return f"{rates.rows_per_s:,.1f} conversations/s of a worker; {rates.source}"
    if rates.prompt_tokens_per_s is None or rates.answer_tokens_per_s is None:
        return f"not known; {rates.source}"
    return (
        f"{rates.prompt_tokens_per_s:,.0f} prompt tokens/s computed,"
        f" {rates.answer_tokens_per_s:,.0f} written, of an engine; {rates.source}"
    )


def _time(forecast: Forecast) -> Iterator[str]:
    workers = f"{forecast.engines:g} at once"
    if forecast.gpus:
        workers += f" on {forecast.gpus:g} GPUs"
    if forecast.unit_s is None:
        yield f"reader   {workers}: time not known"
    else:
        yield (
            f"reader   {workers}: {time(forecast.seconds['extractions'])}, of which"
            f" {time(forecast.rates.start_s)} are its start;"
            f" {forecast.unit_s:,.3g} s a conversation"
        )
    if forecast.gpu_hours is not None:
        yield f"GPUs     {forecast.gpu_hours:,.2f} GPU-hours"
    others = ", ".join(
        f"{name} {time(s)}" for name, s in forecast.seconds.items() if name != "extractions"
    )
    wall = forecast.wall_s
    total = f"{time(wall)} in all; " if wall is not None else ""
    yield f"time     {total}{others} (two cores)"


def simulation_lines(cluster: Cluster, found: Distribution) -> Iterator[str]:
    """What the simulated cluster took."""
    lost = (
        "never lost"
        if cluster.hours_between_losses is None
        else f"lost every {cluster.hours_between_losses:g} h,"
        f" replaced in {cluster.minutes_to_replace:g} min"
    )
    yield (
        f"cluster  {cluster.nodes} nodes of {cluster.engines_per_node} readers, {lost};"
        f" {cluster.units:,} units of {time(cluster.unit_s)}"
    )
    quantiles = ", ".join(
        f"{q:.0%} {time(s)}" for q, s in zip(QUANTILES, found.wall_s, strict=True)
    )
    yield f"wall     {quantiles} of {found.simulations} simulated runs (the reader's stage alone)"
    yield (
        f"paid     {found.gpu_hours:,.2f} hours of a reader's device;"
        f" {found.losses:,.1f} losses, {found.repeated_share:.2%} of the work is repeated"
    )


def probe_lines(probes: Sequence[Probe]) -> Iterator[str]:
    """What a run needs, and whether it is there."""
    for one in probes:
        yield f"needs    {one.name:<9}{_MARKS[one.found]:<5}{one.text}"
        if one.fix:
            yield f"         {'':<14}fix: {one.fix}"


def as_json(forecast: Forecast, probes: Sequence[Probe]) -> dict[str, Any]:
    """All of it for a program."""
    found = asdict(forecast)
    found["wall_s"] = forecast.wall_s
    found["needs"] = [asdict(one) for one in probes]
    return found


def number(estimate: Estimate) -> str:
    """A number, with half of its interval where it is no count."""
    value = f"{estimate.value:,.0f}"
    if estimate.margin <= _SMALL * estimate.value:
        return value
    return f"{value} (within {estimate.margin / max(estimate.value, 1e-9):.0%})"


def size(count: float) -> str:
    """Bytes, in a unit that fits."""
    for unit, of in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= of:
            return f"{count / of:,.1f} {unit}"
    return f"{count / 1e3:,.1f} kB"


def time(seconds: float) -> str:
    """Seconds, in a unit that fits."""
    if seconds < 120:
        return f"{seconds:,.1f} s" if seconds < 10 else f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"
