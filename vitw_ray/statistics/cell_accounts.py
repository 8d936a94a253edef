"""How many accounts the conversations of a cell are of, up to the number that decides.

A cell may rest on enough conversations, and all of them be of one account. Whether the accounts are
enough does not depend on which of them are held: a cell with `most` of them has shown it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

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
        return cls.of(most, facet.codes.astype(np.int64), accounts[facet.rows])

    @classmethod
    def of_pairs(cls, most: int, a: CodedFacet, b: CodedFacet, accounts: Integers) -> Self:
        """Of each pair of codes, as `code of a * b.size + code of b`."""
        total = cls.of(most, np.zeros(0, np.int64), np.zeros(0, np.int64))
        for mine, theirs in expand(a, b, accounts.size):
            cells = a.codes[mine].astype(np.int64) * b.size + b.codes[theirs]
            total = total.add(cls.of(most, cells, accounts[a.rows[mine]]))
        return total

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


def hashes_of(accounts: Sequence[str | None]) -> Integers:
    """A number for each account; `UNKNOWN` if there is none."""
    known = {account: id_hash(account) for account in set(accounts) if account is not None}
    return np.array([UNKNOWN if a is None else known[a] for a in accounts], np.int64)
