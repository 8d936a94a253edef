"""The support of tasks: which phrases, words and clusters of tasks may be shown.

A task is free text, so a cluster of tasks, its name and every word of its name pass the gate in
conversations and in accounts. Clusters that do not pass are merged with the others of their parent,
so that counts still add up.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitw_ray.config import LabelsConfig
from vitw_ray.gate import may_be_shown, shown_beside_the_rest
from vitw_ray.taxonomy.hierarchy import Parents
from vitw_ray.taxonomy.vectors.texts import least_of_each

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Gate:
    """The thresholds, and whether any conversation of the run names its account."""

    thresholds: LabelsConfig
    known: bool

    @property
    def most(self) -> int:
        """So many accounts of a thing are held: more decide nothing."""
        return self.thresholds.min_accounts if self.known else 0


@dataclass(frozen=True, eq=False)
class SupportCounts:
    """Conversations of some things, and accounts of each up to the number that decides; a monoid.

    Attributes:
        keys: (n,) numbers of the things, sorted.
        conversations: (n,) of each.
        owners: (m,) the things of pairs (thing, account), sorted.
        people: (m,) hashes of their accounts.
    """

    keys: Integers
    conversations: Integers
    owners: Integers
    people: Integers

    @classmethod
    def of(
        cls,
        keys: Integers,
        conversations: Integers,
        owners: Integers,
        people: Integers,
        most: int,
    ) -> "SupportCounts":
        """Add up what was counted; keys and pairs may repeat."""
        distinct, place = np.unique(keys, return_inverse=True)
        sums = np.zeros(len(distinct), np.int64)
        np.add.at(sums, place, conversations)
        return cls(distinct, sums, *least_of_each(owners, people, most))

    @classmethod
    def sum(cls, counts: Sequence["SupportCounts"], most: int) -> "SupportCounts":
        """What all of them counted."""
        none = np.empty(0, np.int64)
        return cls.of(
            np.concatenate([none, *(one.keys for one in counts)]),
            np.concatenate([none, *(one.conversations for one in counts)]),
            np.concatenate([none, *(one.owners for one in counts)]),
            np.concatenate([none, *(one.people for one in counts)]),
            most,
        )

    def above(self, parents: Parents, most: int) -> "SupportCounts":
        """Of the parents of these clusters."""
        upper = parents.astype(np.int64)
        return SupportCounts.of(
            upper[self.keys], self.conversations, upper[self.owners], self.people, most
        )

    def without(self, key: int) -> "SupportCounts":
        """Of all things but this one."""
        things, pairs = self.keys != key, self.owners != key
        return SupportCounts(
            self.keys[things], self.conversations[things], self.owners[pairs], self.people[pairs]
        )

    def numbered(self) -> "SupportCounts":
        """The things numbered from 0, in the order of their keys."""
        owners = np.searchsorted(self.keys, self.owners)
        return SupportCounts(np.arange(len(self.keys)), self.conversations, owners, self.people)

    def accounts(self) -> Integers:
        """(n,) how many accounts of each are held."""
        ends = np.searchsorted(self.owners, self.keys, side="right")
        return ends - np.searchsorted(self.owners, self.keys)

    def passing(self, gate: Gate) -> Integers:
        """The things that may be shown."""
        accounts = self.accounts() if gate.known else None
        return self.keys[may_be_shown(self.conversations, accounts, gate.thresholds)]

    def people_of_each(self) -> list[set[int]]:
        """The accounts that are held of each."""
        starts = np.searchsorted(self.owners, self.keys).tolist()
        ends = np.searchsorted(self.owners, self.keys, side="right").tolist()
        pairs = zip(starts, ends, strict=True)
        return [set(self.people[low:high].tolist()) for low, high in pairs]


@dataclass(frozen=True)
class Gated:
    """Levels in which every cluster passes, and on each the clusters that were merged.

    `lowest` is the new number of each cluster of the first level.
    """

    lowest: Parents
    upper: list[Parents]
    merged: list[set[int]]


def merge_rare(upper: Sequence[Parents], support: SupportCounts, gate: Gate) -> Gated | None:
    """Merge the clusters that do not pass, per parent and from the top down; None if none passes.

    A merged cluster passes too: if the rare ones of a parent do not pass together, the smallest of
    the others joins them.

    Args:
        upper: parents of the clusters of all levels but the last.
        support: of the clusters of the first level, all of which have conversations.
        gate: what passes.
    """
    counts = [support]
    for parents in upper:
        counts.append(counts[-1].above(parents, gate.most))
    family = np.zeros(len(counts[-1].keys), np.int64)
    found: list[tuple[Integers, set[int]]] = []
    for level in reversed(range(len(counts))):
        conversations = counts[level].conversations.tolist()
        accounts = counts[level].people_of_each() if gate.known else None
        new, merged = _merged_within(family, conversations, accounts, gate.thresholds)
        if level == len(upper) and not _passes(new, conversations, accounts, gate.thresholds):
            return None
        found.append((new, merged))
        if level:
            family = new[upper[level - 1]]
    found.reverse()
    gated: list[Parents] = []
    for level, parents_of in enumerate(upper):
        below, above = found[level][0], found[level + 1][0]
        parents = np.zeros(int(below.max()) + 1, np.int32)
        parents[below] = above[parents_of]
        gated.append(parents)
    return Gated(found[0][0].astype(np.int32), gated, [merged for _, merged in found])


def _passes(
    new: Integers,
    conversations: Sequence[int],
    accounts: Sequence[set[int]] | None,
    thresholds: LabelsConfig,
) -> bool:
    """Whether all clusters of the top level together pass; with one of them shown, they do."""
    if not len(new):
        return False
    people = None if accounts is None else len(set[int]().union(*accounts))
    return bool(may_be_shown(sum(conversations), people, thresholds))


def _merged_within(
    family: Integers,
    conversations: Sequence[int],
    accounts: Sequence[set[int]] | None,
    thresholds: LabelsConfig,
) -> tuple[Integers, set[int]]:
    """New numbers of the clusters of a level, and which of them stand for merged clusters.

    A parent whose clusters are all merged has one cluster, which is itself: it is not among these.
    """
    new, merged, number = np.empty(len(family), np.int64), set[int](), 0
    for parent in range(int(family.max(initial=-1)) + 1):
        children = np.flatnonzero(family == parent).tolist()
        shown = shown_beside_the_rest(
            [conversations[child] for child in children],
            None if accounts is None else [accounts[child] for child in children],
            thresholds,
        )
        for child, one in zip(children, shown, strict=True):
            if one:
                new[child], number = number, number + 1
        rest = [child for child, one in zip(children, shown, strict=True) if not one]
        if rest:
            new[rest] = number
            if any(shown):
                merged.add(number)
            number += 1
    return new, merged
