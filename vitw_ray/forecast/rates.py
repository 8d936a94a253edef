"""How fast a reader and the stages work: stated, measured in a trial, or as committed results say.

A reader's time is that of the prompt tokens that it computes and of the tokens that it writes. On a
card the committed figures are those of a model of 8 billion parameters; another size is scaled.
"""

from dataclasses import dataclass
from pathlib import Path

from vitw_ray.config import RunConfig
from vitw_ray.extractor_kinds import EXTRACTORS
from vitw_ray.forecast.tokens import Trial
from vitw_ray.profiles import profile_of

CARD = "NVIDIA H200"
CARD_BILLIONS = 8.0
CARD_PROMPT = 39_000.0
"""Prompt tokens/s that are computed, bf16 (`benchmarks/bench_schedule.py`)."""
CARD_ROWS, CARD_ROW_PROMPT, CARD_ROW_WRITTEN = 13.9, 1_179, 165
"""Conversations/s of whole answers in JSON on that card, and the tokens of one (`card.json`)."""
LEAST_FACTOR = 0.2  # ours: an engine's steps and its host do not get faster with a smaller model
FP8_SPEED = 1_429 / 782  # measured peaks of that card in fp8 and bf16 (`card.json`)
WRITTEN_COST = 2.5  # of a written token, in computed ones; ours, from public figures of 8B models
WORKER_S = 4.0  # seconds until a worker of Ray does anything (measured on shared cores: 3 to 5)
START_S = 120.0  # ours: to load 8 billion weights and capture graphs; a trial measures it
LEXICON_ROWS = 47.0  # conversations/s of a core (`lexicon.json`)
FREE_ROWS = 5_609.0  # conversations/s of the pipeline alone, two cores (`full_run.json`)
STAGE_ROWS = {"conversations": 14_650.0, "labels": 23_760.0, "statistics": 50_090.0}
"""Rows/s on two cores (`full_run.json`)."""
EMBEDDED_TEXTS = {"gpu": 11_409.0, "cpu": 407.0}
"""Texts/s of an H200, and of a core (`card.json`, `embed.json`)."""
FIXED_S = {"taxonomy": 15.0, "report": 1.2, "release": 0.1}
"""Seconds whatever the rows: mostly loading the embedder (`full_run.json`)."""


@dataclass(frozen=True)
class Rates:
    """Of one engine, or of one worker of a reader without a model.

    Attributes:
        prompt_tokens_per_s: that it computes; None: not known.
        answer_tokens_per_s: that it writes.
        rows_per_s: of a reader without a model.
        start_s: until it is ready, the calibration set included.
        source: where the rates are from.
    """

    prompt_tokens_per_s: float | None
    answer_tokens_per_s: float | None
    rows_per_s: float | None
    start_s: float
    source: str

    def seconds(self, computed: float, written: float) -> float | None:
        """Seconds of an engine for one conversation."""
        if self.rows_per_s is not None:
            return 1 / self.rows_per_s
        if self.prompt_tokens_per_s is None or self.answer_tokens_per_s is None:
            return None
        return computed / self.prompt_tokens_per_s + written / self.answer_tokens_per_s

    def scaled(self, factor: float) -> "Rates":
        """Of a reader that needs so many times as long for everything."""
        prompt, answer, rows = (
            None if rate is None else rate / factor
            for rate in (self.prompt_tokens_per_s, self.answer_tokens_per_s, self.rows_per_s)
        )
        source = f"{self.source}; scaled to {factor:.2g} of the time, not measured"
        return Rates(prompt, answer, rows, self.start_s, source)


def rates_of(
    config: RunConfig,
    stated: tuple[float | None, float | None] = (None, None),
    trial: Trial | None = None,
) -> Rates:
    """The rates of a run's reader.

    Args:
        config: the run.
        stated: prompt tokens computed, and tokens written, in a second by one engine; the second
            follows from the first where it is not stated.
        trial: what reading some conversations showed.
    """
    found = _found(config, trial)
    prompt, answer = stated
    if prompt is None and answer is None:
        return found
    if prompt is None:
        prompt = found.prompt_tokens_per_s or (answer or 0.0) * WRITTEN_COST
    answer = answer or found.answer_tokens_per_s or prompt / WRITTEN_COST
    return Rates(prompt, answer, None, found.start_s, "as stated")


def _found(config: RunConfig, trial: Trial | None) -> Rates:
    kind = config.extraction.extractor
    if trial is not None:
        return of_trial(trial)
    if kind == "lexicon":
        return Rates(None, None, LEXICON_ROWS, 10.0, "benchmarks/results/lexicon.json, a core")
    if kind == "simulated":
        each = config.extraction.simulated_seconds_per_row + 2 / FREE_ROWS
        return Rates(None, None, 1 / each, 5.0, "benchmarks/results/full_run.json, and the setting")
    if kind == "vllm" and config.execution.device == "gpu":
        return _card(config)
    why = "nothing has been measured for this reader here: state the rates, or use --measure"
    return Rates(None, None, None, START_S if EXTRACTORS[kind].has_model else 0.0, why)


def of_trial(trial: Trial) -> Rates:
    """The rates that a trial showed."""
    start = trial.start_s + trial.check_s
    source = f"a trial of {trial.rows:,} conversations on this machine"
    if not trial.expected_computed:  # a reader without a model
        return Rates(None, None, trial.rows / trial.seconds, start, source)
    work = trial.expected_computed * trial.repeats + WRITTEN_COST * trial.output_tokens
    return Rates(work / trial.seconds, work / WRITTEN_COST / trial.seconds, None, start, source)


def _billions(folder: str) -> float:
    """Parameters of a model in a folder, at two bytes each."""
    return sum(file.stat().st_size for file in Path(folder).glob("*.safetensors")) / 2e9


def _card(config: RunConfig) -> Rates:
    profile = profile_of(config.extraction.model or "")
    prompt = CARD_PROMPT
    answer = CARD_ROW_WRITTEN / (1 / CARD_ROWS - CARD_ROW_PROMPT / CARD_PROMPT)
    card = Rates(
        prompt,
        answer,
        None,
        START_S,
        f"one {CARD}, a model of {CARD_BILLIONS:g} billion parameters in bf16"
        " (benchmarks/results/card.json)",
    )
    billions = profile.billions or _billions(profile.model) or CARD_BILLIONS
    factor = max(billions / CARD_BILLIONS / profile.tensor_parallel, LEAST_FACTOR)
    if profile.precision == "fp8":
        factor /= FP8_SPEED
    return card if abs(factor - 1) < 0.05 else card.scaled(factor)
