"""What a reader costs: tokens, time, GPU-seconds, and money where a price is known."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vitw_ray.config import RunConfig


@dataclass(frozen=True, kw_only=True)
class Prices:
    """Prices in any one currency; None: unknown."""

    per_gpu_hour: float | None = None
    per_million_read: float | None = None
    per_million_written: float | None = None


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Of one reader, over every conversation that it was given.

    Attributes:
        rows: conversations.
        seconds: of the stage, with loading the model, and only of the last run of the command.
        rows_per_s: once the first engine was ready; None when every answer was there before.
        prefilled_tokens: prompt tokens that the engine had to compute.
        cached_tokens: prompt tokens that it had computed before.
        written_tokens: tokens of the answers.
        gpu_seconds_per_1000: 0 for a reader without a GPU of this run; None: unknown.
        money_per_1000: None where no price applies.
    """

    rows: int
    seconds: float
    rows_per_s: float | None
    prefilled_tokens: int
    cached_tokens: int
    written_tokens: int
    gpu_seconds_per_1000: float | None
    money_per_1000: float | None


def costs_of(manifest: Mapping[str, Any], config: RunConfig, prices: Prices) -> Costs:
    """The costs of a finished stage `extractions`."""
    details, rows = manifest["details"], manifest["rows_out"]
    rate = details.get("rows_per_s_once_ready") if details.get("answers_new") else None
    execution = config.execution
    gpus = execution.actors * execution.gpus_per_actor if execution.device == "gpu" else 0.0
    gpu_seconds = 0.0 if not gpus else 1000 * gpus / rate if rate else None
    read, written = details.get("prompt_tokens", 0), details.get("output_tokens", 0)
    cached = details.get("cached_tokens", 0)
    return Costs(
        rows=rows,
        seconds=manifest["seconds"],
        rows_per_s=rate,
        prefilled_tokens=read - cached,
        cached_tokens=cached,
        written_tokens=written,
        gpu_seconds_per_1000=gpu_seconds,
        money_per_1000=_money(config, prices, gpu_seconds, (read, written), rows),
    )


def _money(
    config: RunConfig,
    prices: Prices,
    gpu_seconds: float | None,
    tokens: tuple[int, int],
    rows: int,
) -> float | None:
    if gpu_seconds and prices.per_gpu_hour is not None:
        return gpu_seconds / 3600 * prices.per_gpu_hour
    by_token = prices.per_million_read, prices.per_million_written
    if config.extraction.extractor == "openai" and None not in by_token and rows:
        paid = sum(n * price for n, price in zip(tokens, by_token, strict=True) if price)
        return paid / 1e6 * 1000 / rows
    return None
