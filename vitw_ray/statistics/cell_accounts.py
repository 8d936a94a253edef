"""Whether the conversations of a cell are of enough accounts.

A cell may rest on enough conversations, and all of them be of one account. A cell that has shown
enough accounts is full: from then on it is only named, and no account of it is looked at.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vitw_ray.gate import Mask
from vitw_ray.keys import id_hash
from vitw_ray.statistics.contingency import CodedFacet, Integers, code_of_row, expand
from vitw_ray.stored_tables import one_array

UNKNOWN = -1
FIRST_ROWS = 1 << 14  # ours: conversations after which frequent cells are full
GROWTH = 4  # ours: by how much each next step is larger
MOST_FLAGS = 1 << 25  # ours: cells of a table that has a flag for each, 32 MB


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """The account of each conversation of a block: its place in `names`, -1 if unknown."""

    names: Integers
    place: Integers

    @classmethod
    def of(cls, accounts: Integers) -> Self:
        """From a number for each account, `UNKNOWN` if there is none."""
        names, place = np.unique(accounts, return_inverse=True)
        unknown = np.flatnonzero(names == UNKNOWN)
        if not unknown.size:
            return cls(names, place)
        (gone,) = unknown.tolist()
        place = np.where(place == gone, -1, place - (place > gone))
        return cls(np.delete(names, gone), place)


@dataclass(frozen=True, slots=True, eq=False)
class CellAccounts:
    """Cells with `most` accounts, and distinct pairs of other cells and accounts; a monoid.

    The same conversations give the same arrays, in whatever order they are added.
    """

    most: int
    full: Integers  # sorted
    cells: Integers  # sorted, with the account
    accounts: Integers

    @classmethod
    def of(cls, most: int, cells: Integers, accounts: Integers) -> Self:
        """Pairs in any order; those without an account are left out."""
        known = accounts != UNKNOWN
        return cls._of_known(most, np.zeros(0, np.int64), cells[known], accounts[known])

    @classmethod
    def _of_known(cls, most: int, full: Integers, cells: Integers, accounts: Integers) -> Self:
        order = np.lexsort((accounts, cells))
        cells, accounts = cells[order], accounts[order]
        is_new = np.ones(cells.size, bool)
        is_new[1:] = (cells[1:] != cells[:-1]) | (accounts[1:] != accounts[:-1])
        cells, accounts = cells[is_new], accounts[is_new]
        starts, sizes = _runs(cells)
        is_open = np.repeat(sizes < most, sizes)
        more = cells[starts[sizes >= most]]
        return cls(most, np.union1d(full, more), cells[is_open], accounts[is_open])

    @classmethod
    def of_codes(
        cls, most: int, facet: CodedFacet, people: People, full: Integers | None = None
    ) -> Self:
        """Of each code of a facet, but for those that are known to be full."""
        found = _Found(most, people, facet.size, full)
        found.add(facet.codes.astype(np.int64), facet.rows)
        return cls(most, *found.cells_and_accounts())

    @classmethod
    def of_pairs(
        cls,
        most: int,
        a: CodedFacet,
        b: CodedFacet,
        people: People,
        full: Integers | None = None,
        *,
        rising: bool = False,
    ) -> Self:
        """Of each pair of codes, as `code of a * b.size + code of b`.

        With `rising`, only of pairs whose first code is smaller. Pairs that other blocks have shown
        to be `full` are left out.
        """
        present = np.flatnonzero(b.presence)  # periods are few of many codes
        narrow = np.cumsum(b.presence > 0) - 1
        if full is not None:
            first, second = np.divmod(full, b.size)
            here = b.presence[second] > 0
            full = first[here] * present.size + narrow[second[here]]
        found = _Found(most, people, a.size * present.size, full)
        for first, second, rows in _joined(a, b, people.place.size):
            if rising:
                kept = first < second
                first, second, rows = first[kept], second[kept], rows[kept]
            found.add(first.astype(np.int64) * present.size + narrow[second], rows)
        more, cells, accounts = found.cells_and_accounts()
        width = max(present.size, 1)
        more, cells = (n // width * b.size + present[n % width] for n in (more, cells))
        return cls(most, more, cells, accounts)

    def add(self, other: Self) -> Self:
        """The accounts of both blocks."""
        full = np.union1d(self.full, other.full)
        left = [part._without(full) for part in (self, other)]
        cells, accounts = (np.concatenate([pair[n] for pair in left]) for n in (0, 1))
        return type(self)._of_known(self.most, full, cells, accounts)

    def _without(self, full: Integers) -> tuple[Integers, Integers]:
        if full.size == self.full.size:  # a union that is no larger has nothing new
            return self.cells, self.accounts
        place = np.minimum(np.searchsorted(full, self.cells), full.size - 1)
        left = full[place] != self.cells
        return self.cells[left], self.accounts[left]

    def few(self, *shape: int) -> Mask:
        """Whether each cell of a table has too few accounts, or none."""
        mask = np.ones(int(np.prod(shape)), bool)
        mask[self.full[: np.searchsorted(self.full, mask.size)]] = False
        return mask.reshape(shape)

    def few_of(self, cells: Integers) -> Mask:
        """The same for some cells of a table that is too large to be one."""
        return ~np.isin(cells, self.full)


class _Found:
    """Distinct pairs of cells and accounts of one block, until a cell is full."""

    def __init__(self, most: int, people: People, cells: int, full: Integers | None = None) -> None:
        self.most, self.people = most, people
        self.bits = max(people.names.size - 1, 0).bit_length()
        self.is_full = np.zeros(cells, bool) if cells <= MOST_FLAGS else None
        self.any_full = self.is_full is not None and full is not None and full.size > 0
        if self.is_full is not None and full is not None:
            self.is_full[full] = True
        self.full: list[Integers] = []
        self.held = np.zeros(0, np.int64)  # a cell above the place of an account

    def add(self, cells: Integers, rows: Integers) -> None:
        """Pairs of a cell and a conversation."""
        if self.any_full and self.is_full is not None:
            still = ~self.is_full[cells]
            cells, rows = cells[still], rows[still]
        places = self.people.place[rows]
        known = places >= 0
        if not known.all():
            cells, places = cells[known], places[known]
        held = np.concatenate([self.held, (cells << self.bits) | places])
        held.sort()  # one sort of whole numbers costs a tenth of one by two columns
        is_new = np.ones(held.size, bool)
        is_new[1:] = held[1:] != held[:-1]
        held = held[is_new]
        cells = held >> self.bits
        starts, sizes = _runs(cells)
        more = cells[starts[sizes >= self.most]]
        if self.is_full is not None:
            self.held = held[np.repeat(sizes < self.most, sizes)]
            self.is_full[more] = True
            self.full.append(more)
            self.any_full |= more.size > 0
        else:
            self.held = held

    def cells_and_accounts(self) -> tuple[Integers, Integers, Integers]:
        """Full cells, and pairs of the others, in order."""
        cells, places = self.held >> self.bits, self.held & ((1 << self.bits) - 1)
        found = np.concatenate([np.zeros(0, np.int64), *self.full])
        found.sort()
        if self.is_full is None:
            starts, sizes = _runs(cells)
            found, is_open = cells[starts[sizes >= self.most]], np.repeat(sizes < self.most, sizes)
            cells, places = cells[is_open], places[is_open]
        return found, cells, self.people.names[places]


def _runs(cells: Integers) -> tuple[Integers, Integers]:
    """Starts and lengths of runs of equal numbers."""
    is_first = np.ones(cells.size, bool)
    is_first[1:] = cells[1:] != cells[:-1]
    starts = np.flatnonzero(is_first)
    return starts, np.diff(np.append(starts, cells.size))


def _joined(
    a: CodedFacet, b: CodedFacet, n_rows: int
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32], Integers]]:
    """Both codes, and the conversation, of each pair; few conversations first, then more."""
    end, size = 0, FIRST_ROWS
    of_a, of_b = (code_of_row(f, n_rows) if f.is_single else None for f in (a, b))
    while end < n_rows:
        start, end, size = end, min(end + size, n_rows), size * GROWTH
        low_a, high_a, low_b, high_b = (
            int(place) for f in (a, b) for place in np.searchsorted(f.rows, (start, end))
        )
        if of_b is not None:
            first, rows = a.codes[low_a:high_a], a.rows[low_a:high_a]
            second = of_b[rows]
            kept = second >= 0
            yield first[kept], second[kept], rows[kept]
        elif of_a is not None:
            second, rows = b.codes[low_b:high_b], b.rows[low_b:high_b]
            first = of_a[rows]
            kept = first >= 0
            yield first[kept], second[kept], rows[kept]
        else:
            left, right = (
                CodedFacet(f.rows[low:high] - start, f.codes[low:high], f.size)
                for f, low, high in ((a, low_a, high_a), (b, low_b, high_b))
            )
            for mine, theirs in expand(left, right, end - start):
                yield left.codes[mine], right.codes[theirs], left.rows[mine] + start


def hashes_of(accounts: pa.ChunkedArray) -> Integers:
    """A number for the account of each conversation; `UNKNOWN` if there is none."""
    encoded = one_array(accounts).dictionary_encode()
    known = [id_hash(account) for account in encoded.dictionary.to_pylist()]
    places = encoded.indices.fill_null(len(known)).to_numpy()
    return np.array([*known, UNKNOWN], np.int64)[places]
