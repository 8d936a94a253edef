"""Sampling: a conversation is kept if the hash of its id is at most a cutoff.

The hash depends only on the id and the seed, so the sample does not depend on the order of files
or rows, or on how they are divided into blocks. The cutoffs come from a sketch: the k smallest
distinct hashes of each group (bottom-k sampling, Cohen and Kaplan 2007). Sketches of blocks merge,
in any order, into the sketch of all rows.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


def sample_hash(conversation_id: str, seed: int) -> int:
    """A hash below 2**64, uniform over ids and independent between seeds."""
    salt = seed.to_bytes(16, "little", signed=True)
    digest = hashlib.blake2b(conversation_id.encode(), digest_size=8, salt=salt).digest()
    return int.from_bytes(digest, "little")


@dataclass(frozen=True)
class Sketch:
    """The `k` smallest distinct hashes of each group: parallel arrays, sorted by group, then hash.

    Memory is at most k hashes per group, independent of the number of rows.
    """

    k: int
    groups: np.ndarray
    """Names (object; str)."""
    hashes: np.ndarray
    """uint64."""

    @classmethod
    def of(cls, hashes: Sequence[int] | np.ndarray, groups: Sequence[str], k: int) -> "Sketch":
        """Sketch of rows, given the hash and group of each. Rows with the same hash count once."""
        return cls(k, *_smallest(_names(groups), np.asarray(hashes, dtype=np.uint64), k))

    def merge(self, *others: "Sketch") -> "Sketch":
        """Sketch of the rows of all sketches; associative, commutative, idempotent.

        Raises:
            ValueError: the sketches differ in `k`.
        """
        parts = (self, *others)
        if {part.k for part in parts} != {self.k}:
            raise ValueError("sketches of different k do not merge")
        groups = np.concatenate([part.groups for part in parts])
        hashes = np.concatenate([part.hashes for part in parts])
        return Sketch(self.k, *_smallest(groups, hashes, self.k))

    def cutoffs(self) -> dict[str, int]:
        """Cutoffs that keep k rows per group. A group without a cutoff has fewer: all are kept.

        Used to cap accounts: the groups are the accounts, and k is the cap.
        """
        names, counts, ends = self.runs()
        full = counts == self.k
        return dict(zip(names[full], self.hashes[ends[full] - 1].tolist(), strict=True))

    def runs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Each group's name, its number of hashes, and the end of its slice of `hashes`."""
        names, counts = np.unique(self.groups, return_counts=True)
        return names, counts, np.cumsum(counts)


def balanced_cutoffs(sketch: Sketch, size: int) -> dict[str, int]:
    """Cutoffs that keep `size` rows (or all, if there are fewer), evenly over the groups.

    A group with fewer rows than its share keeps all of them, and the remainder is divided among the
    others; these differ by at most one row. A group without a cutoff keeps no rows. With one group
    this is a simple random sample.

    Raises:
        ValueError: `size` exceeds `k`, so the sketch may lack hashes that are needed.
    """
    if size > sketch.k:
        raise ValueError(f"a sketch of {sketch.k} hashes cannot give a sample of {size}")
    names, counts, ends = sketch.runs()
    quotas = np.array(even_quotas(counts, size), dtype=np.int64)
    drawn = quotas > 0
    last = (ends - counts + quotas)[drawn] - 1
    return dict(zip(names[drawn], sketch.hashes[last].tolist(), strict=True))


def even_quotas(counts: Sequence[int] | np.ndarray, size: int) -> list[int]:
    """Divide `size` over groups as evenly as their row counts allow.

    Returns:
        The quota of each group, at most its count. Quotas add up to `size`, or to all rows if there
        are fewer. The remainder of an even division goes to the largest groups; among equals, to
        the last.
    """
    quotas = [0] * len(counts)
    left = size
    ascending = sorted(range(len(counts)), key=lambda group: (counts[group], group))
    for place, group in enumerate(ascending):
        quotas[group] = min(int(counts[group]), left // (len(counts) - place))
        left -= quotas[group]
    return quotas


def _names(groups: Sequence[str]) -> np.ndarray:
    names = np.empty(len(groups), dtype=object)  # a fixed-width dtype would widen to the longest
    names[:] = groups
    return names


def _smallest(groups: np.ndarray, hashes: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k smallest distinct hashes of each group, sorted."""
    names, codes = np.unique(groups, return_inverse=True)
    order = np.lexsort((hashes, codes))
    codes, hashes = codes[order], hashes[order]
    distinct = np.ones(len(hashes), dtype=bool)
    distinct[1:] = (codes[1:] != codes[:-1]) | (hashes[1:] != hashes[:-1])
    codes, hashes = codes[distinct], hashes[distinct]
    starts = np.searchsorted(codes, codes, side="left")
    small = np.arange(len(codes)) - starts < k
    return names[codes[small]], hashes[small]
