"""Residuals of associations if the conversations of one account are not independent.

A second pass counts the significant cells of the first, per group of accounts (`account_groups`).
If every conversation has a different account, the residual by account equals the plain one up to
chance.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from vitw_ray.intervals import Floats, share
from vitw_ray.statistics.account_groups import standard_error
from vitw_ray.statistics.contingency import CodedFacet, Integers, cross, deduplicate, expand
from vitw_ray.statistics.residuals import adjusted_residual


@dataclass(frozen=True, slots=True, eq=False)
class ClusteredCounts:
    """Chosen cells of one matrix, and its margins, in each group; a monoid under `add`."""

    conversations: Integers  # [groups]
    rows: Integers  # [rows, groups]
    columns: Integers  # [columns, groups]
    both: Integers  # [cells, groups]

    @classmethod
    def of(cls, rows: CodedFacet, columns: CodedFacet, cells: Integers, group: CodedFacet) -> Self:
        """Count one block; `cells` are sorted keys `row code * columns + column code`."""
        n_rows = group.rows.size
        held = _cells(rows, columns, cells, n_rows)
        return cls(
            group.presence, *(cross(facet, group, n_rows) for facet in (rows, columns, held))
        )

    def add(self, other: Self) -> Self:
        """The counts of both blocks."""
        return type(self)(
            self.conversations + other.conversations,
            self.rows + other.rows,
            self.columns + other.columns,
            self.both + other.both,
        )


def _cells(rows: CodedFacet, columns: CodedFacet, cells: Integers, n_rows: int) -> CodedFacet:
    """The chosen cells that each conversation is in."""
    found_rows, found = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for mine, theirs in expand(rows, columns, n_rows):
        keys = rows.codes[mine].astype(np.int64) * columns.size + columns.codes[theirs]
        place = np.searchsorted(cells, keys)
        chosen = cells[np.minimum(place, cells.size - 1)] == keys
        found_rows.append(rows.rows[mine[chosen]])
        found.append(place[chosen])
    pairs = deduplicate(np.concatenate(found_rows), np.concatenate(found))
    return CodedFacet(*pairs, cells.size)


def residuals_by_account(counts: ClusteredCounts, cells: Integers) -> Floats:
    """Residual of each chosen cell, [cells]: the plain one over the root of its design effect.

    The design effect is the variance of the cell's excess between groups, divided by the variance
    with independent conversations. A value below 1 is due to chance and set to 1. NaN with fewer
    than two groups.
    """
    row, column = np.divmod(cells, counts.columns.shape[0])
    groups = np.flatnonzero(counts.conversations)
    n = int(counts.conversations.sum())
    both, rows, columns = (c.sum(axis=1) for c in (counts.both, counts.rows, counts.columns))
    rows, columns = rows[row], columns[column]
    if groups.size < 2:
        return np.full(cells.shape, np.nan)
    without = np.array(
        [
            _excess(
                both - counts.both[:, g],
                rows - counts.rows[row, g],
                columns - counts.columns[column, g],
                n - int(counts.conversations[g]),
            )
            for g in groups
        ]
    )
    independent = _independent_variance(both, rows, columns, n)
    effect = share(standard_error(without) ** 2, independent)
    return adjusted_residual(both, rows, columns, n) / np.sqrt(np.maximum(effect, 1.0))


def _excess(both: Integers, rows: Integers, columns: Integers, n: int) -> Floats:
    """Share of a cell minus the product of its margins."""
    return both / n - (rows / n) * (columns / n)


def _independent_variance(both: Integers, rows: Integers, columns: Integers, n: int) -> Floats:
    """Variance of the excess of n independent conversations: of (x - row)(y - column), over n."""
    r, c = rows / n, columns / n
    square = (
        both / n * ((1 - r) * (1 - c)) ** 2
        + (rows - both) / n * ((1 - r) * c) ** 2
        + (columns - both) / n * (r * (1 - c)) ** 2
        + (n - rows - columns + both) / n * (r * c) ** 2
    )
    return (square - _excess(both, rows, columns, n) ** 2) / n
