"""How many accounts the conversations of a cell are of, up to the number that decides.

A cell may rest on enough conversations, and all of them be of one account. Whether the accounts are
enough does not depend on which of them are held: a cell with `most` of them has shown it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from vitw_ray.gate import Mask
from vitw_ray.keys import id_hash
from vitw_ray.statistics.contingency import CodedFacet, Integers, expand

UNKNOWN = -1


@dataclass(frozen=True, slots=True, eq=False)
class CellAccounts:
    """Distinct pairs of a cell and an account, `most` of a cell at most; a monoid under `add`."""

    most: int
    cells: Integers
    accounts: Integers

    @classmethod
    def of(cls, most: int, cells: Integers, accounts: Integers) -> Self:
        """Pairs in any order; those without an account are left out."""
        known = accounts != UNKNOWN
        cells, accounts = cells[known], accounts[known]
        order = np.lexsort((accounts, cells))
        cells, accounts = cells[order], accounts[order]
        is_new = np.ones(cells.size, bool)
        is_new[1:] = (cells[1:] != cells[:-1]) | (accounts[1:] != accounts[:-1])
        cells, accounts = cells[is_new], accounts[is_new]
        first = np.searchsorted(cells, cells)
        kept = np.arange(cells.size) - first < most
        return cls(most, cells[kept], accounts[kept])

    @classmethod
    def of_codes(cls, most: int, facet: CodedFacet, accounts: Integers) -> Self:
        """Of each code of a facet; `accounts` of each conversation of the block."""
        names, place = _places(accounts)
        return cls._of_fused(most, names, [_fused(names, facet.codes, place[facet.rows])])

    @classmethod
    def of_pairs(
        cls, most: int, a: CodedFacet, b: CodedFacet, accounts: Integers, *, rising: bool = False
    ) -> Self:
        """Of each pair of codes, as `code of a * b.size + code of b`.

        With `rising`, only of pairs whose first code is smaller.
        """
        names, place = _places(accounts)
        found = []
        for mine, theirs in expand(a, b, accounts.size):
            first, second, who = a.codes[mine], b.codes[theirs], place[a.rows[mine]]
            if rising:
                kept = first < second
                first, second, who = first[kept], second[kept], who[kept]
            found.append(_fused(names, first.astype(np.int64) * b.size + second, who))
        return cls._of_fused(most, names, found)

    @classmethod
    def _of_fused(cls, most: int, names: Integers, found: Sequence[Integers]) -> Self:
        """From numbers that hold a cell above the place of an account in `names`."""
        fused = np.concatenate([np.zeros(0, np.int64), *found])
        fused.sort()  # one sort of whole numbers costs a tenth of one by two columns
        is_new = np.ones(fused.size, bool)
        is_new[1:] = fused[1:] != fused[:-1]
        fused = fused[is_new]
        bits = _bits(names)
        cells, places = fused >> bits, fused & ((1 << bits) - 1)
        starts = np.ones(cells.size, bool)
        starts[1:] = cells[1:] != cells[:-1]
        number = np.arange(cells.size)
        kept = number - np.maximum.accumulate(np.where(starts, number, 0)) < most
        return cls(most, cells[kept], names[places[kept]])

    def add(self, other: Self) -> Self:
        """The accounts of both blocks."""
        cells, accounts = (
            np.concatenate(both)
            for both in ((self.cells, other.cells), (self.accounts, other.accounts))
        )
        return type(self).of(self.most, cells, accounts)

    def few(self, *shape: int) -> Mask:
        """Whether each cell of a table has too few accounts, or none."""
        size = int(np.prod(shape))
        return (np.bincount(self.cells, minlength=size)[:size] < self.most).reshape(shape)

    def few_of(self, cells: Integers) -> Mask:
        """The same for some cells of a table that is too large to be one."""
        found, counts = np.unique(self.cells, return_counts=True)
        return ~np.isin(cells, found[counts >= self.most])


def _places(accounts: Integers) -> tuple[Integers, Integers]:
    """The known accounts in order, and the place of each conversation's; -1 if there is none."""
    names, place = np.unique(accounts, return_inverse=True)
    unknown = np.flatnonzero(names == UNKNOWN)
    if not unknown.size:
        return names, place
    (gone,) = unknown.tolist()
    place = np.where(place == gone, -1, place - (place > gone))
    return np.delete(names, gone), place


def _bits(names: Integers) -> int:
    return max(names.size - 1, 0).bit_length()


def _fused(names: Integers, cells: NDArray[np.integer], places: Integers) -> Integers:
    """Cells above the places of their accounts; those without an account are left out."""
    known = places >= 0
    return (cells[known].astype(np.int64) << _bits(names)) | places[known]


def hashes_of(accounts: Sequence[str | None]) -> Integers:
    """A number for each account; `UNKNOWN` if there is none."""
    known = {account: id_hash(account) for account in set(accounts) if account is not None}
    return np.array([UNKNOWN if a is None else known[a] for a in accounts], np.int64)
