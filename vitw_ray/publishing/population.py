"""`extractions` -> the population of a release.

For a strict release, spellings are merged only by rules that look at one label: case and hyphens.
The merges of a run, its clusters and its screen depend on the conversations of all accounts at
once, and a release that used them could not say what one account changes. A threshold release
claims no such thing, and takes the labels of the run.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vitw_ray.alphabet import LABEL, TASK_PHRASE
from vitw_ray.config import LabelsConfig, RunConfig
from vitw_ray.errors import ConfigError
from vitw_ray.facets import RESPONSE_TYPES, TASK, VALUE_FACETS
from vitw_ray.keys import Keyed
from vitw_ray.labels.normalize import fold_case, fold_hyphens
from vitw_ray.release.settings import UnknownAccounts
from vitw_ray.release.strict.population import Pairs, Population

COLUMNS = (
    "conversation_id",
    "account_id",
    "is_subjective",
    "response_type",
    TASK.field,
    *VALUE_FACETS,
)
Fold = Callable[[str, str], str]
"""Facet and spelling -> label."""

_LABEL, _PHRASE = re.compile(LABEL), re.compile(TASK_PHRASE)


def refuse_dependent_rows(config: RunConfig) -> None:
    """Refuse a run in which one account decides what is read of another one.

    Raises:
        ConfigError: it names the setting.
    """
    for flag, is_set, why in (
        ("--sample", config.conversations.sample is not None, "one more conversation displaces"),
        ("--screen", config.extraction.screen, "its heads are trained on conversations of"),
    ):
        if is_set:
            raise ConfigError(
                f"--kind strict: the run was made with {flag}, and {why} other accounts",
                f"run again without {flag}, or publish with --kind threshold",
            )


def population(
    parts: Iterable[pa.Table], labels: LabelsConfig, keyed: Keyed, unknown: UnknownAccounts
) -> Population:
    """The subjective conversations of all parts.

    Raises:
        ConfigError: a conversation names no account, and that was not allowed.
    """
    coded = _coded(parts, keyed, _fold(labels), labels.min_salience)
    if coded.without_account and unknown == "refuse":
        raise ConfigError(
            f"--kind strict: {coded.without_account:,} of {len(coded.accounts):,} subjective"
            " conversations name no account, and the guarantee is for accounts",
            "add --unknown-accounts own if each of them may count as an account of its own, or"
            " publish with --kind threshold",
        )
    return coded.population()


def population_of_merges(
    parts: Iterable[pa.Table],
    merges: Mapping[tuple[str, str], str],
    labels: LabelsConfig,
    keyed: Keyed,
) -> tuple[Population, NDArray[np.bool_]]:
    """The subjective conversations of all parts, with the labels that the run counts.

    Args:
        parts: of `extractions`.
        merges: facet and spelling -> label, of the spellings that count as another one.
        labels: settings of the run.
        keyed: hashes of the run.

    Returns:
        The population, in which a conversation without account is an account of its own; and for
        each account, whether it is one that the input names.
    """

    def fold(facet: str, label: str) -> str:
        return merges.get((facet, label), label)

    coded = _coded(parts, keyed, fold, labels.min_salience)
    return coded.population(), np.array([named for named, _ in coded.known], bool)


def _coded(parts: Iterable[pa.Table], keyed: Keyed, fold: Fold, min_salience: int) -> "_Coded":
    coded = _Coded(keyed, fold, min_salience)
    for part in parts:
        coded.add(part.select(COLUMNS).filter(pc.field("is_subjective")))
    return coded


def _fold(labels: LabelsConfig) -> Fold:
    def fold(facet: str, label: str) -> str:
        if labels.merge_case:
            label = fold_case(label)
        return fold_hyphens(label) if labels.merge_hyphens else label

    return fold


@dataclass
class _Names:
    """Pairs of one facet, as they are found."""

    codes: dict[str, int] = field(default_factory=dict)
    rows: list[int] = field(default_factory=list)
    found: list[int] = field(default_factory=list)

    def add(self, row: int, names: Iterable[str]) -> None:
        for name in sorted(set(names)):
            self.rows.append(row)
            self.found.append(self.codes.setdefault(name, len(self.codes)))


@dataclass
class _Coded:
    keyed: Keyed
    fold: Fold
    min_salience: int
    accounts: list[int] = field(default_factory=list)
    order: list[int] = field(default_factory=list)
    types: list[int] = field(default_factory=list)
    known: dict[tuple[bool, str], int] = field(default_factory=dict)
    without_account: int = 0
    facets: dict[str, _Names] = field(
        default_factory=lambda: {name: _Names() for name in (*VALUE_FACETS, TASK.name)}
    )

    def add(self, part: pa.Table) -> None:
        for row in part.to_pylist():
            at, account = len(self.accounts), row["account_id"]
            self.without_account += account is None
            who = (account is not None, account or row["conversation_id"])
            self.accounts.append(self.known.setdefault(who, len(self.known)))
            self.order.append(self._hash("release order", row["conversation_id"]))
            kind = row["response_type"]
            self.types.append(RESPONSE_TYPES.index(kind) if kind in RESPONSE_TYPES else -1)
            for facet in VALUE_FACETS:
                self.facets[facet].add(at, self._labels(facet, row[facet]))
            phrase = fold_case(row[TASK.field] or "")
            self.facets[TASK.name].add(at, [phrase] if _PHRASE.fullmatch(phrase) else [])

    def _labels(self, facet: str, values: Iterable[dict]) -> Iterable[str]:
        for value in values:
            if value["salience"] is None or value["salience"] >= self.min_salience:
                label = self.fold(facet, value["label"])
                if _LABEL.fullmatch(label):
                    yield label

    def _hash(self, purpose: str, text: str) -> int:
        return int.from_bytes(self.keyed.digest(purpose, text.encode(), 8), "big")

    def population(self) -> Population:
        facets = {
            facet: Pairs(
                np.array(held.rows, np.int64),
                np.array(held.found, np.int64),
                list(held.codes),
                np.array([self._hash(f"release {facet}", name) for name in held.codes], np.uint64),
            )
            for facet, held in self.facets.items()
        }
        return Population(
            np.array(self.accounts, np.int64),
            np.array(self.order, np.uint64),
            np.array(self.types, np.int64),
            facets,
        )
