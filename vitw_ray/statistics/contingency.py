"""Contingency tables: how many conversations hold a value, and how many hold two codes.

Input: a block of conversations as codes, one `CodedFacet` per column. Output: `Counts`, integer
tables that merge by addition. Integer addition is exact and has no order, so every split of the
rows, every order of the blocks and every retry gives the same bits. One value counts once per
conversation: a `CodedFacet` holds each pair once.

The matrix is filled from fused keys (`row code * columns + column code`), one chunk at a time.
Memory is the matrix, the input and one chunk; the matrix conversations x labels is never built.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Integers = NDArray[np.int64]

_CHUNK = 1 << 20  # ours: keys per chunk, 8 MB for each of about five temporaries


def deduplicate(rows: ArrayLike, codes: ArrayLike) -> tuple[Integers, NDArray[np.int32]]:
    """Sorted, distinct pairs (row, code): the form that `CodedFacet` requires."""
    row, code = np.asarray(rows, np.int64), np.asarray(codes, np.int64)
    if not row.size:
        return row, code.astype(np.int32)
    bits = int(code.max()).bit_length()  # shifts: a division costs as much as the sort
    fused = (row << bits) | code
    if _rises(fused):
        return row, code.astype(np.int32)
    fused.sort()  # sorting and comparing is faster than np.unique, which hashes
    fused = fused[np.concatenate([[True], fused[1:] != fused[:-1]])]
    return fused >> bits, (fused & ((1 << bits) - 1)).astype(np.int32)


@dataclass(frozen=True, eq=False)
class CodedFacet:
    """The codes of one vocabulary that each conversation of a block holds, as pairs.

    `rows` (int64) is the index of the conversation in its block, `codes` (int32) the label,
    0 .. size - 1. Pairs are sorted by (row, code) and distinct; `deduplicate` makes them so. Raises
    ValueError otherwise.
    """

    rows: Integers
    codes: NDArray[np.int32]
    size: int

    def __post_init__(self) -> None:
        """Reject pairs that would give wrong counts without an error."""
        if self.rows.shape != self.codes.shape or self.rows.ndim != 1:
            raise ValueError(f"rows {self.rows.shape} and codes {self.codes.shape} differ in shape")
        if not self.codes.size:
            return
        if self.rows[0] < 0 or self.codes.min() < 0 or self.codes.max() >= self.size:
            raise ValueError(f"a row is negative, or a code is outside 0 .. {self.size - 1}")
        if not _rises(self.rows * self.size + self.codes):
            raise ValueError("pairs are not sorted or not distinct: pass them to deduplicate()")

    @cached_property
    def is_single(self) -> bool:
        """Whether no conversation holds more than one code, as with tasks and response types."""
        return _rises(self.rows)

    @cached_property
    def presence(self) -> Integers:
        """Conversations that hold each code: int64[size]."""
        return np.bincount(self.codes, minlength=self.size).astype(np.int64, copy=False)


@dataclass(frozen=True, slots=True)
class Axis:
    """Labels of the rows or columns of a matrix: `names[i]` is the name of code i."""

    facet: str
    names: Sequence[str]
    level: int = 0


def to_ancestors(facet: CodedFacet, ancestor: ArrayLike, size: int) -> CodedFacet:
    """The facet at a higher level: `ancestor[code]` is the new code, or -1 to drop the pair.

    Two labels under one ancestor become one pair: an ancestor also counts once per conversation.
    """
    mapped = np.asarray(ancestor, np.int32)[facet.codes]
    known = mapped >= 0
    return CodedFacet(*deduplicate(facet.rows[known], mapped[known]), size)


def code_of_row(facet: CodedFacet, n_rows: int) -> NDArray[np.int32]:
    """The code of each conversation, int32[n_rows]; -1 if it has none."""
    if not facet.is_single:
        raise ValueError("a conversation holds more than one code")
    _check_rows(facet, n_rows)
    code = np.full(n_rows, -1, np.int32)
    code[facet.rows] = facet.codes
    return code


def cross(a: CodedFacet, b: CodedFacet, n_rows: int) -> Integers:
    """Conversations that hold both codes, int64[a.size, b.size], of `n_rows` conversations."""
    if a.is_single and not b.is_single:
        return np.ascontiguousarray(cross(b, a, n_rows).T)  # one lookup instead of an expansion
    matrix = np.zeros(a.size * b.size, np.int64)
    for keys in fused_keys(a, b, n_rows):
        tally_into(matrix, keys)
    return matrix.reshape(a.size, b.size)


def cross_tally(a: CodedFacet, b: CodedFacet, n_rows: int) -> "SparseCounts":
    """As `cross`, sparse, for large matrices: keys are `code of a * b.size + code of b`."""
    total = SparseCounts.of(np.zeros(0, np.int64))
    for keys in fused_keys(a, b, n_rows):
        total = total.add(SparseCounts.of(keys))
    return total


def tally_into(counts: Integers, keys: Integers) -> None:
    """Add 1 to `counts` at each key, in place."""
    if keys.size < counts.size:
        np.add.at(counts, keys, 1)  # writes only the cells that change
    else:
        counts += np.bincount(keys, minlength=counts.size)


def fused_keys(a: CodedFacet, b: CodedFacet, n_rows: int) -> Iterator[Integers]:
    """A key for each pair of codes that a conversation holds, about `_CHUNK` at a time."""
    _check_rows(a, n_rows)
    _check_rows(b, n_rows)
    yield from (_keys_by_lookup if b.is_single else _keys_by_expansion)(a, b, n_rows)


def _keys_by_lookup(a: CodedFacet, b: CodedFacet, n_rows: int) -> Iterator[Integers]:
    """Fused keys if each conversation has at most one code of `b`."""
    b_of_row = code_of_row(b, n_rows)
    everywhere = b.rows.size == n_rows
    for start in range(0, a.rows.size, _CHUNK):
        partner = b_of_row[a.rows[start : start + _CHUNK]]
        keys = a.codes[start : start + _CHUNK].astype(np.int64) * b.size + partner
        yield keys if everywhere else keys[partner >= 0]


def _keys_by_expansion(a: CodedFacet, b: CodedFacet, n_rows: int) -> Iterator[Integers]:
    """Fused keys of every pair of codes within a conversation, at most `_CHUNK` at a time."""
    for mine, theirs in expand(a, b, n_rows):
        yield a.codes[mine].astype(np.int64) * b.size + b.codes[theirs]


def expand(a: CodedFacet, b: CodedFacet, n_rows: int) -> Iterator[tuple[Integers, Integers]]:
    """Join `a` and `b` on the conversation: yields index arrays into the pairs of both.

    Joins each pair of `a` with the first pair of `b` in its conversation, then with the second, and
    so on, so that only indices that give a key are computed.
    """
    held = np.bincount(b.rows, minlength=n_rows)
    first_of_row = np.cumsum(held) - held
    for start in range(0, a.rows.size, _CHUNK):
        rows = a.rows[start : start + _CHUNK]
        left, theirs = held[rows], first_of_row[rows]
        mine = np.arange(start, start + rows.size)
        while mine.size:
            more = left > 0
            if not more.all():
                mine, theirs, left = mine[more], theirs[more], left[more]
            yield mine, theirs
            theirs, left = theirs + 1, left - 1


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """A contingency table and its margins; a monoid under `add`, with `zero`.

    A conversation may hold several codes of a facet. Therefore margins are counted, not summed from
    the matrix, and every cell is its own 2 x 2 table over `conversations`.
    """

    conversations: int
    rows: Integers  # [rows]: conversations that hold the row's code
    columns: Integers  # [columns]
    both: Integers  # [rows, columns]

    @classmethod
    def zero(cls, rows: int, columns: int) -> Self:
        """The table of no conversations."""
        shapes = (rows, columns, (rows, columns))
        return cls(0, *(np.zeros(shape, np.int64) for shape in shapes))

    @classmethod
    def of(cls, rows: CodedFacet, columns: CodedFacet, n_rows: int) -> Self:
        """The table of one block of `n_rows` conversations."""
        return cls(n_rows, rows.presence, columns.presence, cross(rows, columns, n_rows))

    def add(self, other: Self) -> Self:
        """The table of both blocks. Raises ValueError if the vocabularies differ."""
        if self.both.shape != other.both.shape:
            raise ValueError(f"cannot add tables of {self.both.shape} and {other.both.shape}")
        return type(self)(
            *(getattr(self, part.name) + getattr(other, part.name) for part in fields(self))
        )


@dataclass(frozen=True, slots=True, eq=False)
class GroupCounts:
    """How many conversations of each column hold each code; sparse, a monoid under `add`.

    There are `width` columns, for example assistants x tasks. Keys of `columns` are columns, keys
    of `both` are `code * width + column`.
    """

    width: int
    columns: "SparseCounts"
    both: "SparseCounts"

    @classmethod
    def of(cls, rows: CodedFacet, columns: CodedFacet, n_rows: int) -> Self:
        """Count one block; a conversation is in at most one column."""
        in_column = SparseCounts.of(columns.codes.astype(np.int64))
        return cls(columns.size, in_column, cross_tally(rows, columns, n_rows))

    def add(self, other: Self) -> Self:
        """The counts of both blocks. Raises ValueError if the columns differ."""
        if self.width != other.width:
            raise ValueError(f"cannot add counts of {self.width} and {other.width} columns")
        both = self.both.add(other.both)
        return type(self)(self.width, self.columns.add(other.columns), both)


@dataclass(frozen=True, slots=True, eq=False)
class SparseCounts:
    """Sparse counts, for key spaces too large for a matrix: sorted `keys`, each with its count."""

    keys: Integers
    counts: Integers

    @classmethod
    def of(cls, keys: Integers, counts: Integers | None = None) -> Self:
        """Count keys, in any order, each with weight 1 or its own count."""
        if counts is None:  # sorting costs a fifth of finding the order
            ordered = np.sort(keys)
            starts = _starts(ordered)
            return cls(ordered[starts], np.diff(np.append(starts, keys.size)))
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        starts = _starts(ordered)
        sums = np.add.reduceat(counts[order], starts) if starts.size else counts
        return cls(ordered[starts], sums)

    def add(self, other: Self) -> Self:
        """The counts of both."""
        return type(self).of(
            np.concatenate([self.keys, other.keys]), np.concatenate([self.counts, other.counts])
        )


def _starts(ordered: Integers) -> NDArray[np.intp]:
    """Where each run of equal keys starts."""
    is_first = np.ones(ordered.size, bool)
    is_first[1:] = ordered[1:] != ordered[:-1]
    return np.flatnonzero(is_first)


def _rises(keys: NDArray[np.integer]) -> bool:
    return bool(np.all(keys[1:] > keys[:-1]))


def _check_rows(facet: CodedFacet, n_rows: int) -> None:
    if facet.rows.size and facet.rows[-1] >= n_rows:
        raise ValueError(f"row {facet.rows[-1]} in a block of {n_rows} conversations")
