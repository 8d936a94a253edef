"""A run's labels, counted again with at most a few conversations of each account.

Which conversations of an account count is decided by keyed hashes, as in a strict release. A label
needs as many accounts as the run says, and conversations, of those that are left.
"""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import ndtri

from vitw_ray.facets import RESPONSE_TYPES, VALUE_FACETS
from vitw_ray.keys import Keyed
from vitw_ray.publishing.about import PublishedRun
from vitw_ray.publishing.population import population_of_merges
from vitw_ray.records import LABELS
from vitw_ray.release.strict.population import Pairs, Population, bound_conversations
from vitw_ray.release.threshold import Bounded, Noise
from vitw_ray.run_folder import read_part


def bounded(run: PublishedRun, labels: pa.Table, most: int) -> Bounded:
    """Count a run's conversations again, at most `most` of each account.

    Args:
        run: the run; its private tables are read.
        labels: those that it shows; others are not counted.
        most: conversations of one account.

    Raises:
        OutputError: the private tables are gone.
    """
    merges = {
        (row["facet"], row["variant"]): row["label"]
        for file in run.tables["merges"].files
        for row in read_part(run.storage, file).to_pylist()
    }
    parts = (read_part(run.storage, file) for file in run.tables["extractions"].files)
    people, named = population_of_merges(parts, merges, run.finished.config.labels, run.keyed)
    return bounded_counts(people, named, labels, most)


def bounded_counts(
    people: Population, named: NDArray[np.bool_], labels: pa.Table, most: int
) -> Bounded:
    """See `bounded`; `named` says of each account whether the input names it."""
    limited = bound_conversations(people, most)
    known = bool(named.any())
    shown = {
        facet: {row["label"] for row in labels.to_pylist() if row["kept"] and row["facet"] == facet}
        for facet in VALUE_FACETS
    }
    rows: list[dict[str, Any]] = []
    for facet in VALUE_FACETS:
        pairs = limited.facets[facet]
        accounts = _accounts(pairs, limited, named)
        counted = zip(pairs.names, pairs.counts().tolist(), accounts.tolist(), strict=True)
        rows += [
            {
                "facet": facet,
                "label": name,
                "conversations": conversations,
                "accounts": people_of if known else None,
                "share": conversations / max(limited.conversations, 1),
                "kept": True,
            }
            for name, conversations, people_of in counted
            if name in shown[facet]
        ]
    rows.sort(key=lambda row: (row["facet"], -row["conversations"], row["label"]))
    types = {}
    for code, kind in enumerate(RESPONSE_TYPES):
        held = limited.accounts[limited.response_types == code]
        named_ones = np.unique(held[named[held]]).size
        types[kind] = (held.size, named_ones if known else None)
    return Bounded(pa.Table.from_pylist(rows, LABELS), limited.conversations, types)


def keyed_noise(keyed: Keyed, release: str) -> Noise:
    """Rounded Gaussian noise that only the run's secret can tell; `release`: key of the release.

    The same release has the same noise. Another one of other data or settings has its own, so that
    their difference shows the noise of both.
    """

    def draw(name: str, scale: float) -> int:
        number = int.from_bytes(keyed.digest(f"noise of {release}", name.encode(), 8), "big")
        return round(scale * float(ndtri((number + 0.5) / 2.0**64)))

    return draw


def _accounts(pairs: Pairs, people: Population, named: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Named accounts of each name."""
    holders = people.accounts[pairs.rows]
    size = len(pairs.names)
    kept = named[holders]
    distinct = np.unique(holders[kept] * max(size, 1) + pairs.codes[kept])
    return np.bincount(distinct % max(size, 1), minlength=size)
