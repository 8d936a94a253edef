"""Runs several readers over the same conversations, each in its own run folder.

    OUTPUT/sample/           the conversations of the input that are read, as a run folder
    OUTPUT/private/          the secret that all share; sample and known conversations as files
    OUTPUT/readers/<name>/   one run folder per reader, up to the stage `extractions`
    OUTPUT/leaderboard.json, OUTPUT/leaderboard.html

All readers read the same two files with the same secret, so that their rows line up.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from vitw_ray.cli.reader_flags import CompareFlags, ReaderSpec
from vitw_ray.comparison.readers import known as known_sets
from vitw_ray.comparison.readers.costs import Prices, costs_of
from vitw_ray.comparison.readers.known import Known, as_gzip
from vitw_ray.comparison.readers.leaderboard import Conversations, Entry
from vitw_ray.comparison.readers.readings import reading_of
from vitw_ray.comparison.readers.strata import Origin
from vitw_ray.config import RunConfig
from vitw_ray.errors import OutputError, VitwRayError
from vitw_ray.facets import VALUE_FACETS
from vitw_ray.pipeline import run
from vitw_ray.run_folder import SUCCESS, TableRef, read_part, read_table, tables_of
from vitw_ray.run_secret import SECRET, load_secret
from vitw_ray.start import configure
from vitw_ray.storage import PRIVATE, Storage

Say = Callable[[str], None]
ORIGIN = ("conversation_id", "language", "source", "model", "messages")
ANSWERS = ("subjectivity", "confidence", "task", *VALUE_FACETS, "response_type", "error")
WHOLE = {
    "sample": None,
    "balance_assistants": False,
    "max_per_account": None,
    "created_from": None,
    "created_until": None,
}
"""Settings that draw conversations, at values that keep all."""


def configs_of(base: RunConfig, specs: Sequence[ReaderSpec]) -> dict[str, RunConfig]:
    """The run of each reader, with settings that can work; its input comes later.

    A reader that fails on many conversations, or that does not read, is a finding here: no share of
    errors stops it, and no sign.
    """
    configs = {}
    for spec in specs:
        settings = {"max_error_share": 1.0, **spec.settings}
        if base.execution.reader_check == "stop":
            settings.setdefault("reader_check", "warn")
        try:
            config = configure(base, None, settings)
        except VitwRayError as error:
            raise type(error)(f"--reader {spec.name}: {error.problem}", error.fix) from None
        output = f"{base.execution.output}/readers/{spec.name}"
        configs[spec.name] = replace(config, execution=replace(config.execution, output=output))
    return configs


def read_all(
    base: RunConfig, specs: Sequence[ReaderSpec], flags: CompareFlags, say: Say
) -> tuple[list[Entry], Conversations]:
    """Let every reader read the sample and the known conversations; what is done is skipped."""
    configs = configs_of(base, specs)
    storage = Storage(base.execution.output)
    sample, table = _conversations(base, storage, "sample", {}, say)
    known = _known(base, storage, flags, (sample, table), say)
    files = [_placed(storage, "sample", _rows(sample, table))]
    if talks := [talk for one in known for talk in one.conversations]:
        files.append(_placed(storage, "known", talks))
    entries, ids, origins = [], (), ()
    for spec in specs:
        config = _reading(configs[spec.name], files)
        say(f"reader {spec.name}: {', '.join(f'{k}={v}' for k, v in spec.settings.items())}")
        result = _run_in(storage, config, "extractions", say)
        folder, tables, manifests = _opened(config, result)
        found = read_table(folder, tables["conversations"], ORIGIN)
        if not entries:
            ids, origins = tuple(found["conversation_id"].to_pylist()), _origins(found)
        elif ids != tuple(found["conversation_id"].to_pylist()):
            raise OutputError(
                f"reader {spec.name} was given other conversations than the first reader",
                "the input has changed meanwhile: run the same command again",
            )
        answers = read_table(folder, tables["extractions"], ANSWERS).to_pylist()
        prices = Prices(
            per_gpu_hour=flags.price_per_gpu_hour,
            per_million_read=flags.price_per_million_read,
            per_million_written=flags.price_per_million_written,
        )
        reading = reading_of(spec.name, answers, config.extraction.subjective_from)
        costs = costs_of(manifests["extractions"], config, prices)
        check = manifests["extractions"]["details"].get("reader_check")
        entries.append(Entry(reading, spec.settings, costs, check))
    return entries, Conversations(ids, origins, tuple(known))


def _known(
    base: RunConfig,
    storage: Storage,
    flags: CompareFlags,
    sample: tuple[Storage, TableRef],
    say: Say,
) -> list[Known]:
    found = []
    if flags.labelled:
        drawn = any(getattr(base.conversations, name) != value for name, value in WHOLE.items())
        whole = _conversations(base, storage, "input", WHOLE, say) if drawn else sample
        found.append(known_sets.labelled(flags.labelled, _rows(*whole)))
    if flags.planted:
        found.append(known_sets.planted(flags.planted))
    for name in ("valueeval", "valuebench", "xstest", "political_compass"):
        if path := getattr(flags, name):
            found.append(getattr(known_sets, name)(path, flags.check_rows))
    return found


def _conversations(
    base: RunConfig, storage: Storage, folder: str, settings: Mapping[str, Any], say: Say
) -> tuple[Storage, TableRef]:
    """The conversations of the input, read once, as a table of a run folder of its own."""
    config = replace(
        base,
        conversations=replace(base.conversations, **settings),
        execution=replace(base.execution, output=f"{storage.root}/{folder}"),
    )
    opened, tables, _ = _opened(config, _run_in(storage, config, "conversations", say))
    return opened, tables["conversations"]


def _reading(config: RunConfig, files: Sequence[str]) -> RunConfig:
    """The run of a reader over conversations that are drawn already."""
    settings = {**WHOLE, "input": tuple(files), "source_format": "vitw", "source_name": None}
    return replace(config, conversations=replace(config.conversations, **settings))


def _run_in(storage: Storage, config: RunConfig, until: str, say: Say) -> dict[str, Any]:
    """Run with the secret of the whole comparison."""
    if config.execution.secret_file is None:
        load_secret(storage, None)  # made, if there is none yet
        secret, own = storage.read(SECRET), Storage(config.execution.output)
        own.create(SECRET, secret)
    return run(config, announce=lambda line: say(f"  {line}"), until=until)


def _opened(
    config: RunConfig, result: Mapping[str, Any]
) -> tuple[Storage, dict[str, TableRef], dict[str, Any]]:
    storage = Storage(config.execution.output)
    manifests = {
        stage["name"]: json.loads(storage.read(f"{stage['folder']}/{SUCCESS}"))
        for stage in result["stages"]
    }
    tables = {name: table for m in manifests.values() for name, table in tables_of(m).items()}
    return storage, tables, manifests


def _rows(storage: Storage, table: TableRef) -> Iterator[dict[str, Any]]:
    """Rows of `conversations` as JSON has them, a part at a time."""
    for part in table.files:
        for row in read_part(storage, part).to_pylist():
            created = row["created_at"]
            known = {name: value for name, value in row.items() if value is not None}
            yield known | ({"created_at": created.isoformat()} if created else {})


def _placed(storage: Storage, name: str, rows: Iterable[Mapping[str, Any]]) -> str:
    """Write conversations once, under a name that holds their digest; returns the address."""
    data = as_gzip(rows)
    path = f"{PRIVATE}/{name}-{hashlib.sha256(data).hexdigest()[:16]}.jsonl.gz"
    storage.create(path, data)
    return storage.address(path)


def _origins(table: pa.Table) -> tuple[Origin, ...]:
    return tuple(
        Origin(
            language=row["language"],
            source=row["source"],
            model=row["model"],
            chars=sum(len(message["content"]) for message in row["messages"]),
        )
        for row in table.to_pylist()
    )
