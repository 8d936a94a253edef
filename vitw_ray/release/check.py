"""Whether a release is what it says, from its files alone: whoever downloads it can look.

It checks checksums, columns, thresholds, rounding, and that every share follows from released
counts. It cannot check what a release is made from.
"""

import csv
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vitw_ray import paper
from vitw_ray.alphabet import LABEL, TASK_PHRASE
from vitw_ray.errors import OutputError
from vitw_ray.facets import TASK
from vitw_ray.release import threshold
from vitw_ray.release.files import ABOUT, CHECKSUMS
from vitw_ray.release.settings import BASES, KINDS, MOST_OF_ACCOUNT
from vitw_ray.release.strict import tables as strict_tables
from vitw_ray.release.tables import DECIMALS, FREQUENCIES_COLUMNS, TREE_COLUMNS
from vitw_ray.storage import Storage

SCHEMAS: Mapping[str, Mapping[str, pa.Schema]] = {
    "threshold": {
        "labels.parquet": threshold.COUNTED,
        "response_types.parquet": threshold.RESPONSES,
    },
    "strict": {
        "labels.parquet": strict_tables.LABELS,
        "response_types.parquet": strict_tables.RESPONSES,
        "associations.parquet": strict_tables.ASSOCIATIONS,
    },
}
HEADERS = {"values_frequencies.csv": FREQUENCIES_COLUMNS, "values_tree.csv": TREE_COLUMNS}
_ROUNDING = 0.5 * 10**-strict_tables.DIGITS + 1e-12
_LABEL, _PHRASE = re.compile(LABEL), re.compile(TASK_PHRASE)

Problems = Iterator[str]


@dataclass(frozen=True)
class Released:
    """A release as it was read."""

    about: Mapping[str, Any]
    files: Mapping[str, bytes]

    @property
    def kind(self) -> str:
        """`threshold` or `strict`."""
        return self.about["kind"]

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The rows of a table; none if it is not there."""
        if name not in self.files:
            return []
        if name.endswith(".csv"):
            return list(csv.DictReader(io.StringIO(self.files[name].decode())))
        return pq.read_table(io.BytesIO(self.files[name])).to_pylist()


def is_release(storage: Storage) -> bool:
    """Whether a folder holds a release."""
    return storage.exists(ABOUT)


def check_release(storage: Storage) -> dict[str, list[str]]:
    """Check a release: name of each check -> what is wrong.

    Raises:
        OutputError: `release.json` cannot be read.
    """
    files = {stat.path: storage.read(stat.path) for stat in storage.list()}
    released = _read(storage, files)
    found = {}
    for name, check in CHECKS.items():
        try:
            found[name] = list(check(released))
        except (KeyError, TypeError, ValueError, pa.ArrowException) as error:
            found[name] = [f"cannot be checked ({type(error).__name__})"]
    return found


def _read(storage: Storage, files: Mapping[str, bytes]) -> Released:
    try:
        released = Released(json.loads(files[ABOUT]), files)
        if released.kind in KINDS and released.about["settings"]:
            return released
    except (KeyError, TypeError, ValueError):
        pass
    raise OutputError(
        f"{storage.address(ABOUT)} is no description of a release", "download the folder again"
    )


def check_checksums(released: Released) -> Problems:
    """Every file is named with its SHA-256, and no other one is there."""
    lines = released.files[CHECKSUMS].decode().splitlines()
    named = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    for name in sorted({*named, *released.files} - {CHECKSUMS}):
        data = released.files.get(name)
        if data is None:
            yield f"{name} is missing"
        elif name not in named:
            yield f"{name} is not named"
        elif hashlib.sha256(data).hexdigest() != named[name]:
            yield f"{name} was changed"


def check_columns(released: Released) -> Problems:
    """Every table has its columns and the number of rows that `release.json` says."""
    tables = released.about["tables"].values()
    for table in tables:
        name = table["file"]
        if name in HEADERS:
            header = next(csv.reader(io.StringIO(released.files[name].decode())))
            right = tuple(header) == HEADERS[name]
        else:
            schema = pq.read_schema(io.BytesIO(released.files[name]))
            right = schema.equals(SCHEMAS[released.kind][name])
        if not right:
            yield f"{name} has other columns"
        if len(released.rows(name)) != table["rows"]:
            yield f"{name} has another number of rows"
    if missing := set(SCHEMAS[released.kind]) - {table["file"] for table in tables}:
        yield f"{', '.join(sorted(missing))} is not described"


def check_names(released: Released) -> Problems:
    """Every name has the form of a label or of a task."""
    for position, row in enumerate(released.rows("labels.parquet")):
        form = _PHRASE if row["facet"] == TASK.name else _LABEL
        if not form.fullmatch(row["label"]):
            yield f"labels.parquet, row {position}"
    for position, row in enumerate(released.rows("values_frequencies.csv")):
        if not _LABEL.fullmatch(row["value"]):
            yield f"values_frequencies.csv, row {position}"


def check_protection(released: Released) -> Problems:
    """The settings protect as much as a release must, and rounded counts are rounded."""
    settings = released.about["settings"]
    if released.kind == "strict":
        if not settings["epsilon"] > 0 or not 0 < settings["delta"] < 1:
            yield "epsilon or delta"
        if released.about["spent"]["epsilon"] < settings["epsilon"]:
            yield "less was spent in all than by this release"
        return
    base = settings["round_to"]
    if base < BASES[0]:
        yield f"counts are rounded to {base}"
    for name, least in (
        ("min_conversations", paper.MIN_CONVERSATIONS),
        ("min_accounts", paper.MIN_ACCOUNTS),
    ):
        if settings[name] < least:
            yield f"{name} is below {least}"
    if not 1 <= settings["account_conversations"] <= MOST_OF_ACCOUNT:
        yield "the contributions of accounts are not bounded"
    if settings["noise"] < threshold.NOISE:
        yield "the counts have less noise"
    least = settings["min_conversations"] + threshold.MARGIN * settings["noise"]
    lowest = (int(least) + base // 2) // base * base
    fewest = (settings["min_accounts"] + base // 2) // base * base
    for name in ("labels.parquet", "response_types.parquet"):
        for position, row in enumerate(released.rows(name)):
            if row["conversations"] % base:
                yield f"{name}, row {position}: not a multiple of {base}"
            elif row["conversations"] < lowest:
                yield f"{name}, row {position}: too few conversations"
            people = row.get("accounts")
            if people is not None and (people % base or people < fewest):
                yield f"{name}, row {position}: accounts"
    if released.about["conversations"] % base:
        yield f"the number of conversations is not a multiple of {base}"


def check_shares(released: Released) -> Problems:
    """Every share is a released count over the released number of conversations."""
    total = max(released.about["conversations"], 1)
    percent = {}
    for position, row in enumerate(released.rows("labels.parquet")):
        share = min(row["conversations"] / total, 1.0)
        if abs(share - row["share"]) > _ROUNDING:
            yield f"labels.parquet, row {position}"
        if "low" in row and not row["low"] <= row["share"] <= row["high"]:
            yield f"labels.parquet, row {position}: the interval does not hold the share"
        if row["facet"] == "ai_values":
            percent[row["label"]] = round(100 * share, DECIMALS)
    said = {
        row["value"]: float(row["pct_convos"]) for row in released.rows("values_frequencies.csv")
    }
    if said != percent:
        yield "values_frequencies.csv differs from labels.parquet"


CHECKS: Mapping[str, Callable[[Released], Problems]] = {
    "checksums": check_checksums,
    "columns": check_columns,
    "names": check_names,
    "protection": check_protection,
    "shares": check_shares,
}
