"""Co-occurrence: how many conversations hold two labels of one facet.

Pairs are indexed as a triangle: labels a < b are pair `b (b - 1) / 2 + a`. Conversations with the
same number of labels form a matrix, and every two of its columns give one pair per row, so there is
no loop over conversations. The triangle is dense if it fits the memory of a worker, else sparse.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Self

import numpy as np
import pyarrow as pa

from vitw_ray.facets import ValueFacet
from vitw_ray.records import COOCCURRENCE
from vitw_ray.statistics.cell_accounts import CellAccounts
from vitw_ray.statistics.contingency import CodedFacet, Integers, SparseCounts, tally_into

DENSE_LABELS = 4096  # ours: a triangle of 67 MB; the paper's 3,307 labels fit
_ROWS = 1 << 15  # ours: conversations per chunk; with 8 labels each, a million pairs


@dataclass(frozen=True, slots=True, eq=False)
class PairCounts:
    """Conversations that hold both labels of each pair; a monoid under `add`, with `zero`."""

    size: int  # labels
    pairs: Integers | SparseCounts  # int64[size (size - 1) / 2], or by pair number

    @classmethod
    def zero(cls, size: int) -> Self:
        """The counts of no conversations."""
        if size > DENSE_LABELS:
            return cls(size, SparseCounts.of(np.zeros(0, np.int64)))
        return cls(size, np.zeros(size * (size - 1) // 2, np.int64))

    @classmethod
    def of(cls, facet: CodedFacet) -> Self:
        """Count one block."""
        pairs = cls.zero(facet.size).pairs
        for keys in _pair_keys(facet):
            if isinstance(pairs, SparseCounts):
                pairs = pairs.add(SparseCounts.of(keys))
            else:
                tally_into(pairs, keys)
        return cls(facet.size, pairs)

    def add(self, other: Self) -> Self:
        """The counts of both blocks. Raises ValueError if the vocabularies differ."""
        if self.size != other.size:
            raise ValueError(f"cannot add pairs of {self.size} and of {other.size} labels")
        if isinstance(self.pairs, SparseCounts) and isinstance(other.pairs, SparseCounts):
            return type(self)(self.size, self.pairs.add(other.pairs))
        assert not isinstance(self.pairs, SparseCounts)
        assert not isinstance(other.pairs, SparseCounts)
        return type(self)(self.size, self.pairs + other.pairs)


def _pair_keys(facet: CodedFacet) -> Iterator[Integers]:
    held = np.bincount(facet.rows)
    first = np.cumsum(held) - held
    below = np.arange(facet.size, dtype=np.int64)
    below = below * (below - 1) // 2  # number of pairs whose larger label is smaller than this
    for labels in np.flatnonzero(np.bincount(held)[2:]) + 2:
        starts = first[held == labels]
        for low in range(0, starts.size, _ROWS):
            # codes[i] holds the i-th label of all conversations
            codes = facet.codes[starts[low : low + _ROWS] + np.arange(labels)[:, None]]
            offsets = below[codes]
            yield np.concatenate([offsets[b] + codes[a] for a, b in combinations(range(labels), 2)])


def cooccurrence(
    counts: PairCounts,
    facet: ValueFacet,
    names: Sequence[str],
    least: int = 1,
    accounts: CellAccounts | None = None,
) -> pa.Table:
    """The table `cooccurrence` of one facet: pairs seen `least` times, in alphabetical order.

    `names` are sorted, one for each code. With `accounts`, of all pairs of codes, pairs of too few
    are left out.
    """
    if len(names) != counts.size:
        raise ValueError(f"{len(names)} names for {counts.size} labels")
    if isinstance(counts.pairs, SparseCounts):
        keys, seen = counts.pairs.keys, counts.pairs.counts
    else:
        keys = np.flatnonzero(counts.pairs)
        seen = counts.pairs[keys]
    keys, seen = keys[seen >= least], seen[seen >= least]
    codes = np.arange(counts.size, dtype=np.int64)
    below = codes * (codes - 1) // 2
    b = np.searchsorted(below, keys, side="right") - 1
    a = keys - below[b] if keys.size else keys
    if accounts is not None:
        enough = ~accounts.few_of(a * counts.size + b)
        a, b, keys, seen = (n[enough] for n in (a, b, keys, seen))
    order = np.lexsort((b, a))
    labels = pa.array(names, pa.string())
    columns = {
        "facet": pa.repeat(facet, keys.size),
        "label_a": labels.take(pa.array(a[order])),
        "label_b": labels.take(pa.array(b[order])),
        "conversations": pa.array(seen[order]),
    }
    return pa.table(columns, schema=COOCCURRENCE)
