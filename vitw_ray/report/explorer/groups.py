"""What the cards say beside pairs: response types, variation, explicitness, assistants, periods."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vitw_ray.facets import RESPONSE_TYPES
from vitw_ray.inert import inert
from vitw_ray.report.explorer.compact import short, steps
from vitw_ray.report.explorer.nodes import ASSISTANTS, TYPES, Nodes
from vitw_ray.side_by_side import Pair, Row

MOST_COUNTS = 4_000  # ours: counts of a node in an assistant or period, about 35 KB
MOST_ROWS = 5_000  # ours: rows of all pairs of assistants or periods, about 180 KB
EVERYWHERE = {(None, None): -1, ("any_human_value", "stated"): -2, ("any_human_value", "none"): -3}
VALUES_OF_EACH = 25  # ours: the most common values of an assistant that its card shows


def answered(table: pa.Table, nodes: Nodes) -> list[list[int]]:
    """Conversations by response type of each node: its place, their sum, and a count per type.

    The places of `EVERYWHERE` stand for groups without a node. -1: too few to show.
    """
    found: dict[int, list[Row]] = defaultdict(list)
    named = [name for facet, name in nodes.places if facet == ASSISTANTS]
    among = pc.field("model").isin(pa.array(named, pa.string()))
    mine = table.filter(pc.field("model").is_null() | among)
    for row in mine.to_pylist():
        if row["model"] is not None:
            place = nodes.places.get((ASSISTANTS, row["model"])) if row["over"] is None else None
        else:
            key = row["over_facet"], row["over"]
            place = EVERYWHERE.get(key, nodes.places.get(key))
        if place is not None:
            found[place].append(row)
    lines = []
    for place, rows in sorted(found.items()):
        counts = {row["response_type"]: row["conversations"] for row in rows}
        most = max(rows, key=lambda row: row["conversations"])
        base = round(most["conversations"] / most["share"]) if most["share"] else 0
        lines.append([place, base, *(counts.get(kind, -1) for kind in RESPONSE_TYPES)])
    return lines


def varied(table: pa.Table, nodes: Nodes) -> dict[str, Any]:
    """Corrected coefficient of variation of labels and its interval, in hundredths.

    By the facet varied over.
    """
    found = {}
    for over in sorted(set(table["over_facet"].to_pylist())):
        lines = []
        for row in table.filter(pc.field("over_facet") == over).to_pylist():
            place = nodes.places.get((row["facet"], row["label"]))
            if place is not None and row["high"] is not None:
                lines.append((place, row["corrected"], row["low"], row["high"]))
        lines.sort()
        places, *numbers = zip(*lines, strict=True) if lines else ((), (), (), ())
        found[over] = [steps(places), *(_hundredths(column) for column in numbers)]
    return found


def _hundredths(column: Sequence[float]) -> list[int]:
    return np.rint(100 * np.asarray(column)).astype(np.int64).tolist()


def spoken(table: pa.Table, nodes: Nodes) -> list[list[Any]]:
    """Labels with their explicit and implicit conversations, and the residual."""
    rows = [row for row in table.to_pylist() if row["response_type"] is None]
    known = [(nodes.places.get(("ai_values", row["label"]), -1), row) for row in rows]
    known = sorted((pair for pair in known if pair[0] >= 0), key=lambda pair: pair[0])
    return [
        steps([place for place, _ in known]),
        [row["explicit"] for _, row in known],
        [row["implicit"] for _, row in known],
        short([np.nan if row["residual"] is None else row["residual"] for _, row in known], 3),
    ]


def counted(
    table: pa.Table, nodes: Nodes, groups: str, names: Sequence[str], most: int = MOST_COUNTS
) -> dict[str, Any]:
    """Conversations of the largest nodes in each group: an assistant (`models`) or a period.

    Every node of `names` has its most common values. Of the others, as many nodes as fit are in
    all groups; `complete` is their number.
    """
    mine = table.filter((pc.field("groups") == groups) & (pc.field("matched_on") == "nothing"))
    place_of = {name: place for place, name in enumerate(names)}
    group, node, share, base = _columns(mine, nodes, place_of)
    keys, first = np.unique(group * len(nodes.names) + node, return_index=True)
    group, node = np.divmod(keys, max(len(nodes.names), 1))
    base, count = base[first], np.rint(share[first] * base[first]).astype(np.int64)
    sizes = np.zeros(len(names), np.int64)
    sizes[group] = base
    held = np.unique(node)
    ranked = held[np.argsort(-np.array(nodes.conversations)[held], kind="stable")]
    complete = min(len(ranked), most // max(len(names), 1))
    kept = np.isin(node, ranked[:complete])
    labels = (node < nodes.range_of("ai_values")[1]) & _leaves(nodes)[node]
    order = np.lexsort((-count, group))
    order = order[labels[order]]
    starts = np.searchsorted(group[order], group[order])
    kept[order[np.arange(order.size) - starts < VALUES_OF_EACH]] = True
    return {
        "names": [inert(name) for name in names],
        "conversations": sizes.tolist(),
        "group": steps(group[kept].tolist()),
        "node": node[kept].tolist(),
        "count": count[kept].tolist(),
        "complete": complete,
        "of": len(ranked),
    }


def _leaves(nodes: Nodes) -> np.ndarray:
    leaves = [np.full(group.size, group.level == 0) for group in nodes.groups]
    return np.concatenate([np.zeros(0, bool), *leaves])


def _columns(table: pa.Table, nodes: Nodes, place_of: dict[str, int]) -> tuple[np.ndarray, ...]:
    """Group, node, share and base of each side of each row whose group and node are known."""
    node = np.full(table.num_rows, -1, np.int64)
    facets = np.array(table["facet"].to_pylist(), object)
    for facet in set(facets.tolist()):
        node = np.where(facets == facet, nodes.codes(facet, table["label"]), node)
    sides = []
    for side in ("a", "b"):
        names = table[f"model_{side}"].to_pylist()
        group = np.array([place_of.get(name, -1) for name in names], np.int64)
        share = table[f"share_{side}"].cast(pa.float64()).to_numpy(zero_copy_only=False)
        base = table[f"conversations_{side}"].to_numpy()
        known = (group >= 0) & (node >= 0) & np.isfinite(share)
        sides.append((group[known], node[known], share[known], base[known]))
    return tuple(np.concatenate(columns) for columns in zip(*sides, strict=True))


def compared(pairs: Sequence[Pair], nodes: Nodes, alpha: float, most: int = MOST_ROWS) -> Any:
    """Each pair of assistants or periods: the values and response types that differ, by evidence.

    Each list has the same length, the greatest with which the whole stays small.
    """
    ranked = [(pair, _by_evidence(pair, alpha)) for pair in pairs]
    sizes = [len(rows) for _, lists in ranked for rows in lists[:2]]
    length = next((n for n in (25, 20, 15, 10, 8, 6, 5, 4, 3, 2) if _fits(sizes, n, most)), 1)
    return {
        "length": length,
        "pairs": [
            {
                "kind": inert(pair.groups),
                "a": inert(pair.model_a),
                "b": inert(pair.model_b),
                "matched": pair.matched_on,
                "conversations": _bases(pair),
                "shared": pair.overlap,
                "differing": len(sure),
                "seen": len(sure) + len(others),
                "rows": [
                    _line(row, pair, "ai_values", nodes, alpha)
                    for row in [*sure[:length], *others[: max(min(length, 5), 5 - len(sure))]]
                ],
                "types": [_line(row, pair, TYPES, nodes, alpha) for row in pair.response_types],
            }
            for pair, (sure, others) in ranked
        ],
    }


def _fits(sizes: Sequence[int], length: int, most: int) -> bool:
    return sum(min(size, length) for size in sizes) <= most


def _bases(pair: Pair) -> list[int]:
    row = next(iter(pair.also[pair.matched_on].values()), None)
    return [row["conversations_a"], row["conversations_b"]] if row else [*pair.conversations]


def _by_evidence(pair: Pair, alpha: float) -> tuple[list[Row], list[Row]]:
    """Significant rows and the others, the surest first."""

    def distance(row: Row) -> tuple[float, str]:
        low, high = row["low"], row["high"]
        if low is None or high is None:
            return 1.0, row["label"]
        return -max(low, -high), row["label"]

    rows = sorted(pair.also[pair.matched_on].values(), key=distance)
    sure = {row["label"] for row in pair.differing}
    return [r for r in rows if r["label"] in sure], [r for r in rows if r["label"] not in sure]


def _line(row: Row, pair: Pair, facet: str, nodes: Nodes, alpha: float) -> list[Any]:
    """Node, both shares, difference, interval, whether significant, and the unmatched difference.

    The latter is there where its sign is the opposite.
    """
    numbers = [row[name] for name in ("share_a", "share_b", "difference", "low", "high")]
    plain = pair.also["nothing"].get(row["label"]) if facet == "ai_values" else None
    turned = None
    if plain and plain["difference"] and row["difference"]:
        turned = plain["difference"] if plain["difference"] * row["difference"] < 0 else None
    sure = row["p_adjusted"] is not None and row["p_adjusted"] < alpha
    known = [np.nan if number is None else number for number in [*numbers, turned]]
    *shares, turned = short(known)
    return [nodes.places.get((facet, row["label"]), -1), *shares, int(sure), turned]
