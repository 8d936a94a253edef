"""The forecast of a run: what it will take, each figure with where it comes from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vitw_ray.config import RunConfig
from vitw_ray.conversations.survey import Survey
from vitw_ray.extraction.questions import questions_for
from vitw_ray.extractor_kinds import EXTRACTORS
from vitw_ray.forecast.counting import Counts, Estimate, count, product
from vitw_ray.forecast.looking import Looked, look
from vitw_ray.forecast.needs import requests, storage_bytes
from vitw_ray.forecast.rates import (
    EMBEDDED_TEXTS,
    FIXED_S,
    FREE_ROWS,
    STAGE_ROWS,
    WORKER_S,
    Rates,
    rates_of,
)
from vitw_ray.forecast.tokens import (
    COUNTED,
    SUBJECTIVE,
    Counter,
    PerConversation,
    RoughCounter,
    Trial,
    per_conversation,
)
from vitw_ray.forecast.trial import measure
from vitw_ray.inference.token_counts import PromptCounter, prompt_counter
from vitw_ray.profiles import HASHING, profile_of

SCREENED = "--screen is on: what it skips is not subtracted"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a forecast is asked beside the settings of the run.

    Attributes:
        gpus: of the cluster; default: those of the run's actors.
        prompt_tokens_per_s: of one engine.
        answer_tokens_per_s: of one engine.
        measure: conversations that the real reader reads first.
        tokenizer: folder of the reader's tokenizer.
        price_per_gpu_hour: in any currency.
        price_input: of a million tokens that a server reads.
        price_output: of a million tokens that it writes.
    """

    gpus: float | None = None
    prompt_tokens_per_s: float | None = None
    answer_tokens_per_s: float | None = None
    measure: int = 0
    tokenizer: str | None = None
    price_per_gpu_hour: float | None = None
    price_input: float | None = None
    price_output: float | None = None


@dataclass(frozen=True)
class Forecast:
    """What a run will take.

    Attributes:
        files: of the input.
        size_bytes: of them.
        looked_at: rows that were read.
        counts: rows and conversations.
        tokens: kind (`prompt`, `computed`, `answer`) -> of all conversations; empty without a
            model.
        counted_by: how prompt tokens were counted.
        answers_from: where the number of written tokens is from.
        per_conversation: means; None without a model.
        requests: question -> times it is asked.
        rates: of one engine or worker.
        trial: the trial, if there was one.
        engines: at work at once.
        gpus: that they hold.
        unit_s: seconds of an engine for one conversation; None: not known.
        seconds: stage -> seconds; `extractions` is missing where the rates are not known.
        gpu_hours: of the reader; None: not known, or no GPU.
        storage: table -> bytes.
        s3_requests: kind -> number.
        money: what -> price.
        notes: what the figures leave out.
    """

    files: int
    size_bytes: int
    looked_at: int
    counts: Counts
    tokens: Mapping[str, Estimate]
    counted_by: str
    answers_from: str
    per_conversation: PerConversation | None
    requests: Mapping[str, float]
    rates: Rates
    trial: Trial | None
    engines: float
    gpus: float
    unit_s: float | None
    seconds: Mapping[str, float]
    gpu_hours: float | None
    storage: Mapping[str, float]
    s3_requests: Mapping[str, float]
    money: Mapping[str, float]
    notes: tuple[str, ...] = field(default=())

    @property
    def wall_s(self) -> float | None:
        """Seconds of all stages, one after the other."""
        return sum(self.seconds.values()) if "extractions" in self.seconds else None

    @property
    def _of_subjective(self) -> int:
        """Questions that are asked about subjective conversations alone."""
        means = self.per_conversation
        return 0 if means is None else sum(share < 1 for share in means.requests.values())

    def in_short(self) -> dict[str, Any]:
        """What is kept beside a run, to be compared with what it took."""
        return {
            "conversations": round(self.counts.kept.value),
            "prompt_tokens": _rounded(self.tokens.get("prompt")),
            "output_tokens": _rounded(self.tokens.get("answer")),
            "requests": round(sum(self.requests.values())),
            "questions": len(self.requests),
            "of_subjective": self._of_subjective,
            "seconds": {name: round(s, 1) for name, s in self.seconds.items()},
            "counted_by": self.counted_by,
            "rates_from": self.rates.source,
        }


def make_forecast(
    config: RunConfig,
    survey: Survey,
    asked: Asked | None = None,
    counter: PromptCounter | None = None,
) -> Forecast:
    """Look at the input, count, and work out what a run takes.

    Args:
        config: the run.
        survey: its input.
        asked: beside the settings of the run.
        counter: of the reader's tokens; default: by its tokenizer, where that is at hand.

    Raises:
        InputError: the input cannot be read.
        ConfigError: `--tokenizer` holds none, or the trial's reader rejects a setting.
    """
    asked = asked or Asked()
    extraction = config.extraction
    looked = look(survey, config.conversations)
    counts = count(looked, config.conversations)
    has_model = EXTRACTORS[extraction.extractor].has_model
    if counter is None and has_model:
        counter = prompt_counter(config, asked.tokenizer)
    counts_by: Counter = counter or RoughCounter(extraction)
    trial = None
    if asked.measure:
        trial = measure(config, looked.examples(asked.measure), counts_by)
    means = None
    if has_model:
        most = max(COUNTED, asked.measure)
        means = per_conversation(
            looked, extraction, questions_for(extraction), counts_by, trial, most
        )
    rates = rates_of(config, (asked.prompt_tokens_per_s, asked.answer_tokens_per_s), trial)
    return _worked_out(config, looked, counts, means, rates, trial, asked, counter is not None)


def _worked_out(
    config: RunConfig,
    looked: Looked,
    counts: Counts,
    means: PerConversation | None,
    rates: Rates,
    trial: Trial | None,
    asked: Asked,
    is_real: bool,
) -> Forecast:
    kept = counts.kept
    each = rates.seconds(*(_means(means)))
    gpus_each = _gpus_of_an_engine(config)
    gpus = asked.gpus if asked.gpus is not None else config.execution.actors * gpus_each
    engines = gpus / gpus_each if gpus_each and asked.gpus is not None else config.execution.actors
    share = means.share if means else trial.share if trial else SUBJECTIVE
    seconds = _seconds(config, counts, each, rates, engines, share)
    tokens = _tokens(means, kept)
    gpu_hours = None
    if each is not None and gpus_each:
        gpu_hours = kept.value * each / 3600 * gpus_each + gpus * rates.start_s / 3600
    return Forecast(
        files=looked.files,
        size_bytes=looked.size,
        looked_at=sum(piece.read for piece in looked.seen),
        counts=counts,
        tokens=tokens,
        counted_by=_counted_by(means, is_real),
        answers_from=_answers_from(means, trial),
        per_conversation=means,
        requests={n: s * kept.value for n, s in means.requests.items()} if means else {},
        rates=rates,
        trial=trial,
        engines=engines,
        gpus=gpus,
        unit_s=each,
        seconds=seconds,
        gpu_hours=gpu_hours,
        storage=storage_bytes(looked.columns, kept.value, share, config.taxonomy.embedder),
        s3_requests=requests(kept.value),
        money=_money(asked, gpu_hours, tokens),
        notes=tuple(_notes(config, counts, trial, asked)),
    )


def _means(means: PerConversation | None) -> tuple[float, float]:
    return (means.computed.value, means.answer.value) if means else (0.0, 0.0)


def _gpus_of_an_engine(config: RunConfig) -> float:
    if config.execution.device == "cpu":
        return 0.0
    return max(
        config.execution.gpus_per_actor,
        float(profile_of(config.extraction.model or "").tensor_parallel)
        if config.extraction.extractor == "vllm"
        else 0.0,
    )


def _seconds(
    config: RunConfig,
    counts: Counts,
    each: float | None,
    rates: Rates,
    engines: float,
    share: float,
) -> dict[str, float]:
    """Seconds of each stage; what surrounds the reader on two cores."""
    rows, kept = counts.rows.value, counts.kept.value
    found = {name: rows / rate for name, rate in STAGE_ROWS.items() if name == "conversations"}
    if each is not None:
        reading = kept * each / max(engines, 1e-9)
        found["extractions"] = WORKER_S + rates.start_s + reading + kept / FREE_ROWS
    found |= {name: kept / rate for name, rate in STAGE_ROWS.items() if name not in found}
    found |= FIXED_S
    if config.taxonomy.embedder != HASHING:
        texts = kept * share / (EMBEDDED_TEXTS[config.execution.device] * max(engines, 1))
        found["taxonomy"] += texts
    return found


def _tokens(means: PerConversation | None, kept: Estimate) -> dict[str, Estimate]:
    if means is None:
        return {}
    of = {"prompt": means.prompt, "computed": means.computed, "answer": means.answer}
    return {name: product(each, kept) for name, each in of.items()}


def _counted_by(means: PerConversation | None, is_real: bool) -> str:
    if means is None:
        return "no tokens: the reader has no language model"
    if is_real:
        return f"{means.counted:,} conversations in the prompts of the run, by its own tokenizer"
    return (
        f"{means.counted:,} conversations at four bytes a token: the tokenizer is not on this"
        " machine (--tokenizer FOLDER gives it)"
    )


def _answers_from(means: PerConversation | None, trial: Trial | None) -> str:
    if means is None:
        return ""
    if trial is not None:
        return f"the trial: {trial.share:.0%} subjective"
    return f"labelled answers, and {means.share:.0%} subjective as in the paper (not measured here)"


def _money(
    asked: Asked, gpu_hours: float | None, tokens: Mapping[str, Estimate]
) -> dict[str, float]:
    found = {}
    if asked.price_per_gpu_hour is not None and gpu_hours is not None:
        found["GPUs"] = asked.price_per_gpu_hour * gpu_hours
    if tokens and (asked.price_input is not None or asked.price_output is not None):
        read = (asked.price_input or 0.0) * tokens["prompt"].value
        written = (asked.price_output or 0.0) * tokens["answer"].value
        found["tokens"] = (read + written) / 1e6
    return found


def _notes(config: RunConfig, counts: Counts, trial: Trial | None, asked: Asked) -> list[str]:
    notes = list(counts.notes)
    if config.extraction.screen:
        notes.append(SCREENED)
    if trial is not None:
        if trial.problem:
            notes.append(f"in the trial {trial.problem}")
        if trial.failed:
            notes.append(f"in the trial {trial.failed} of {trial.rows} conversations failed")
        if trial.rows < 2 * config.execution.requests_at_once:
            notes.append(
                f"the trial's {trial.rows} conversations do not fill an engine that works on"
                f" {config.execution.requests_at_once} at once: a run may be faster"
            )
    if asked.price_per_gpu_hour is not None and config.execution.device == "cpu":
        notes.append("--price-per-gpu-hour has nothing to price: --device is cpu")
    return notes


def _rounded(estimate: Estimate | None) -> int | None:
    return None if estimate is None else round(estimate.value)
