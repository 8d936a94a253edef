"""Residuals of associations when the conversations of one account are not independent.

A second pass counts the cells that the first found significant, once for each group of accounts
(`account_groups`). The residual by account divides the excess of a cell by the standard error that
those groups show, where the plain residual divides it by that of independent conversations; where
every conversation has an account of its own, both are alike.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from vitw_ray.statistics.account_groups import standard_error
from vitw_ray.statistics.contingency import Facet, Integers, cross, deduplicate, expand, presence
from vitw_ray.statistics.intervals import Floats


@dataclass(frozen=True, slots=True, eq=False)
class ClusteredCounts:
    """Chosen cells of one matrix, and its margins, in each group; a monoid under `add`."""

    conversations: Integers  # [groups]
    rows: Integers  # [rows, groups]
    columns: Integers  # [columns, groups]
    both: Integers  # [cells, groups]

    @classmethod
    def of(cls, rows: Facet, columns: Facet, cells: Integers, group: Facet) -> Self:
        """Count one block; `cells` rise, and are `row code * columns + column code`."""
        n_rows = group.rows.size
        held = _cells(rows, columns, cells, n_rows)
        return cls(
            presence(group), *(cross(facet, group, n_rows) for facet in (rows, columns, held))
        )

    def add(self, other: Self) -> Self:
        """The counts of both blocks."""
        return type(self)(
            self.conversations + other.conversations,
            self.rows + other.rows,
            self.columns + other.columns,
            self.both + other.both,
        )


def _cells(rows: Facet, columns: Facet, cells: Integers, n_rows: int) -> Facet:
    """Which of the chosen cells each conversation is in."""
    found_rows, found = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for low, high, repeats, partner in expand(rows, columns, n_rows):
        keys = np.repeat(rows.codes[low:high].astype(np.int64) * columns.size, repeats)
        keys += columns.codes[partner]
        place = np.searchsorted(cells, keys)
        chosen = cells[np.minimum(place, cells.size - 1)] == keys
        found_rows.append(np.repeat(rows.rows[low:high], repeats)[chosen])
        found.append(place[chosen])
    pairs = deduplicate(np.concatenate(found_rows), np.concatenate(found))
    return Facet(*pairs, cells.size)


def residuals_by_account(counts: ClusteredCounts, cells: Integers) -> Floats:
    """The residual of each chosen cell, [cells]; NaN where the groups show no spread."""
    row, column = np.divmod(cells, counts.columns.shape[0])
    groups = np.flatnonzero(counts.conversations)
    n = counts.conversations.sum()
    total = counts.both.sum(axis=1), counts.rows.sum(axis=1), counts.columns.sum(axis=1)

    def excess(both: Integers, rows: Integers, columns: Integers, n: int) -> Floats:
        return both / n - (rows[row] / n) * (columns[column] / n)

    if groups.size < 2:
        return np.full(cells.shape, np.nan)
    without = np.array(
        [
            excess(
                total[0] - counts.both[:, g],
                total[1] - counts.rows[:, g],
                total[2] - counts.columns[:, g],
                int(n - counts.conversations[g]),
            )
            for g in groups
        ]
    )
    error = standard_error(without)
    deviation = excess(*total, int(n))
    return np.divide(deviation, error, out=np.full(cells.shape, np.nan), where=error > 0)
