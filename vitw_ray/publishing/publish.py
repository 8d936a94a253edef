"""A finished run -> a folder to publish, of one of two kinds.

The run is held while it is published, so that two releases cannot spend the same budget.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from vitw_ray.alphabet import LABEL
from vitw_ray.errors import OutputError
from vitw_ray.facets import VALUE_FACETS
from vitw_ray.finished_run import read_finished, read_record
from vitw_ray.keys import content_key
from vitw_ray.lease import acquire
from vitw_ray.publishing.about import PublishedRun, about_release, utility
from vitw_ray.publishing.bounded import bounded, keyed_noise
from vitw_ray.publishing.earlier_folders import refuse_lower_folders
from vitw_ray.publishing.population import population, refuse_dependent_rows
from vitw_ray.publishing.released_tree import renamed
from vitw_ray.release import card, threshold
from vitw_ray.release.files import complete, parquet, write_files
from vitw_ray.release.ledger import FOLDER, Spent, read_ledger, spend, totals
from vitw_ray.release.settings import ReleaseSettings, StrictSettings, ThresholdSettings
from vitw_ray.release.strict import tables as strict_tables
from vitw_ray.release.strict.bounds import Bounds
from vitw_ray.release.strict.committed import from_json, to_json
from vitw_ray.release.strict.measure import measure
from vitw_ray.release.strict.noise import ExactNoise
from vitw_ray.release.strict.sharing import budget_of
from vitw_ray.release.tables import FREQUENCIES_COLUMNS, csv_text, values_frequencies, values_tree
from vitw_ray.run_folder import read_part, read_table, tables_of
from vitw_ray.run_secret import load_secret
from vitw_ray.storage import Storage

_LABEL = re.compile(LABEL)


@dataclass(frozen=True)
class Published:
    """Where a release lies, and what it cost."""

    address: str
    entry: Spent
    spent: Mapping[str, float]
    told: str
    """What of the run it shows, in a sentence."""


@dataclass(frozen=True)
class _File:
    """A table of a release: its file, rows and a sentence for the card."""

    name: str
    file: str
    data: bytes
    rows: int
    content: str


def publish(
    storage: Storage,
    settings: ReleaseSettings,
    *,
    to: str | None = None,
    secret_file: str | None = None,
    budget_epsilon: float | None = None,
    again: bool = False,
) -> Published:
    """Write a release of a finished run.

    Args:
        storage: of the run folder.
        settings: kind of release, and what it may show.
        to: its folder; default: `releases/<kind>-<number>` in the run folder.
        secret_file: the run's secret, where the run was made with one.
        budget_epsilon: most that all strict releases of the run may spend together.
        again: publish a further threshold release of the same run.

    Raises:
        ConfigError: the run or the settings do not allow such a release.
        OutputError: there is no such run, or its private tables are gone.
        RunLocked: a run is going on in it.
    """
    read_record(storage)
    with acquire(storage) as lease:
        finished = read_finished(storage)
        tables = {n: t for m in finished.manifests.values() for n, t in tables_of(m).items()}
        refuse_lower_folders(storage, finished)
        run = PublishedRun(storage, finished, tables, load_secret(storage, secret_file))
        key = _key(run, settings)
        if isinstance(settings, StrictSettings):
            entry, files = _strict(run, settings, key, budget_epsilon)
            told = "what is in it, and how exact it is, says its README.md"
        else:
            threshold.refuse_low_thresholds(finished.config.labels)
            files, told = _threshold(run, settings, key)
            entry = spend(storage, key, settings, None, again)
        lease.check()
        address = to or storage.address(f"releases/{entry.kind}-{entry.number}")
        write_files(Storage(address), files)
    return Published(address, entry, totals(read_ledger(storage)), told)


def _key(run: PublishedRun, settings: ReleaseSettings) -> str:
    """Hash of a release's data and settings; stays under `private/`."""
    is_strict = isinstance(settings, StrictSettings)
    needed = ("extractions",)
    if not is_strict:
        needed += ("merges", "labels", "taxonomy", "response_types")
    if missing := [name for name in needed if name not in run.tables]:
        raise OutputError(
            f"a release needs {', '.join(missing)}, and this run ended before",
            "run it on to its end with vitw run and its own settings",
        )
    return content_key(
        {
            "settings": asdict(settings),
            "tables": {name: run.tables[name].digest for name in needed},
            "labels": asdict(run.finished.config.labels),
        }
    )


def _strict(
    run: PublishedRun, settings: StrictSettings, key: str, budget_epsilon: float | None
) -> tuple[Spent, dict[str, bytes]]:
    config = run.finished.config
    refuse_dependent_rows(config)
    place = f"{FOLDER}/{key}.json"
    if not run.storage.exists(place):
        parts = (read_part(run.storage, file) for file in run.tables["extractions"].files)
        people = population(parts, config.labels, run.keyed, settings.unknown_accounts)
        entry = spend(run.storage, key, settings, budget_epsilon, again=False)
        bounds = Bounds(
            settings.account_conversations, settings.conversation_pairs, settings.delta / 2
        )
        # half of delta for names of a single account, half for the conversion to epsilon
        noise = ExactNoise()
        budget = budget_of(people, bounds, settings.epsilon, settings.delta / 2, noise)
        run.storage.create(place, to_json(measure(people, bounds, budget)))
    entry = spend(run.storage, key, settings, budget_epsilon, again=False)
    found = from_json(run.storage.read(place))
    so_far = [one for one in read_ledger(run.storage) if one.number <= entry.number]
    about = about_release(run, settings, found.conversations)
    about |= {"spent": totals(so_far), "utility": utility(found)}
    frequencies = strict_tables.frequencies_rows(found)
    labels = strict_tables.labels_table(found)
    types = strict_tables.types_table(found)
    cells = strict_tables.associations_table(found)
    noisy = "with the 95 % interval that the noise makes"
    files = [
        _csv_file(csv_text(FREQUENCIES_COLUMNS, frequencies), len(frequencies)),
        _table_file("labels", labels, f"a value or task with its noisy count, {noisy}"),
        _table_file("response_types", types, f"a response type with its noisy count, {noisy}"),
        _table_file(
            "associations",
            cells,
            "a frequent AI value and a response type or task: noisy count and adjusted residual",
        ),
    ]
    return entry, _finish(files, about)


def _threshold(
    run: PublishedRun, settings: ThresholdSettings, key: str
) -> tuple[dict[str, bytes], str]:
    base = settings.round_to
    read = {
        name: read_table(run.storage, run.tables[name].public)
        for name in ("labels", "taxonomy", "response_types")
    }
    thresholds = run.finished.config.labels
    found = bounded(run, read["labels"], settings.account_conversations)
    noise = keyed_noise(run.keyed, key)
    labels = threshold.rounded_labels(found, base, thresholds, noise)
    told = threshold.what_is_shown(read["labels"], labels, thresholds)
    tables = {"labels": labels, "taxonomy": renamed(read["taxonomy"], labels)}
    frequencies, tree = values_frequencies(tables), values_tree(tables)
    names = {
        facet: {
            row["label"]
            for row in labels.to_pylist()
            if row["facet"] == facet and _LABEL.fullmatch(row["label"])
        }
        for facet in VALUE_FACETS
    }
    counted = threshold.counted(labels, names)
    types = threshold.rounded_types(read["response_types"], found, base, thresholds, noise)
    total = threshold.rounded_total(found, base, noise)
    about = about_release(run, settings, total)
    about["accounts_known"] = run.finished.manifests["labels"]["details"]["with_account"] > 0
    about["settings"] |= {
        name: getattr(thresholds, name) for name in ("min_conversations", "min_accounts")
    }
    about["settings"]["noise"] = threshold.NOISE
    files = [
        _csv_file(frequencies.text, frequencies.rows),
        _File(
            "values_tree",
            "values_tree.csv",
            tree.text.encode(),
            tree.rows,
            "a value or a cluster, its parent, and its percentage of the released pairs",
        ),
        _table_file("labels", counted, "a value with its rounded counts"),
        _table_file("response_types", types, "a response type with its rounded count"),
    ]
    return _finish(files, about), told


def _finish(files: Sequence[_File], about: dict[str, Any]) -> dict[str, bytes]:
    about["tables"] = {
        one.name: {"file": one.file, "rows": one.rows, "content": one.content} for one in files
    }
    written = {one.file: one.data for one in files}
    return complete({**written, "README.md": card.render_release(about).encode()}, about)


def _csv_file(text: str, rows: int) -> _File:
    content = "an AI value and the percentage of subjective conversations that hold it"
    return _File("values_frequencies", "values_frequencies.csv", text.encode(), rows, content)


def _table_file(name: str, table: pa.Table, content: str) -> _File:
    return _File(name, f"{name}.parquet", parquet(table), table.num_rows, content)
