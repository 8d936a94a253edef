"""Summary of `model_comparison` for each pair of assistants.

For each pair: how many of the most common values both share (paper, B.5), the response types, and
the values that either shows more, with the best available matching: on the same prompts, else on
tasks, else unmatched.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

TOP = 10  # paper, B.5: the two Sonnets share 8 of their top 10 values
BEST_FIRST = ("prompts", "tasks", "nothing")

Row = dict[str, Any]


@dataclass(frozen=True)
class Pair:
    """The comparison of two assistants or of two periods."""

    groups: str
    model_a: str
    model_b: str
    conversations: tuple[int, int]
    matched_on: str  # of `differing`: the best available
    top_a: Sequence[str]
    top_b: Sequence[str]
    response_types: Sequence[Row]  # unmatched
    differing: Sequence[Row]  # AI values with a significant difference, by p-value
    also: Mapping[str, Mapping[str, Row]]  # matched_on -> label -> row

    @property
    def overlap(self) -> int:
        """Number of values that are among the most common of both."""
        return len({*self.top_a} & {*self.top_b})

    def more(self, sign: int) -> list[Row]:
        """Values that A (sign 1) or B (sign -1) shows more."""
        return [row for row in self.differing if row["difference"] * sign > 0]


def pairs(table: pa.Table, alpha: float) -> list[Pair]:
    """The pairs of `model_comparison`, largest first, periods in order; without clusters."""
    found: dict[tuple[str, str, str], dict[tuple[str, str], list[Row]]] = {}
    for row in table.to_pylist():
        if row["facet"] == "ai_values" and row["label"].startswith("ai_values:"):
            continue
        kinds = found.setdefault((row["groups"], row["model_a"], row["model_b"]), defaultdict(list))
        kinds[row["facet"], row["matched_on"]].append(row)
    return sorted((_pair(key, kinds, alpha) for key, kinds in found.items()), key=_place)


def _pair(key: tuple[str, str, str], kinds: dict[tuple[str, str], list[Row]], alpha: float) -> Pair:
    plain, types = kinds["ai_values", "nothing"], kinds["response_types", "nothing"]
    best = next((m for m in BEST_FIRST if kinds.get(("ai_values", m))), "nothing")
    sure = [r for r in kinds["ai_values", best] if _is_significant(r, alpha)]
    first = next(rows for rows in (types, plain, *kinds.values()) if rows)[0]
    return Pair(
        *key,
        (first["conversations_a"], first["conversations_b"]),
        best,
        _top(plain, "share_a"),
        _top(plain, "share_b"),
        types,
        sorted(sure, key=lambda r: (r["p_adjusted"], -abs(r["difference"]), r["label"])),
        {m: {r["label"]: r for r in kinds["ai_values", m]} for m in BEST_FIRST},
    )


def _place(pair: Pair) -> tuple:
    if pair.groups == "periods":
        return "periods", pair.model_a
    return "models", -pair.conversations[0], pair.model_a, -pair.conversations[1], pair.model_b


def _is_significant(row: Row, alpha: float) -> bool:
    return row["p_adjusted"] is not None and row["p_adjusted"] < alpha


def _top(rows: Sequence[Row], share: str) -> list[str]:
    shown = [row for row in rows if row[share]]
    return [r["label"] for r in sorted(shown, key=lambda r: (-r[share], r["label"]))[:TOP]]
