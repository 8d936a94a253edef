"""Conversations as codes, and how much one account may contribute.

The unit of privacy is an account: what is released would be nearly as likely if all conversations
of one account were missing. So all conversations of an account weigh as much as a few at most, and
a conversation has few names of a facet. What is left out is decided by keyed hashes of the
conversation and of the name, never by codes or counts: the choice within an account must not depend
on other accounts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Hashes = NDArray[np.uint64]
WEIGHT = 1 << 20  # of one conversation, in integers: noise is exact on integers only


@dataclass(frozen=True)
class Pairs:
    """The distinct (conversation, name) pairs of one facet; `keys` are keyed hashes of names."""

    rows: Integers
    codes: Integers
    names: list[str]
    keys: Hashes

    def take(self, chosen: NDArray[np.bool_] | Integers) -> "Pairs":
        """Some of the pairs."""
        return replace(self, rows=self.rows[chosen], codes=self.codes[chosen])

    def only(self, codes: Integers) -> "Pairs":
        """The pairs of some names, which get codes in this order."""
        to_new = np.full(len(self.names), -1, np.int64)
        to_new[codes] = np.arange(codes.size)
        found = to_new[self.codes]
        held = found >= 0
        names = [self.names[code] for code in codes.tolist()]
        return Pairs(self.rows[held], found[held], names, self.keys[codes])

    def counts(self) -> Integers:
        """Pairs of each name."""
        return np.bincount(self.codes, minlength=len(self.names)).astype(np.int64)

    def weighed(self, weights: Integers) -> Integers:
        """The weights of the conversations of each name; `weights`: of all conversations."""
        return added(self.codes, weights[self.rows], len(self.names))


@dataclass(frozen=True)
class Population:
    """Subjective conversations: account, keyed hash, response type (-1: none) and facets."""

    accounts: Integers
    order: Hashes
    response_types: Integers
    facets: Mapping[str, Pairs]

    @property
    def conversations(self) -> int:
        """Number of conversations."""
        return self.accounts.size


def bound_conversations(population: Population, most: int) -> Population:
    """At most `most` conversations of each account, those with the smallest keyed hashes."""
    chosen = _first_of_each(population.accounts, population.order, most)
    to_new = np.full(population.conversations, -1, np.int64)
    to_new[chosen] = np.arange(chosen.size)
    facets = {}
    for name, pairs in population.facets.items():
        rows = to_new[pairs.rows]
        facets[name] = replace(pairs, rows=rows).take(rows >= 0)
    return Population(
        population.accounts[chosen],
        population.order[chosen],
        population.response_types[chosen],
        facets,
    )


def weigh(population: Population, most: int) -> Integers:
    """The weight of each conversation: those of an account are equal, and `most` at most together.

    An account of s conversations weighs min(s, `most`), so each of them min(s, `most`) / s, rounded
    down. No conversation is left out, and so no error is made by choosing some.
    """
    _, of_account, sizes = np.unique(population.accounts, return_inverse=True, return_counts=True)
    return (WEIGHT * np.minimum(sizes, most) // sizes)[of_account]


def added(codes: Integers, weights: Integers, size: int) -> Integers:
    """The sum of the weights of each code."""
    sums = np.zeros(size, np.int64)
    np.add.at(sums, codes, weights)
    return sums


def bound_pairs(pairs: Pairs, population: Population, most: int) -> Pairs:
    """At most `most` pairs of each account, by a hash of conversation and name."""
    hashes = _hashes(pairs, population)
    return pairs.take(_first_of_each(population.accounts[pairs.rows], hashes, most))


def bound_names(pairs: Pairs, population: Population, most: int) -> Pairs:
    """At most `most` pairs of each conversation, by a hash of conversation and name."""
    return pairs.take(_first_of_each(pairs.rows, _hashes(pairs, population), most))


def _hashes(pairs: Pairs, population: Population) -> Hashes:
    return _mixed(population.order[pairs.rows] ^ pairs.keys[pairs.codes])


def _first_of_each(groups: Integers, hashes: Hashes, most: int) -> Integers:
    """Indices of the `most` smallest hashes of each group, ascending."""
    order = np.lexsort((hashes, groups))
    ordered = groups[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])[: ordered.size]
    sizes = np.diff(np.r_[starts, ordered.size])
    rank = np.arange(ordered.size) - np.repeat(starts, sizes)
    return np.sort(order[rank < most])


def _mixed(values: Hashes) -> Hashes:
    """The finalizer of SplitMix64 (Steele, Lea and Flood, 2014): one-to-one, and well mixed."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
