"""The strongest pairs of nodes: associations, and labels in the same conversation.

A page cannot hold millions of pairs, so each list of a card is cut where its evidence is weakest.
All lists have the same length, the greatest with which the whole stays small. How many pairs were
seen, and how many of them are discoveries, is always there.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vitw_ray.intervals import Floats, wilson
from vitw_ray.report.explorer.compact import decimals, ratios, short, steps
from vitw_ray.report.explorer.nodes import Codes, Nodes

MOST_PAIRS = 4_500  # ours: about 260 KB
MOST_TOGETHER = 6_000  # ours: about 70 KB
LENGTHS = (20, 15, 12, 10, 8, 6, 5, 4, 3, 2, 1)  # of a list: the longest that fits is taken
UNSURE = (5, 3, 2, 1)  # the same, of pairs that are no discoveries
COLUMNS = ("tasks", "human_values", "response_types")
NUMBERS = ("observed", "expected", "odds_ratio", "low", "high")

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class _Pairs:
    """Pairs as columns; `numbers` are [pairs, NUMBERS], `facet` is that of the column."""

    row: Codes
    column: Codes
    facet: Codes
    level: Codes  # of the row
    sure: Flags
    numbers: Floats
    shrunken: Floats
    """Both ends of the interval of the shrunken log odds ratio."""

    @property
    def more(self) -> Flags:
        """Seen more often than expected."""
        return self.numbers[:, 2] >= 1

    @property
    def score(self) -> Floats:
        """How far the interval of the shrunken log odds ratio stays from 0; negative if around."""
        score = np.where(self.more, self.shrunken[:, 0], -self.shrunken[:, 1])
        return np.nan_to_num(score, nan=-np.inf)


def associated(table: pa.Table, nodes: Nodes, most: int = MOST_PAIRS) -> dict[str, Any]:
    """Pairs of `associations` by evidence, and how many each node has."""
    parts, seen = [], {}
    for number, facet in enumerate(COLUMNS):
        mine = table.filter(
            (pc.field("row_facet") == "ai_values") & (pc.field("column_facet") == facet)
        )
        row, column = nodes.codes("ai_values", mine["row"]), nodes.codes(facet, mine["column"])
        known = np.flatnonzero((row >= 0) & (column >= 0))
        mine, row, column = mine.take(known), row[known], column[known]
        level = mine["level"].to_numpy().astype(np.int64)
        sure = mine["discovered"].to_numpy().astype(bool)
        numbers = [mine[name].cast(pa.float64()).to_numpy() for name in NUMBERS]
        ends = [mine[name].to_numpy() for name in ("shrunken_low", "shrunken_high")]
        kind, both = np.full(row.size, number), (np.stack(numbers, 1), np.stack(ends, 1))
        parts.append((row, column, kind, level, sure, *both))
        labels = level == 0
        seen[facet] = {
            "rows": _counts(row, sure, nodes.range_of("ai_values")),
            "columns": _counts(column[labels], sure[labels], nodes.range_of(facet)),
        }
    pairs = _Pairs(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    chosen, length, unsure = _choose(pairs, most)
    chosen = chosen[np.lexsort((pairs.column[chosen], pairs.row[chosen]))]
    numbers = pairs.numbers[chosen]
    return {
        "row": steps(pairs.row[chosen].tolist()),
        "column": pairs.column[chosen].tolist(),
        "observed": short(numbers[:, 0], 9),
        "expected": decimals(numbers[:, 1], 1),
        **{name: ratios(numbers[:, place]) for place, name in enumerate(NUMBERS) if place > 1},
        "score": short(pairs.score[chosen]),
        "discovered": "".join(_signs(pairs.sure[chosen], pairs.more[chosen])),
        "length": length,
        "unsure": unsure,
        "seen": seen,
    }


def _signs(sure: Flags, more: Flags) -> list[str]:
    """`+` and `-` for discoveries above and below what was expected, `0` for the others."""
    return np.where(sure, np.where(more, "+", "-"), "0").tolist()


def _counts(codes: Codes, sure: Flags, places: tuple[int, int]) -> list[list[int]]:
    """Pairs of each node, and its discoveries."""
    first, end = places
    counted = (np.bincount(some - first, minlength=end - first) for some in (codes, codes[sure]))
    return [counts.tolist() for counts in counted]


def _choose(pairs: _Pairs, most: int) -> tuple[Codes, int, int]:
    """Places of the pairs to keep, and the lengths of both kinds of lists."""
    known, more = np.isfinite(pairs.score), pairs.more
    ranks = _ranks_in_lists(pairs, pairs.sure & known)
    length = next((n for n in LENGTHS if np.count_nonzero(ranks < n) <= most), LENGTHS[-1])
    kept = ranks < length
    if np.count_nonzero(kept) > most:  # more lists than pairs: the surest of all
        places = np.flatnonzero(kept)
        kept[places[np.argsort(-pairs.score[places], kind="stable")[most:]]] = False
    left = most - np.count_nonzero(kept)
    others = _ranks_in_lists(pairs, ~pairs.sure & known & more)
    unsure = next((n for n in UNSURE if np.count_nonzero(others < n) <= left), 0)
    return np.flatnonzero(kept | (others < unsure)), length, unsure


def _ranks_in_lists(pairs: _Pairs, among: Flags) -> Codes:
    """Rank of each pair in the better of its two lists; the last place for all that are not among.

    A row has a list for each facet of columns; a column has one for each level of rows.
    """
    ranks = np.full(among.size, np.iinfo(np.int64).max)
    places = np.flatnonzero(among)
    score, more = pairs.score[places], pairs.more[places]
    of_row = _ranks(score, pairs.row[places], pairs.facet[places], more)
    of_column = _ranks(score, pairs.column[places], pairs.level[places], more)
    ranks[places] = np.minimum(of_row, of_column)
    return ranks


def _ranks(score: Floats, *keys: NDArray[Any]) -> Codes:
    """0 for the best score among entries with equal keys, then 1, and so on."""
    order = np.lexsort((-score, *keys))
    starts = np.ones(order.size, bool)
    if order.size:
        starts[1:] = np.any([key[order][1:] != key[order][:-1] for key in keys], axis=0)
    at = np.arange(order.size)
    ranks = np.empty(order.size, np.int64)
    ranks[order] = at - np.maximum.accumulate(np.where(starts, at, 0))
    return ranks


def together(
    table: pa.Table, nodes: Nodes, subjective: int, most: int = MOST_TOGETHER
) -> dict[str, Any]:
    """Labels that share more conversations than expected, by the lower end of the ratio.

    Observed over expected under independence, with the interval of the observed share. The script
    computes them again, from the counts.
    """
    parts = []
    for facet in ("ai_values", "human_values"):
        mine = table.filter(pc.field("facet") == facet)
        codes = [nodes.codes(facet, mine[name]) for name in ("label_a", "label_b")]
        parts.append([*codes, mine["conversations"].to_numpy()])
    a, b, both = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    known = (a >= 0) & (b >= 0) & (subjective > 0)
    a, b, both = a[known], b[known], both[known]
    sizes = np.array(nodes.conversations, float)
    expected = sizes[a] * sizes[b] / max(subjective, 1)
    low, _ = wilson(both, subjective)
    lowest = low * subjective / expected
    ends = np.concatenate([a, b])
    seen = np.bincount(ends, minlength=len(nodes.names))
    over = np.flatnonzero(lowest > 1)
    score = lowest[over]
    of_ends = _ranks(np.tile(score, 2), np.concatenate([a[over], b[over]]))
    ranks = np.minimum(of_ends[: over.size], of_ends[over.size :])
    length = next((n for n in LENGTHS if np.count_nonzero(ranks < n) <= most), 0)
    kept = over[ranks < length]
    kept = kept[np.lexsort((b[kept], a[kept]))]
    more = np.bincount(np.concatenate([a[over], b[over]]), minlength=len(nodes.names))
    return {
        "a": steps(a[kept].tolist()),
        "b": b[kept].tolist(),
        "observed": both[kept].tolist(),
        "length": length,
        "seen": seen.tolist(),
        "more": more.tolist(),
    }
