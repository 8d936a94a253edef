"""Drawing a sample: a conversation is kept when the hash of its id is at most a cutoff.

The hash depends on the id and the seed alone, so the draw does not depend on the order of files or
rows, nor on how they are divided into blocks. The cutoffs come from a sketch: the k smallest
distinct hashes of each group (bottom-k sampling, Cohen and Kaplan 2007). Sketches of blocks merge
to the sketch of all, in any order.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


def sample_hash(conversation_id: str, seed: int) -> int:
    """A hash below 2**64, uniform over ids and unrelated from seed to seed."""
    salt = seed.to_bytes(16, "little", signed=True)
    digest = hashlib.blake2b(conversation_id.encode(), digest_size=8, salt=salt).digest()
    return int.from_bytes(digest, "little")


@dataclass(frozen=True)
class Sketch:
    """The `k` smallest distinct hashes of each group: parallel arrays, sorted by group, then hash.

    Memory: at most k hashes a group, whatever the number of rows.
    """

    k: int
    groups: np.ndarray
    """Names (object; str)."""
    hashes: np.ndarray
    """uint64."""

    @classmethod
    def of(cls, hashes: Sequence[int] | np.ndarray, groups: Sequence[str], k: int) -> "Sketch":
        """Sketch of rows: one hash and one group each. Rows with the same hash count once."""
        return cls(k, *_smallest(_names(groups), np.asarray(hashes, dtype=np.uint64), k))

    def merge(self, *others: "Sketch") -> "Sketch":
        """Sketch of the rows of all together; associative, commutative, idempotent.

        Raises:
            ValueError: another `k`.
        """
        parts = (self, *others)
        if {part.k for part in parts} != {self.k}:
            raise ValueError("sketches of different k do not merge")
        groups = np.concatenate([part.groups for part in parts])
        hashes = np.concatenate([part.hashes for part in parts])
        return Sketch(self.k, *_smallest(groups, hashes, self.k))

    def cutoffs(self) -> dict[str, int]:
        """Cutoffs that keep k rows of a group. A group that is not named has fewer: all are kept.

        This caps accounts: the groups are the accounts, and k is the cap.
        """
        names, counts, ends = self.runs()
        full = counts == self.k
        return dict(zip(names[full], self.hashes[ends[full] - 1].tolist(), strict=True))

    def runs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Each group's name, its number of hashes, and where they end in `hashes`."""
        names, counts = np.unique(self.groups, return_counts=True)
        return names, counts, np.cumsum(counts)


def balanced_cutoffs(sketch: Sketch, size: int) -> dict[str, int]:
    """Cutoffs that keep `size` rows (or all, when there are fewer), evenly over the groups.

    A group with fewer rows than its share gives all, and the others share the rest; those differ by
    one row at most. A group that is not named keeps nothing. One group is a plain sample.

    Raises:
        ValueError: `size` is above `k`: the sketch may lack hashes that are needed.
    """
    if size > sketch.k:
        raise ValueError(f"a sketch of {sketch.k} hashes cannot give a sample of {size}")
    names, counts, ends = sketch.runs()
    quotas = np.array(even_quotas(counts, size), dtype=np.int64)
    drawn = quotas > 0
    last = (ends - counts + quotas)[drawn] - 1
    return dict(zip(names[drawn], sketch.hashes[last].tolist(), strict=True))


def even_quotas(counts: Sequence[int] | np.ndarray, size: int) -> list[int]:
    """Divide `size` over groups with so many rows each, as evenly as they allow.

    Returns:
        For each group at most its count; together `size`, or all rows. What is left over from an
        even division goes to the largest groups, of equals to the last.
    """
    quotas = [0] * len(counts)
    left = size
    ascending = sorted(range(len(counts)), key=lambda group: (counts[group], group))
    for place, group in enumerate(ascending):
        quotas[group] = min(int(counts[group]), left // (len(counts) - place))
        left -= quotas[group]
    return quotas


def _names(groups: Sequence[str]) -> np.ndarray:
    names = np.empty(len(groups), dtype=object)  # as object: one long name must not widen them all
    names[:] = groups
    return names


def _smallest(groups: np.ndarray, hashes: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each group the k smallest distinct hashes, sorted."""
    names, codes = np.unique(groups, return_inverse=True)
    order = np.lexsort((hashes, codes))
    codes, hashes = codes[order], hashes[order]
    distinct = np.ones(len(hashes), dtype=bool)
    distinct[1:] = (codes[1:] != codes[:-1]) | (hashes[1:] != hashes[:-1])
    codes, hashes = codes[distinct], hashes[distinct]
    starts = np.searchsorted(codes, codes, side="left")
    small = np.arange(len(codes)) - starts < k
    return names[codes[small]], hashes[small]
