"""Associations of values with tasks, human values and response types.

Merged `Counts` -> the table `associations` (paper, section 2: adjusted Pearson residuals,
Bonferroni). A conversation may hold many values, so the matrix does not partition conversations.
Each cell is tested in its own 2 x 2 table over all conversations: with or without the row's label,
with or without the column's. The residual is the signed root of that table's chi-square.

Most cells expect fewer than five conversations, where the normal approximation is invalid. Their
p-value is exact: twice the hypergeometric tail on the side of the deviation, at most 1. It is
doubled, and not Fisher's sum over all less likely tables, because it then depends on the direction
and needs one tail only. The residual of such cells is not changed.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray
from scipy.special import erfc, gammaln, xlog1py
from scipy.stats import chi2_contingency, false_discovery_control

from vitw_ray.gate import Mask
from vitw_ray.intervals import Floats, odds_ratio
from vitw_ray.records import ASSOCIATIONS
from vitw_ray.statistics.contingency import Axis, Counts, Integers
from vitw_ray.statistics.shrunken import has_evidence, log_odds
from vitw_ray.statistics.suppression import is_small
from vitw_ray.statistics.tree_discovery import q_tree as q_of_tree

LEAST_EXPECTED = 5.0  # Cochran, 1954: below, the normal approximation of a 2 x 2 is not reliable
REASONS = ("no_conversations", "row_never", "row_always", "column_never", "column_always")
"""Why a cell has no test: a margin of its 2 x 2 table is empty. The first that applies is given."""
FEW = "few_conversations"
"""Why a cell that is tested has no shrunken odds ratio, so that no list is led by it."""

SHRUNKEN = ("shrunken", "shrunken_low", "shrunken_high")

_BLOCK_CELLS = 1 << 20  # ours: cells per block, 8 MB for each of about twenty temporaries
_SMALL = 16  # Stirling's series is exact to 1e-14 from here on
_RELATIVE_END = 1e-17  # a term below this share of its tail does not change a float64


class Tested(NamedTuple):
    """Of every cell of a matrix, [rows, columns]; NaN where untested."""

    p: Floats
    q_tree: Floats  # smallest level at which TreeBH rejects; NaN above `tree_discovery.MOST`


def associations(
    counts: Counts,
    row: Axis,
    column: Axis,
    *,
    comparisons: int,
    alpha: float,
    least_observed: int = 0,
    least: int = 1,
    hidden: Mask | None = None,
    tests: Tested | None = None,
) -> pa.Table:
    """The table `associations` of one pair of facets, in the order of the matrix.

    `comparisons` is the size of the Bonferroni family: with the number of row labels, 3,307 in the
    paper, cells are `significant` from |residual| = 4.33. `q_value` is Benjamini-Hochberg over all
    tested cells of this matrix. `tests` are those of this level among all of the tree; by default,
    the matrix is a tree of one level. Cells with fewer than `least_observed` conversations are
    tested, but are in the table only if significant or discovered. Cells with 1 to `least` - 1 are
    not in the table, nor are those that are `hidden` so that these do not follow from them.
    """
    if counts.both.shape != (len(row.names), len(column.names)):
        raise ValueError(f"{counts.both.shape} counts for {len(row.names)} x {len(column.names)}")
    p, q_tree = tests or tests_of_tree([counts], [])[0]
    q = _benjamini_hochberg(p)
    p_adjusted = np.minimum(p * comparisons, 1.0)  # NaN stays NaN, and is not significant
    significant, discovered = p_adjusted < alpha, q_tree <= alpha
    shown = ~is_small(counts.both, least)
    if hidden is not None:
        shown &= ~hidden
    r, c = np.nonzero(((counts.both >= least_observed) | significant | discovered) & shown)
    reasons = _reason_codes(counts.rows, counts.conversations, "row")[r]
    reasons = np.where(
        reasons >= 0, reasons, _reason_codes(counts.columns, counts.conversations, "column")[c]
    )
    cell = counts.both[r, c], counts.rows[r], counts.columns[c], counts.conversations
    reasons = np.where((reasons < 0) & ~has_evidence(*cell), len(REASONS), reasons)
    shrunken = zip(SHRUNKEN, log_odds(*cell), strict=True)
    columns = {
        "row_facet": pa.repeat(row.facet, r.size),
        "row": pa.array(row.names, pa.string()).take(pa.array(r)),
        "column_facet": pa.repeat(column.facet, r.size),
        "column": pa.array(column.names, pa.string()).take(pa.array(c)),
        "level": pa.repeat(pa.scalar(row.level, pa.int8()), r.size),
        "observed": counts.both[r, c],
        **_effect_sizes(*cell),
        **dict(shrunken),
        "p_value": p[r, c],
        "p_adjusted": p_adjusted[r, c],
        "q_value": q[r, c],
        "q_tree": q_tree[r, c],
        "residual_by_account": pa.nulls(r.size, pa.float64()),
        "significant": significant[r, c],
        "discovered": discovered[r, c],
        "reason": pa.array([*REASONS, FEW]).take(pa.array(reasons, mask=reasons < 0)),
    }
    arrays = [
        value if isinstance(value, pa.Array) else pa.array(value, from_pandas=True)  # NaN is null
        for value in (columns[name] for name in ASSOCIATIONS.names)
    ]
    return pa.Table.from_arrays(arrays, schema=ASSOCIATIONS)


def tests_of_tree(counts: Sequence[Counts], parents: Sequence[NDArray[np.integer]]) -> list[Tested]:
    """The tests of one column facet by the rows of every level of a tree, from the labels up.

    `parents` are, by level but the top one, the parent of each row.
    """
    p = [p_values(level) for level in counts]
    return [Tested(*found) for found in zip(p, q_of_tree(p, parents), strict=True)]


def whole_table(
    counts: Counts, *, exclusive: bool, least: int = 1, few: Mask | None = None
) -> dict[str, float | int | None]:
    """Size and expected counts of a matrix, of rows and columns with `least` conversations.

    With `exclusive` (no conversation is in two rows or in two columns, as with response types by
    tasks or by assistants), also Pearson's chi-square of the whole matrix, with Cramér's V. These
    are equations for the cells: there are none where a cell has fewer conversations, or has `few`
    accounts.
    """
    row, column = (n[n >= max(least, 1)] for n in (counts.rows, counts.columns))
    expected = np.outer(row, column) / max(counts.conversations, 1)
    found: dict[str, float | int | None] = {
        "cells": int(expected.size),
        "least_expected": float(expected.min()) if expected.size else None,
        "share_expected_below_5": float((expected < LEAST_EXPECTED).mean())
        if expected.size
        else None,
    }
    cells = counts.both[counts.both.any(axis=1)][:, counts.both.any(axis=0)]
    of_few = np.zeros(counts.both.shape, bool) if few is None else few & (counts.both > 0)
    told = not (is_small(counts.both, least) | of_few).any()
    if exclusive and told and min(cells.shape) > 1:
        test: Any = chi2_contingency(cells, correction=False)
        v = math.sqrt(test.statistic / (int(cells.sum()) * (min(cells.shape) - 1)))
        found |= {"chi_square": float(test.statistic), "degrees_of_freedom": int(test.dof)}
        found |= {"p_value": float(test.pvalue), "cramers_v": v}
    return found


def p_values(counts: Counts) -> Floats:
    """Two-sided p-value of every cell, [rows, columns]; NaN if a margin is empty."""
    p = np.empty(counts.both.shape)
    step = max(1, _BLOCK_CELLS // max(1, counts.columns.size))
    for start in range(0, counts.rows.size, step):
        block = slice(start, start + step)
        p[block] = p_value(
            counts.both[block], counts.rows[block, None], counts.columns, counts.conversations
        )
    return p


def adjusted_residual(
    observed: Integers, row: Integers, column: Integers, conversations: int | Integers
) -> Floats:
    """(O - E) / sqrt(E (1 - row / n) (1 - column / n)), elementwise; NaN if a margin is empty.

    The numerator, times n, is exact in integers up to three billion conversations.
    """
    n = conversations
    spread = np.sqrt(row * (n - row)) * np.sqrt(column * (n - column))
    excess = (n * observed - row * column) * np.sqrt(n)
    return np.divide(excess, spread, out=np.full(excess.shape, np.nan), where=spread > 0)


def p_value(observed: Integers, row: Integers, column: Integers, conversations: int) -> Floats:
    """Two-sided p-value, elementwise: exact below `LEAST_EXPECTED`, else the normal tail.

    The complementary error function keeps its relative precision down to 1e-307.
    """
    residual = adjusted_residual(observed, row, column, conversations)
    p = np.asarray(erfc(np.abs(residual) / math.sqrt(2)))
    is_rare = (row * column < LEAST_EXPECTED * conversations) & ~np.isnan(residual)
    rare = np.nonzero(is_rare)
    o, r, c = (np.broadcast_to(x, p.shape)[rare] for x in (observed, row, column))
    p[rare] = np.minimum(2 * hypergeometric_tail(o, r, c, conversations), 1.0)
    return p


def hypergeometric_tail(
    observed: Integers, row: Integers, column: Integers, conversations: int
) -> Floats:
    """P(X >= observed) if observed exceeds its expectation, else P(X <= observed).

    X is the cell of a 2 x 2 table with these margins, none of them empty. The sum runs away from
    the expectation, so each term is smaller than the one before. `scipy.stats.hypergeom` takes
    twice the time, and its relative error is 1e-8 at 1e8 conversations, against 1e-15 here.
    """
    n = conversations
    above = observed * n > row * column
    tail = np.exp(_log_probability(observed, row, column, n))
    active = np.flatnonzero(above | (observed > 0))
    x, term = observed[active].astype(float), tail[active]
    while active.size:
        r, c, up = row[active], column[active], above[active]
        neither = n - r - c + x
        more = (r - x) * (c - x) / ((x + 1) * (neither + 1))
        fewer = x * neither / ((r - x + 1) * (c - x + 1))
        term = term * np.where(up, more, fewer)
        x = x + np.where(up, 1, -1)
        tail[active] += term
        goes_on = term > _RELATIVE_END * tail[active]
        active, x, term = active[goes_on], x[goes_on], term[goes_on]
    return tail


def _log_probability(
    observed: Integers, row: Integers, column: Integers, conversations: int
) -> Floats:
    """Log of P(X = observed), hypergeometric.

    Uses Loader's saddle-point terms (2000): log k! = k log k - k + rest(k). The large parts reduce
    to the likelihood ratio against independence, sum O log(O / E). Its four differences O - E are
    equal except for the sign, so there is no cancellation at any n.
    """
    n = conversations
    log_p = -np.asarray(_log_factorial_rest(np.asarray(n)))
    for margin in (row, n - row, column, n - column):
        log_p = log_p + _log_factorial_rest(margin)
    difference = (n * observed - row * column) / n
    cells = [
        (observed, row, column, 1),
        (row - observed, row, n - column, -1),
        (column - observed, n - row, column, -1),
        (n - row - column + observed, n - row, n - column, 1),
    ]
    for cell, row_part, column_part, sign in cells:
        expected = row_part * (column_part / n)
        log_p = log_p - _log_factorial_rest(cell) - xlog1py(cell, sign * difference / expected)
    return log_p


_RESTS = gammaln(np.arange(_SMALL) + 1.0) - (
    np.arange(_SMALL) * np.log(np.maximum(np.arange(_SMALL), 1)) - np.arange(_SMALL)
)


def _log_factorial_rest(k: NDArray[np.integer]) -> Floats:
    """Log k! - (k log k - k): Stirling's series, or a table for small k."""
    x = np.maximum(k, _SMALL).astype(float)
    i = 1 / (x * x)
    series = (1 / 12 - i * (1 / 360 - i * (1 / 1260 - i / 1680))) / x
    return np.where(
        k < _SMALL, _RESTS[np.minimum(k, _SMALL - 1)], 0.5 * np.log(2 * np.pi * x) + series
    )


def _effect_sizes(
    observed: Integers, row: Integers, column: Integers, conversations: int
) -> dict[str, Floats]:
    """Expected count, residual and odds ratio of cells; NaN if a margin is empty."""
    n = conversations
    residual = adjusted_residual(observed, row, column, n)
    undefined = np.isnan(residual)
    ratios = odds_ratio(observed, row - observed, column - observed, n - row - column + observed)
    expected = row * (column / max(n, 1))
    names = ("expected", "odds_ratio", "low", "high")
    effects = zip(names, (expected, *ratios), strict=True)
    return {"residual": residual, "cramers_v": np.abs(residual) / math.sqrt(max(n, 1))} | {
        name: np.where(undefined, np.nan, effect) for name, effect in effects
    }


def _benjamini_hochberg(p: Floats) -> Floats:
    q = np.full(p.shape, np.nan)
    tested = ~np.isnan(p)
    if tested.any():
        q[tested] = false_discovery_control(p[tested])
    return q


def _reason_codes(margin: ArrayLike, conversations: int, side: str) -> NDArray[np.intp]:
    """Index into `REASONS` of why a margin is empty, -1 if it is not."""
    total = np.asarray(margin)
    if conversations == 0:
        return np.full(total.shape, REASONS.index("no_conversations"))
    never, always = REASONS.index(f"{side}_never"), REASONS.index(f"{side}_always")
    return np.select([total == 0, total == conversations], [never, always], -1)
