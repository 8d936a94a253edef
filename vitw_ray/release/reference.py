"""How near a release is to another one in the columns of the paper's data set.

Both have `values_frequencies.csv`, and may have a tree (`values_tree.csv`, or another
`values_tree*.csv`). Only what both name is compared; how much that is comes first.
"""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vitw_ray.errors import OutputError
from vitw_ray.release.tables import FREQUENCIES_COLUMNS, TREE_COLUMNS
from vitw_ray.storage import Storage

FREQUENCIES = "values_frequencies.csv"
TOP = 100


@dataclass(frozen=True)
class Compared:
    """A release against a reference. Numbers that too few common values allow are None."""

    values: int
    reference_values: int
    common: int
    top_overlap: int
    """Of the 100 most frequent values of the reference, among the 100 most frequent here."""
    largest_difference: float | None
    """Of a share, in percentage points, over common values."""
    mean_difference: float | None
    rank_correlation: float | None
    """Spearman's, over common values."""
    tree_agreement: float | None
    """Adjusted Rand index of the lowest clusters, over the values that both trees place."""


def compare(storage: Storage, reference: Storage) -> Compared:
    """Compare two folders.

    Raises:
        OutputError: one has no readable table of frequencies.
    """
    ours, theirs = _shares(storage), _shares(reference)
    common = sorted(ours.keys() & theirs.keys())
    a = np.array([ours[name] for name in common])
    b = np.array([theirs[name] for name in common])
    apart = np.abs(a - b)
    return Compared(
        values=len(ours),
        reference_values=len(theirs),
        common=len(common),
        top_overlap=len(_top(ours) & _top(theirs)),
        largest_difference=round(float(apart.max()), 3) if common else None,
        mean_difference=round(float(apart.mean()), 3) if common else None,
        rank_correlation=_spearman(a, b),
        tree_agreement=_agreement(_homes(storage), _homes(reference)),
    )


def _top(shares: Mapping[str, float]) -> set[str]:
    return set(sorted(shares, key=lambda name: (-shares[name], name))[:TOP])


def _spearman(a: np.ndarray, b: np.ndarray) -> float | None:
    from scipy.stats import spearmanr

    if a.size < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return round(float(np.asarray(spearmanr(a, b))[0]), 3)


def _agreement(ours: Mapping[str, str], theirs: Mapping[str, str]) -> float | None:
    from sklearn.metrics import adjusted_rand_score

    common = sorted(ours.keys() & theirs.keys())
    if len(common) < 3:
        return None
    pairs = ([tree[name] for name in common] for tree in (ours, theirs))
    return round(float(adjusted_rand_score(*pairs)), 3)


def _shares(storage: Storage) -> dict[str, float]:
    if not storage.exists(FREQUENCIES):
        raise OutputError(
            f"{storage.root} has no {FREQUENCIES}",
            "name a release, or the folder of the paper's data set",
        )
    name, share = FREQUENCIES_COLUMNS
    rows = _rows(storage, FREQUENCIES, FREQUENCIES_COLUMNS)
    try:
        return {row[name]: float(row[share]) for row in rows}
    except ValueError:
        raise _unreadable(storage, FREQUENCIES) from None


def _homes(storage: Storage) -> dict[str, str]:
    """Value -> its lowest cluster; empty without a tree."""
    names = sorted(
        file.path
        for file in storage.list()
        if file.path.startswith("values_tree") and file.path.endswith(".csv")
    )
    rows = [row for name in names[:1] for row in _rows(storage, name, TREE_COLUMNS)]
    return {row["name"]: row["parent_cluster_id"] for row in rows if row["level"] == "0"}


def _rows(storage: Storage, name: str, columns: tuple[str, ...]) -> list[dict[str, str]]:
    try:
        rows = [*csv.DictReader(io.StringIO(storage.read(name).decode()))]
    except (UnicodeDecodeError, csv.Error):
        raise _unreadable(storage, name) from None
    if any(None in row.values() or not set(columns) <= row.keys() for row in rows):
        raise _unreadable(storage, name)
    return rows


def _unreadable(storage: Storage, name: str) -> OutputError:
    return OutputError(
        f"{storage.address(name)} is no table of the paper's form", "download the file again"
    )
