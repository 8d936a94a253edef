"""Reads a sample of a finished run in many ways, and attaches what that shows to the run.

    RUN/private/certificate/<way>/   one comparison folder per way to read, see `reader_runs`
    RUN/8_certificate-<key>/         the table `certificate`

Each way is one reader of a comparison of readers, so its answers are committed and reused.
"""

import hashlib
import heapq
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from vitw_ray.certified import NAME, NUMBER, READS, inputs_of
from vitw_ray.cli.reader_flags import CompareFlags, ReaderSpec, read_spec
from vitw_ray.cli.reader_runs import Say, configs_of, read_all
from vitw_ray.comparison.readers.known import as_gzip
from vitw_ray.comparison.readers.readings import Reading
from vitw_ray.config import ConversationsConfig, ExtractionConfig, RunConfig
from vitw_ray.errors import ConfigError, OutputError
from vitw_ray.evaluation.certificate.budget import PILOT, Budget, Cost, Spent, cost_of, with_way
from vitw_ray.evaluation.certificate.design import OWN, Specification, Way, specifications, ways_of
from vitw_ray.evaluation.certificate.headlines import headlines
from vitw_ray.evaluation.certificate.sampled import Answers, Sample, answers_of, label_map
from vitw_ray.evaluation.certificate.table import certificate
from vitw_ray.extractor_kinds import EXTRACTORS
from vitw_ray.facets import VALUE_FACETS
from vitw_ray.finished_run import FinishedRun, read_finished
from vitw_ray.inference.embedder import Embedder, load_embedder
from vitw_ray.keys import content_key
from vitw_ray.lease import acquire
from vitw_ray.opened_run import OpenedRun, open_run
from vitw_ray.progress import log
from vitw_ray.records import TABLES
from vitw_ray.rewrite_report import rewrite_report
from vitw_ray.run_folder import StageFolder, TableRef, entries, tables_of
from vitw_ray.source_code import code_digest
from vitw_ray.storage import PRIVATE, Storage
from vitw_ray.summary import public_settings
from vitw_ray.versions import versions

FOLDER = f"{PRIVATE}/{NAME}"
NO_ASSISTANT = "no-assistant"
REPLACEMENT = "The reply to this message is not part of the record."
"""What stands in place of each turn of the assistant: without such turns nothing is judged."""
CODE = "evaluation.certificate.table"


@dataclass(frozen=True)
class Plan:
    """What the command line asks for."""

    sample: int
    readers: tuple[str, ...]
    budget: float
    seed: int


@dataclass(frozen=True)
class Certified:
    """What was found, for the command to say."""

    conversations: int
    drawn: int
    within_budget: int
    specifications: int
    tokens: int
    tokens_of_run: int
    headlines: tuple[tuple[str, str | None], ...]

    @property
    def badges(self) -> dict[str, int]:
        """Headlines by badge."""
        return dict(Counter(badge or "too_few" for _, badge in self.headlines))


@dataclass
class _Work:
    """One certificate in the making."""

    storage: Storage
    run: OpenedRun
    finished: FinishedRun
    plan: Plan
    say: Say
    talks: list[dict[str, Any]] = field(default_factory=list)
    readings: dict[Way, tuple[tuple[str, ...], Reading]] = field(default_factory=dict)


def certify(storage: Storage, plan: Plan, say: Say) -> Certified:
    """Certify a finished run; the page then shows the badges.

    Raises:
        ConfigError: the budget is too small, or a reader's settings cannot work.
        OutputError: there is no such run, it ended early, or its private tables are gone.
        RunLocked: a run is going on in it.
    """
    start = time.monotonic()
    finished = read_finished(storage)
    work = _Work(storage, open_run(storage.root), finished, plan, say)
    tables = {n: t for m in finished.manifests.values() for n, t in tables_of(m).items()}
    if missing := [name for name in READS if name not in tables]:
        raise OutputError(
            f"a certificate needs {', '.join(missing)}, and this run ended before",
            "run it on to its end with vitw run and its own settings",
        )
    config = finished.config
    spent, ids = _drawn(work)  # first: it needs the private tables
    public = {name: work.run.table(name, TABLES[name].names).arrow for name in READS}
    found = headlines(public, config.statistics.alpha, config.report.top)
    if not found:
        raise OutputError(
            "the page of this run has no headline: its labels have too little support",
            "run it on more conversations",
        )
    ways, specs = _ways(work)
    budget = Budget(plan.budget * spent.tokens, len(ids))
    work.talks = _talks(work, ids)
    within = _read(work, ways, specs, budget, spent)
    sample = _sample(work, [talk["conversation_id"] for talk in work.talks][: budget.sample])
    answers, unseen = _answers(work, sample, list(ways))
    table = certificate(found, sample, answers, unseen, config.labels, plan.seed)
    details = {
        "sample": len(sample),
        "specifications": len(answers),
        "design": [asdict(way) for way in ways],
        "tokens": int(budget.used),
        "tokens_of_run": spent.tokens,
        "budget": plan.budget,
        "replacement": REPLACEMENT,
    }
    _attach(work, tables, table, details, time.monotonic() - start)
    badges = [row for row in table.to_pylist() if row["kind"] == "badge"]
    names = _names(work)
    return Certified(
        len(sample),
        len(ids),
        within,
        len(answers),
        int(budget.used),
        spent.tokens,
        tuple((_said(row, names), row["badge"]) for row in badges),
    )


def _names(work: _Work) -> dict[str, str]:
    rows = work.run.table("taxonomy", ["cluster_id", "name"]).arrow.to_pylist()
    return {row["cluster_id"]: row["name"] for row in rows}


def _said(row: Mapping[str, Any], names: Mapping[str, str]) -> str:
    over = names.get(row["over"], row["over"])
    parts = (row["claim"].replace("_", " "), row["label"], over, row["versus"])
    return ": ".join([parts[0], ", ".join(part for part in parts[1:] if part)])


def _drawn(work: _Work) -> tuple[Spent, list[str]]:
    """What the run spent, and the ids of the sample in the order in which they are read."""
    totals = Counter[str]()

    def ranked() -> Iterator[tuple[bytes, str]]:
        columns = ["conversation_id", "is_subjective", "error", "prompt_tokens", "output_tokens"]
        for batch in work.run.batches("extractions", columns):
            for row in batch.to_pylist():
                totals["conversations"] += 1
                totals["subjective"] += bool(row["is_subjective"])
                for name in ("prompt_tokens", "output_tokens"):
                    totals[name] += row[name]
                if row["error"] is None:
                    text = f"{work.plan.seed}:{row['conversation_id']}"
                    yield hashlib.sha256(text.encode()).digest(), row["conversation_id"]

    ids = [name for _, name in heapq.nsmallest(work.plan.sample, ranked())]
    names = ("conversations", "subjective", "prompt_tokens", "output_tokens")
    return Spent(*(totals[name] for name in names)), ids


def _ways(work: _Work) -> tuple[dict[Way, ExtractionConfig], dict[str, ReaderSpec]]:
    """Every way to read with its settings, and the readers."""
    specs = {OWN: ReaderSpec(name=OWN, settings={})}
    for text in work.plan.readers:
        spec = read_spec(text)
        if spec.name in (*specs, NO_ASSISTANT):
            raise ConfigError(
                f"--reader {spec.name} is given twice, or names what is read anyway",
                "give each reader its own name",
            )
        specs[spec.name] = spec
    configs = configs_of(_base(work, ()), list(specs.values()))
    readers = {name: config.extraction for name, config in configs.items()}
    return {way: with_way(readers[way.reader], way.settings) for way in ways_of(readers)}, specs


def _base(work: _Work, files: Sequence[str], folder: str = "") -> RunConfig:
    """The run, of which the sample alone is read, and every row of it."""
    config = work.finished.config
    return replace(
        config,
        conversations=ConversationsConfig(
            input=tuple(files) or ConversationsConfig().input,
            source_format="vitw",
            growing_histories="all",
            max_conversation_chars=config.conversations.max_conversation_chars,
        ),
        extraction=replace(config.extraction, screen=False, screen_heads=None),
        execution=replace(
            config.execution,
            output=work.storage.address(f"{FOLDER}/{folder}"),
            reader_check="off",
            labelled=None,
        ),
    )


def _read(
    work: _Work,
    ways: Mapping[Way, ExtractionConfig],
    specs: Mapping[str, ReaderSpec],
    budget: Budget,
    spent: Spent,
) -> int:
    """Read the sample in every way, the dearest first; returns what the budget allowed at first."""
    own = work.finished.config.extraction
    first = next(iter(ways))
    unseen = unheard(first)
    planned = {way: cost_of(spent, own, extraction) for way, extraction in ways.items()}
    planned[unseen] = planned[first]
    order = sorted(planned, key=lambda way: -planned[way].each)
    costs = [planned[way] for way in order]
    within = budget.fit(costs)

    def read(way: Way, n: int) -> int:
        spec = specs[OWN if way is unseen else way.reader]
        return _read_one(work, way, spec, n, planned[way], way is unseen)

    if any(cost.each for cost in costs):
        budget.refuse_few(work.plan.budget)
        pilot = min(PILOT, within)
        budget.correct(costs[0], pilot, read(order[0], pilot))
        within = budget.fit(costs)
        budget.refuse_few(work.plan.budget)
    for place, way in enumerate(order):
        budget.fit(costs[place:])
        budget.spend(planned[way], read(way, budget.sample))
    return within


def unheard(way: Way) -> Way:
    """The run's own way of reading, under the name of the baseline without the assistant."""
    return replace(way, reader=NO_ASSISTANT)


def _read_one(work: _Work, way: Way, spec: ReaderSpec, n: int, cost: Cost, without: bool) -> int:
    """Read the first conversations in one way; returns the tokens that it took."""
    talks = [_without_assistant(talk) if without else talk for talk in work.talks[:n]]
    data = as_gzip(talks)
    path = f"{FOLDER}/{way.name}/sample-{hashlib.sha256(data).hexdigest()[:16]}.jsonl.gz"
    work.storage.create(path, data)
    base = _base(work, [work.storage.address(path)], way.name)
    settings = {name: str(value) for name, value in way.settings.items()}
    asked = ReaderSpec(name=way.name, settings={**spec.settings, **settings})
    found, conversations = read_all(base, [asked], CompareFlags(planted=0), work.say)
    work.readings[way] = (conversations.ids, found[0].reading)
    costs = found[0].costs
    return costs.prefilled_tokens + costs.cached_tokens + costs.written_tokens if cost.each else 0


def _without_assistant(talk: Mapping[str, Any]) -> dict[str, Any]:
    """A conversation whose assistant says the same neutral sentence each time."""
    messages = [
        {**one, "content": REPLACEMENT} if one["role"] == "assistant" else one
        for one in talk["messages"]
    ]
    return {**talk, "messages": messages}


def _talks(work: _Work, ids: Sequence[str]) -> list[dict[str, Any]]:
    """The sampled conversations, in their order."""
    wanted, found = set(ids), {}
    columns = ["conversation_id", "source", "model", "language", "messages"]
    for batch in work.run.batches("conversations", columns):
        names = batch.column("conversation_id").to_pylist()
        places = [place for place, name in enumerate(names) if name in wanted]
        for row in batch.take(places).to_pylist():
            found[row["conversation_id"]] = {k: v for k, v in row.items() if v is not None}
    return [found[name] for name in ids]


def _sample(work: _Work, ids: Sequence[str]) -> Sample:
    """Where the sampled conversations come from, and their tasks as the run grouped them."""
    wanted, origins, tasks = set(ids), {}, {}
    for batch in work.run.batches("extractions", ["conversation_id", "account_id", "model"]):
        for row in batch.to_pylist():
            if row["conversation_id"] in wanted:
                origins[row["conversation_id"]] = (row["account_id"], row["model"])
    for batch in work.run.batches("task_assignments", ["conversation_id", "cluster_id"]):
        for row in batch.to_pylist():
            if row["conversation_id"] in wanted:
                tasks[row["conversation_id"]] = row["cluster_id"]
    return Sample(
        tuple(ids),
        tuple(origins[name][0] for name in ids),
        tuple(origins[name][1] for name in ids),
        tuple(tasks.get(name) for name in ids),
    )


def _answers(
    work: _Work, sample: Sample, ways: Sequence[Way]
) -> tuple[dict[Specification, Answers], Answers]:
    """Answers by specification, in the run's labels, and those without the assistant's words."""
    raw: dict[str, set[str]] = {
        facet: {
            label
            for _, reading in work.readings.values()
            for labels in reading.labels[facet]
            for label in labels
        }
        for facet in VALUE_FACETS
    }
    rows = work.run.table("labels", ["facet", "label", "kept"]).arrow.to_pylist()
    kept = {f: [r["label"] for r in rows if r["kept"] and r["facet"] == f] for f in VALUE_FACETS}
    names = label_map(raw, kept, _embedder(work))

    def of(way: Way) -> Answers:
        ids, reading = work.readings[way]
        place = {name: n for n, name in enumerate(ids)}
        return answers_of(reading, [place[name] for name in sample.ids], names)

    by_way = {way: of(way) for way in ways}
    gate = work.finished.config.extraction.subjective_from
    found = {spec: by_way[spec.way] for spec in specifications(ways, gate)}
    return found, of(unheard(ways[0]))


def _embedder(work: _Work) -> Embedder | None:
    """Finds labels of the same meaning; without a language model every label is a known one."""
    own = EXTRACTORS[work.finished.config.extraction.extractor]
    if not own.has_model and not work.plan.readers:
        return None
    taxonomy = work.finished.config.taxonomy
    try:
        return load_embedder(taxonomy.embedder, "cpu", taxonomy.embedder_revision)
    except (ConfigError, ImportError):
        log.warning("certify: no embedder %s; labels are matched by spelling", taxonomy.embedder)
        return None


def _attach(
    work: _Work,
    tables: Mapping[str, TableRef],
    table: Any,
    details: Mapping[str, Any],
    seconds: float,
) -> None:
    """Commit the table as a stage of its own, then write the page anew."""
    inputs = inputs_of(tables)
    key = content_key(
        {"stage": NAME, "inputs": inputs, "plan": asdict(work.plan), "code": code_digest(CODE)}
        | {"details": dict(details)}
    )
    with acquire(work.storage) as lease:
        now = read_finished(work.storage)
        then = {n: t for m in now.manifests.values() for n, t in tables_of(m).items()}
        if inputs_of(then) != inputs:
            raise OutputError(
                "the run was made anew while it was certified", "run the same command again"
            )
        folder = StageFolder(work.storage, f"{NUMBER}_{NAME}-{key}")
        files = [folder.write_table(NAME, table)]
        lease.check()
        manifest = folder.publish(
            {
                "stage": NAME,
                "number": NUMBER,
                "key": key,
                "inputs": inputs,
                "config": public_settings(now.config),
                "rows_in": details["sample"],
                "rows_out": table.num_rows,
                "rejected": {},
                "failed": {},
                "seconds": round(seconds, 3),
                "rows_per_s": round(details["sample"] / max(seconds, 1e-3), 1),
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
                "versions": versions(),
                "files": entries(files),
                "details": dict(details),
            }
        )
    rewrite_report(work.storage, certificate=manifest)
