"""What the page says about the run itself: facts that stand in no table."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import PurePath
from typing import Any, NamedTuple

from vitw_ray import paper
from vitw_ray.command_words import command_of
from vitw_ray.config import ConversationsConfig
from vitw_ray.extractor_kinds import EXTRACTORS
from vitw_ray.facets import VALUE_FACETS
from vitw_ray.known_clusters import frozen_lines
from vitw_ray.stages import StageContext, without
from vitw_ray.versions import versions
from vitw_ray.wording import plain


@dataclass(frozen=True, kw_only=True)
class StageFacts:
    """One stage: rows in and out, and where the difference went (reason or error code -> rows)."""

    number: int
    name: str
    rows_in: int
    rows_out: int
    rejected: Mapping[str, int] = field(default_factory=dict)
    failed: Mapping[str, int] = field(default_factory=dict)


class Stored(NamedTuple):
    """A table of the run: its rows, and the folder of its public files in the run folder."""

    rows: int
    folder: str


@dataclass(frozen=True, kw_only=True)
class Making:
    """How a run was made: what went in, with which settings, and what its trees are worth.

    `input` is in sentences; no name of a file is here, because it may be that of a person.
    `languages` counts conversations, and so does `transcripts`: `whole`, and `cut` to fit the
    budget of tokens. What has too little support is `other` in both.
    `settings` are by stage. `stability` has a line for each level of a tree: facet, level, number
    of clusters, and how well resampled labels give the same clusters. `frozen`: what is not in the
    clusters of an earlier run, and whether what people say has changed since, in sentences.
    """

    command: str = ""
    input: tuple[str, ...] = ()
    languages: Mapping[str, int] = field(default_factory=dict)
    transcripts: Mapping[str, int] = field(default_factory=dict)
    sampling: tuple[str, ...] = ()
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    tokens: Mapping[str, int] = field(default_factory=dict)
    stability: tuple[tuple[str, int, int, float | None], ...] = ()
    frozen: tuple[str, ...] = ()
    tables: Mapping[str, Stored] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RunTotals:
    """Counts over `extractions`; all but the first two over subjective conversations without error.

    Of each value facet, `with_any` counts the conversations that have a value, and `pairs` the
    (label, conversation) pairs before any support threshold.
    """

    conversations: int
    failed: int
    subjective: int
    with_any: Mapping[str, int]
    pairs: Mapping[str, int]

    def share_with(self, facet: str) -> float | None:
        """Share (0-1) of subjective conversations with at least one value of a facet."""
        return self.with_any.get(facet, 0) / self.subjective if self.subjective else None


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """Everything the page needs beside the tables.

    `days` are the first and the last day (ISO) that a conversation names, if any does. No date of
    the run itself is here, nor how long it took: the same input gives the same page.
    `sources` and `models` count conversations by data set and by model under study. `baseline`: the
    extractor is one without a language model. `made_up`: it does not read at all. `rare_labels`
    counts labels without enough support, by facet. `has_model`: the reader is a language model, and
    `check` is how well it read the calibration set (see `reader_check`), if it did. `screen` says
    which conversations the reader did not get to see; empty if it has read all. `intake`: what was
    odd in the input, in sentences. `answers_repaired`: what was odd in answers and left out.
    `half_split`: by column facet, how many of the strongest pairs of one half of the accounts
    (`listed`) are among those of the other (`in_both`); of `models`, how many of the surest
    differences between assistants. `confidence`: how often the reader was right in the reviewed
    conversations, by its confidence.
    """

    title: str
    days: tuple[str, ...]
    sources: Mapping[str, int]
    models: Mapping[str, int]
    note: str
    extractor: str
    baseline: bool
    totals: RunTotals
    stages: tuple[StageFacts, ...]
    versions: Mapping[str, str]
    made_up: bool = False
    rare_labels: Mapping[str, int] = field(default_factory=dict)
    has_model: bool = False
    check: Mapping[str, Any] | None = None
    intake: tuple[str, ...] = ()
    answers_repaired: Mapping[str, int] = field(default_factory=dict)
    screen: str = ""
    half_split: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    confidence: tuple[Mapping[str, Any], ...] = ()
    making: Making = Making()

    @property
    def reader(self) -> str:
        """The extractor as it is named wherever it shows: a baseline is always called one."""
        return f"{self.extractor} (baseline)" if self.baseline else self.extractor


def run_facts(context: StageContext) -> RunFacts:
    """What the manifests say of the run so far."""
    extracted = context.manifests["extractions"]
    counted = context.manifests["statistics"]["details"]
    details, labels = extracted["details"], context.manifests["labels"]["details"]
    config = context.config
    kind = EXTRACTORS[config.extraction.extractor]
    return RunFacts(
        title="Values in the wild",
        days=tuple(labels["days"]),
        sources=labels["sources"],
        models=labels["models"],
        note=support_note(config.labels.min_conversations, config.labels.min_accounts),
        extractor=extractor_name(config.extraction.extractor, details["settings"]),
        made_up=kind.is_made_up,
        baseline=kind.is_baseline,
        has_model=kind.has_model,
        check=details.get("reader_check"),
        rare_labels={facet: labels[f"{facet}_rare"] for facet in VALUE_FACETS},
        screen=screen_note(details.get("screen"), extracted["rows_out"]),
        totals=RunTotals(
            conversations=extracted["rows_out"],
            failed=sum(extracted["failed"].values()),
            subjective=details.get("subjective", 0),
            with_any={facet: details.get(f"with_{facet}", 0) for facet in VALUE_FACETS},
            pairs={facet: details.get(facet, 0) for facet in VALUE_FACETS},
        ),
        stages=tuple(_stage_facts(manifest) for manifest in context.manifests.values()),
        versions=versions(),
        intake=tuple(oddities(context.manifests["conversations"]["details"])),
        answers_repaired=details.get("repaired", {}),
        half_split=counted.get("half_split", {}),
        confidence=tuple(counted.get("confidence", ())),
        making=_making(context),
    )


_HOW_LONG = {"seconds_per_row"}
"""Settings of a reader that decide how long it takes, and not what it says."""


def _making(context: StageContext) -> Making:
    details = context.manifests["extractions"]["details"]
    taxonomy = context.manifests["taxonomy"]["details"]
    config = context.config
    settings = {
        "conversations": without(config.conversations, "input"),
        "extractions": {k: v for k, v in details.get("settings", {}).items() if k not in _HOW_LONG},
        "labels": asdict(config.labels),
        "taxonomy": without(config.taxonomy, "taxonomy_from"),  # a folder of the user's own
        "statistics": without(config.statistics, "reviewed"),  # a path to a private file
    }
    labels = context.manifests["labels"]["details"]
    return Making(
        command=command_of(config),
        input=tuple(_input(context)),
        languages=labels.get("languages", {}),
        transcripts=labels.get("transcripts", {}),
        sampling=tuple(_sampling(config.conversations)),
        settings={stage: _texts(found) for stage, found in settings.items()},
        tokens={n: details[n] for n in ("prompt_tokens", "output_tokens") if n in details},
        stability=tuple(
            (facet, row["level"], row["clusters"], row.get("resampled_agreement"))
            for facet, rows in taxonomy.get("quality", {}).items()
            for row in rows
        ),
        frozen=tuple(frozen_lines(taxonomy.get("frozen"))),
        tables={
            name: Stored(table.public.rows, str(PurePath(table.public.files[0].path).parent))
            for name, table in context.tables.items()
            if table.public.files
        },
    )


def _input(context: StageContext) -> Iterator[str]:
    files, size = len(context.inputs), sum(file.size_bytes for file in context.inputs)
    yield f"{files:,} input file{'s' * (files != 1)}, {size:,} bytes"
    shapes = Counter(context.shapes.get(file.name) or "unknown" for file in context.inputs)
    yield f"shape of the rows: {_counted(shapes)}"
    if context.passed_over:
        yield f"not read: {_counted(Counter(context.passed_over.values()))}"
    yield f"digest of the conversations, with the run's secret: {_digest(context)}"


def _digest(context: StageContext) -> str:
    """Of the private table, whose files are hashed with the secret: it confirms no guess."""
    return context.tables["conversations"].digest[:16]


def _sampling(config: ConversationsConfig) -> Iterator[str]:
    if config.sample is None:
        yield "every conversation of the input was taken"
    else:
        yield f"a random sample of {config.sample:,} conversations, seed {config.sample_seed}"
    if config.max_per_account is not None:
        yield f"at most {config.max_per_account:,} conversations of one account"
    if config.balance_assistants:
        yield "the same number of conversations of each assistant"
    if config.created_from or config.created_until:
        first, last = config.created_from or "the first", config.created_until or "the last"
        yield f"from {first} until {last}"


def _texts(settings: Mapping[str, Any]) -> dict[str, str]:
    """Settings as JSON; of a path only its last part."""
    found = {}
    for name, value in settings.items():
        if isinstance(value, str) and PurePath(value).is_absolute():
            value = PurePath(value).name
        found[name] = value if isinstance(value, str) else json.dumps(value, default=str)
    return found


def oddities(details: Mapping[str, Any]) -> list[str]:
    """What was odd in the input of a stage and cost no row, from the details of its manifest."""
    repaired, lost = details.get("repaired", {}), details.get("came_out_null", {})
    not_read, others = list(details.get("not_read", ())), details.get("other_not_read", 0)
    not_read += [f"{others} of the input's own"] if others else []
    further = details.get("further_answers", 0)
    identical, same = details.get("identical", 0), details.get("same_messages", 0)
    told = (
        (further, f"answers beside the first one of a row, a conversation each: {further:,}"),
        (repaired, f"repaired: {_counted(repaired)}"),
        (lost, f"null although a column of the input holds it: {_counted(lost)}"),
        (not_read, f"columns not read: {', '.join(not_read)}"),
        (identical, f"rows without an id that equal another one in every column: {identical:,}"),
        (same, f"conversations with the same messages as another one: {same:,}"),
    )
    return [line for known, line in told if known]


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{plain(name)} {n:,}" for name, n in counts.items())


def extractor_name(extractor: str, settings: Mapping[str, Any]) -> str:
    """The extractor, with its model and revision where it has one; of a folder only the name."""
    model = settings.get("model")
    if model is None:
        return extractor
    name = PurePath(model).name if PurePath(model).is_absolute() else model
    revision = settings.get("revision")
    return f"{extractor}: {name}" + (f"@{revision}" if revision else "")


def screen_note(screen: Mapping[str, Any] | None, conversations: int) -> str:
    """What a screen left out, and the certified bound on what that loses, in two sentences."""
    if not screen or not screen["skipped"]:
        return ""
    sure = f"{100 * (1 - screen['delta']):.0f} %"
    return (
        f"{screen['skipped']:,} of {conversations:,} conversations were taken for objective by a"
        " small classifier that was trained on the reader's own answers, and the reader did not see"
        f" them. At most {100 * screen['loss_bound']:.1f} % of the conversations that the reader"
        f" would call subjective are lost that way ({sure} confidence)."
    )


def support_note(min_conversations: int, min_accounts: int) -> str:
    """The support thresholds in a sentence."""
    note = f"A label is shown from {min_conversations} conversations"
    if min_accounts > 1:
        note += f" and, where accounts are known, {min_accounts} accounts"
    note += "."
    if min_conversations < paper.MIN_CONVERSATIONS:
        note += (
            f" That is scaled down: the paper's threshold is {paper.MIN_CONVERSATIONS} "
            f"conversations of {paper.CONVERSATIONS:,}."
        )
    return note


def _stage_facts(manifest: Mapping[str, Any]) -> StageFacts:
    shown = ("number", "rows_in", "rows_out", "rejected", "failed")
    return StageFacts(name=manifest["stage"], **{name: manifest[name] for name in shown})
