"""`vitw plan`: what a run will take, before anything is run; and what it would on other clusters.

It takes the flags of `vitw run`, which say what is planned, and flags of its own.
"""

import argparse
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from vitw_ray.cli.printing import say, say_json
from vitw_ray.cli.settings import settings_from
from vitw_ray.cli.short_help import COLUMN, Job
from vitw_ray.config import RunConfig
from vitw_ray.errors import ConfigError, VitwRayError
from vitw_ray.setting_checks import at_least, flag

if TYPE_CHECKING:
    from vitw_ray.forecast.forecast import Forecast
    from vitw_ray.forecast.simulation import Cluster


@dataclass(frozen=True, kw_only=True)
class PlanFlags:
    """What the command takes beside the flags of a run; `FLAGS` describes each."""

    gpus: float | None = None
    measure: int = 0
    tokenizer: str | None = None
    prompt_tokens_per_s: float | None = None
    answer_tokens_per_s: float | None = None
    price_per_gpu_hour: float | None = None
    price_input: float | None = None
    price_output: float | None = None
    simulate: bool = False
    nodes: int | None = None
    gpus_per_node: int = 1
    hours_between_losses: float | None = None
    minutes_to_replace: float = 5.0
    model_billions: float | None = None
    simulations: int = 20
    seed: int = 0
    no_probes: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        """Reject invalid values, naming the flag."""
        for name in ("gpus", "prompt_tokens_per_s", "answer_tokens_per_s", "model_billions"):
            at_least(name, getattr(self, name), 1e-6)
        for name in ("price_per_gpu_hour", "price_input", "price_output", "measure"):
            at_least(name, getattr(self, name), 0)
        at_least("simulations", self.simulations, 1)
        at_least("gpus_per_node", self.gpus_per_node, 1)
        at_least("nodes", self.nodes, 1)


FLAGS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "gpus": ("N", "GPUs of the cluster [those of --actors]"),
        "measure": (
            "N",
            "the real reader reads N conversations here: its rates and answers",
        ),
        "tokenizer": ("FOLDER", "the reader's tokenizer, where its model is not on this machine"),
        "prompt_tokens_per_s": ("X", "prompt tokens that one engine computes in a second"),
        "answer_tokens_per_s": ("X", "tokens that it writes in a second"),
        "price_per_gpu_hour": ("X", "price of a GPU, in any currency"),
        "price_input": ("X", "a server's price of a million tokens that it reads"),
        "price_output": ("X", "a server's price of a million tokens that it writes"),
        "simulate": ("", "simulate the cluster, unit of work by unit of work"),
        "nodes": ("N", "nodes of that cluster [as many as the GPUs or actors fill]"),
        "gpus_per_node": ("N", "readers on each node [1]"),
        "hours_between_losses": ("X", "a node is lost after so long on average [never]"),
        "minutes_to_replace": ("X", "until another node is there [5]"),
        "model_billions": ("X", "as if the model had so many billion parameters"),
        "simulations": ("N", "simulated runs [20]"),
        "seed": ("N", "of the simulation; the same seed gives the same runs [0]"),
        "no_probes": ("", "do not look for packages, model, GPU and a place to write"),
        "json": ("", "one line of JSON for programs"),
    }
)
"""Flag -> form of its value, what it does."""

JOB = Job(
    name="plan",
    summary="Say what a run will take, before anything is run: rows, tokens, requests, time, money."
    " Takes\nthe flags of vitw run, and\n\n"
    + "\n".join(
        f"  {f'{flag(name)} {value}'.rstrip():<{COLUMN}}{text}"
        for name, (value, text) in FLAGS.items()
    ),
    examples=(
        "vitw plan --input 's3://bucket/logs/' --preset paper --gpus 8 --price-per-gpu-hour 3.3",
        "vitw plan --input 'logs/*.jsonl.gz' --extractor vllm --model models/qwen3-8b --measure 64",
        "vitw plan --input 's3://bucket/logs/' --preset full_traffic --simulate \\\n"
        "      --nodes 64 --hours-between-losses 6",
    ),
)


def main(arguments: Sequence[str]) -> int:
    """Print the forecast; 1 when something that the run needs is not there."""
    asked, rest = split_flags(arguments)
    config = settings_from(rest, JOB).config
    from vitw_ray.conversations.listing import list_input
    from vitw_ray.conversations.survey import survey
    from vitw_ray.forecast.forecast import Asked, make_forecast
    from vitw_ray.forecast.probes import probe
    from vitw_ray.forecast.simulation import distribution
    from vitw_ray.forecast.wording import as_json, lines, probe_lines, simulation_lines
    from vitw_ray.pipeline import STAGES

    found = survey(list_input(config.conversations.input), config.conversations.shape)
    probes = [] if asked.no_probes else probe(config, STAGES, found.files)
    shared = {f.name: getattr(asked, f.name) for f in fields(Asked)}
    forecast = make_forecast(config, found, Asked(**shared))
    told = as_json(forecast, probes)
    told["answers_there"] = there = _answers_there(config)
    cluster = _cluster(config, forecast, asked) if asked.simulate else None
    simulated = cluster and distribution(cluster, asked.simulations, asked.seed)
    if simulated and cluster:
        told["simulation"] = {**asdict(cluster), **asdict(simulated)}
        if asked.price_per_gpu_hour is not None:
            told["simulation"]["price"] = simulated.gpu_hours * asked.price_per_gpu_hour
    if asked.json:
        say_json(told)
    else:
        for line in (*lines(forecast), *probe_lines(probes)):
            say(line)
        if there:
            say(f"answers  {there:,} of this reader are there already: they are not asked again")
        if simulated and cluster:
            for line in simulation_lines(cluster, simulated):
                say(line)
            if "price" in told["simulation"]:
                say(f"money    {told['simulation']['price']:,.2f} for the simulated cluster")
    return 1 if any(one.found is False for one in probes) else 0


def _answers_there(config: RunConfig) -> int:
    """Answers of the reader that the run folder holds; the forecast does not subtract them."""
    from vitw_ray.extraction.extract import count_answers
    from vitw_ray.storage import Storage

    with suppress(VitwRayError, FileNotFoundError):  # what the probes have told already
        return count_answers(config, Storage(config.execution.output))
    return 0


def split_flags(arguments: Sequence[str]) -> tuple[PlanFlags, list[str]]:
    """The command's own flags, and the words that are left for the settings of a run.

    Raises:
        SystemExit: a value of another kind; argparse has said so.
    """
    parser = argparse.ArgumentParser("vitw plan", add_help=False, allow_abbrev=False)
    for f in fields(PlanFlags):
        names = [flag(f.name), *(["--dry-run"] if f.name == "simulate" else [])]
        if f.default is False:
            parser.add_argument(*names, dest=f.name, action="store_true")
            continue
        kind: Any = str if f.name == "tokenizer" else float
        if f.name in ("measure", "nodes", "gpus_per_node", "simulations", "seed"):
            kind = int
        parser.add_argument(*names, dest=f.name, type=kind, default=f.default)
    found, rest = parser.parse_known_args(arguments)
    return PlanFlags(**vars(found)), rest


def _cluster(config: RunConfig, forecast: "Forecast", asked: PlanFlags) -> "Cluster":
    """The cluster that the flags describe, with the work of the run."""
    from vitw_ray.forecast.simulation import Cluster
    from vitw_ray.profiles import profile_of

    if forecast.unit_s is None:
        raise ConfigError(
            "--simulate needs the reader's rates, and they are not known",
            "give --prompt-tokens-per-s, or --measure 64 on a machine with the reader",
        )
    scale = 1.0
    if asked.model_billions is not None:
        billions = profile_of(config.extraction.model or "").billions or 8.0
        scale = asked.model_billions / billions
    rows = config.execution.unit_rows
    means = forecast.per_conversation
    per_engine = forecast.gpus / forecast.engines if forecast.gpus else 1.0
    return Cluster(
        nodes=asked.nodes or max(1, math.ceil(forecast.engines / asked.gpus_per_node)),
        engines_per_node=asked.gpus_per_node,
        units=max(1, math.ceil(forecast.counts.kept.value / rows)),
        unit_s=forecast.unit_s * scale * min(rows, max(forecast.counts.kept.value, 1.0)),
        unit_spread=(means.spread if means else 0.0) / math.sqrt(rows),
        start_s=forecast.rates.start_s * scale,
        hours_between_losses=asked.hours_between_losses,
        minutes_to_replace=asked.minutes_to_replace,
        gpus_per_engine=max(1.0, per_engine),
    )
