"""Which names of one run are which names of another.

Ids of clusters are hashes with the secret of a run, so they never match. A label is its name. A
cluster matches one of the same level with the same name, else one that holds most of the same
labels.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

MOSTLY = 0.5  # ours: above a half of the labels of both together, so a cluster has one partner

Row = Mapping[str, Any]


class Matched(NamedTuple):
    """Rows of both sides that belong together, and those that stand alone.

    `by_members` counts pairs with different names and mostly the same members.
    """

    pairs: list[tuple[Row, Row]]
    by_members: int
    only: tuple[list[Row], list[Row]]


def match_labels(first: pa.Table, second: pa.Table, facet: str) -> Matched:
    """Labels with enough support, by name."""
    chosen = (pc.field("facet") == facet) & pc.field("kept")
    sides = [table.filter(chosen).to_pylist() for table in (first, second)]
    names = [{row["label"]: row | {"name": row["label"]} for row in rows} for rows in sides]
    return _matched(*names, pairs=[(name, name) for name in names[0] if name in names[1]])


def match_clusters(first: Sequence[Row], second: Sequence[Row], facet: str, level: int) -> Matched:
    """Clusters of one level, by name and then by members. Inputs are rows of `taxonomy`."""
    sides = [
        {row["cluster_id"]: row for row in rows if (row["facet"], row["level"]) == (facet, level)}
        for rows in (first, second)
    ]
    named = [_by_unique_name(rows) for rows in sides]
    pairs = [(named[0][name], named[1][name]) for name in named[0] if name in named[1]]
    left = [
        {one: row for one, row in rows.items() if one not in taken}
        for rows, taken in zip(sides, ({a for a, _ in pairs}, {b for _, b in pairs}), strict=True)
    ]
    more = _mostly_the_same(
        _members(first, facet, level), _members(second, facet, level), set(left[0]), set(left[1])
    )
    return _matched(*sides, pairs=[*pairs, *more], by_members=len(more))


def _matched(
    first: Mapping[str, Row],
    second: Mapping[str, Row],
    pairs: Sequence[tuple[str, str]],
    by_members: int = 0,
) -> Matched:
    taken = {a for a, _ in pairs}, {b for _, b in pairs}
    only = [
        sorted(
            (row for key, row in rows.items() if key not in keys),
            key=lambda row: (-row["conversations"], row["name"]),
        )
        for rows, keys in zip((first, second), taken, strict=True)
    ]
    return Matched([(first[a], second[b]) for a, b in pairs], by_members, (only[0], only[1]))


def _by_unique_name(rows: Mapping[str, Row]) -> dict[str, str]:
    """Name -> key, of names that only one row has."""
    counts = Counter(row["name"].casefold() for row in rows.values())
    return {name: key for key, row in rows.items() if counts[name := row["name"].casefold()] == 1}


def _members(rows: Sequence[Row], facet: str, level: int) -> dict[str, set[str]]:
    """Cluster of a level -> its labels."""
    mine = {row["cluster_id"]: row for row in rows if row["facet"] == facet}
    found: dict[str, set[str]] = defaultdict(set)
    for row in mine.values():
        if row["level"] == 0:
            one = row
            while one is not None and one["level"] < level:
                one = mine.get(one["parent_cluster_id"])
            if one is not None and one["level"] == level:
                found[one["cluster_id"]].add(row["name"])
    return found


def _mostly_the_same(
    first: Mapping[str, set[str]],
    second: Mapping[str, set[str]],
    left_a: set[str],
    left_b: set[str],
) -> list[tuple[str, str]]:
    """Pairs of clusters that share more than `MOSTLY` of all their labels."""
    place = {label: key for key in sorted(left_b) for label in second.get(key, ())}
    found = []
    for key in sorted(left_a):
        mine = first.get(key, set())
        shared = Counter(place[label] for label in mine if label in place)
        for other, both in shared.most_common(1):
            if both > MOSTLY * len(mine | second[other]):
                found.append((key, other))
    return found
