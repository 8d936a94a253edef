"""Differences of shares between two runs, each with its interval and an adjusted p-value.

Both runs are treated as independent samples: the intervals are Newcombe's, the p-values are those
of the 2 x 2 table, times the number of comparisons of the same kind (Bonferroni).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vitw_ray.comparison.runs.matched import Matched, Row, match_clusters, match_labels
from vitw_ray.comparison.runs.sides import Side
from vitw_ray.facets import RESPONSE_TYPES, VALUE_FACETS
from vitw_ray.statistics.differences import unmatched
from vitw_ray.wording import facet_name, first_up, plain

PAIRS, TASKS = "(value, conversation) pairs", "conversations with a task"
SUBJECTIVE = "subjective conversations"


class Difference(NamedTuple):
    """One share in both runs; `other` is its name in the second where that differs."""

    name: str
    other: str | None
    hits: tuple[int, int]
    of: tuple[int, int]
    share_a: float
    share_b: float
    difference: float
    low: float
    high: float
    p_adjusted: float
    sure: bool

    @property
    def distance(self) -> float:
        """How far the interval stays from 0; negative if it holds 0."""
        return max(self.low, -self.high)


@dataclass(frozen=True)
class Kind:
    """All comparisons of one kind; rows from the surest difference to the least sure.

    `only` are the names that one run has and the other has not, with their counts.
    """

    key: str
    title: str
    of: str  # what the shares are of
    facet: str  # of the names
    rows: Sequence[Difference]
    by_members: int = 0
    only: tuple[Sequence[tuple[str, int]], Sequence[tuple[str, int]]] = ((), ())
    hidden: int = 0  # that one run may not show

    @property
    def sure(self) -> list[Difference]:
        """Significant ones."""
        return [row for row in self.rows if row.sure]


def differences(first: Side, second: Side, alpha: float) -> list[Kind]:
    """Every kind of share that both runs have."""
    found = [_whole(first, second, alpha), _response_types(first, second, alpha)]
    found += [_labels(first, second, facet, alpha) for facet in VALUE_FACETS]
    found += _clusters(first, second, alpha)
    return [kind for kind in found if kind.rows or any(kind.only)]


def _rows(
    names: Sequence[tuple[str, str | None]],
    hits: Sequence[tuple[int, int]],
    of: tuple[int, int],
    alpha: float,
) -> list[Difference]:
    if not names or not all(of):
        return []
    a, b = (np.array([pair[side] for pair in hits], np.int64) for side in (0, 1))
    found = unmatched(a, of[0], b, of[1])
    adjusted = np.minimum(np.nan_to_num(found.p_value, nan=1.0) * len(names), 1.0)
    columns = (found.share_a, found.share_b, found.low, found.high, adjusted)
    numbers = np.stack(columns, axis=1).tolist()
    rows = [
        Difference(name, other, pair, of, one, two, one - two, low, high, p, p < alpha)
        for (name, other), pair, (one, two, low, high, p) in zip(names, hits, numbers, strict=True)
    ]
    return sorted(rows, key=lambda row: (not row.sure, -row.distance, row.name))


def _whole(first: Side, second: Side, alpha: float) -> Kind:
    """Subjective conversations of those that were read."""
    totals = first.facts.totals, second.facts.totals
    read = [whole.conversations - whole.failed for whole in totals]
    subjective = totals[0].subjective, totals[1].subjective
    rows = _rows([("subjective", None)], [subjective], (read[0], read[1]), alpha)
    return Kind("whole", "All conversations", "conversations that were read", "", rows)


def _response_types(first: Side, second: Side, alpha: float) -> Kind:
    sides = [_overall(side.tables["response_types"]) for side in (first, second)]
    shown = [kind for kind in RESPONSE_TYPES if all(kind in counts for counts, _ in sides)]
    rows = _rows(
        [(plain(kind), None) for kind in shown],
        [(sides[0][0][kind], sides[1][0][kind]) for kind in shown],
        (sides[0][1], sides[1][1]),
        alpha,
    )
    hidden = len({kind for counts, _ in sides for kind in counts} - {*shown})
    return Kind("response-types", "Response types", SUBJECTIVE, "", rows, hidden=hidden)


def _overall(table: pa.Table) -> tuple[dict[str, int], int]:
    """Conversations by response type over a whole run, and the base of their shares."""
    whole = pc.field("model").is_null() & pc.field("over_facet").is_null()
    rows = table.filter(whole).to_pylist()
    most = max(rows, key=lambda row: row["conversations"], default=None)
    base = round(most["conversations"] / most["share"]) if most and most["share"] else 0
    return {row["response_type"]: row["conversations"] for row in rows}, base


def _labels(first: Side, second: Side, facet: str, alpha: float) -> Kind:
    matched = match_labels(first.tables["labels"], second.tables["labels"], facet)
    of = first.facts.totals.subjective, second.facts.totals.subjective
    return _kind(facet, first_up(facet_name(facet)), SUBJECTIVE, facet, matched, of, alpha)


def _clusters(first: Side, second: Side, alpha: float) -> Iterator[Kind]:
    trees = [side.tables["taxonomy"].to_pylist() for side in (first, second)]
    for facet in (*VALUE_FACETS, "tasks"):
        of = _whole_of(trees[0], facet), _whole_of(trees[1], facet)
        for level in sorted(_levels(trees[0], facet) | _levels(trees[1], facet)):
            matched = match_clusters(trees[0], trees[1], facet, level)
            base, title = PAIRS, f"Clusters of {facet_name(facet)}, level {level}"
            if facet == "tasks":
                base, title = TASKS, f"Tasks, level {level}"
            yield _kind(f"{facet}-{level}", title, base, facet, matched, of, alpha)


def _levels(tree: Iterable[Row], facet: str) -> set[int]:
    return {row["level"] for row in tree if row["facet"] == facet and row["level"]}


def _whole_of(tree: Sequence[Row], facet: str) -> int:
    mine = [row for row in tree if row["facet"] == facet and row["level"]]
    top = max((row["level"] for row in mine), default=0)
    return sum(row["conversations"] for row in mine if row["level"] == top)


def _kind(
    key: str,
    title: str,
    base: str,
    facet: str,
    matched: Matched,
    of: tuple[int, int],
    alpha: float,
) -> Kind:
    names = [(a["name"], None if _same(a, b) else b["name"]) for a, b in matched.pairs]
    hits = [(a["conversations"], b["conversations"]) for a, b in matched.pairs]
    alone = [[(row["name"], row["conversations"]) for row in rows] for rows in matched.only]
    rows = _rows(names, hits, of, alpha)
    return Kind(key, title, base, facet, rows, matched.by_members, (alone[0], alone[1]))


def _same(a: Row, b: Row) -> bool:
    return a["name"].casefold() == b["name"].casefold()
