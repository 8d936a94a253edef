"""Mirroring and corrected numbers, counted again, and the intervals of all statistics."""

import math
from collections import Counter

from .accounts import group_of
from .expected import RESPONSE_TYPES
from .intervals import share_of
from .problems import Problems, differ, off
from .recounting import CheckedRun

ROUNDING = 1e-12  # a bound may be the number itself, computed in another order


def check_mirroring(run: CheckedRun) -> Problems:
    """How often a human value, or its cluster, is among the AI values, recounted by level."""
    counted, mirrored = Counter[tuple[int, str]](), Counter[tuple[int, str]]()
    levels, groups = {row["level"] for row in run.rows("mirroring")}, run.cell_accounts()
    for row in run.subjective():
        human, ai = run.members(row, "human_values"), run.members(row, "ai_values")
        for level in levels if human else ():
            twins, shown = (
                {path[level] for n in names if (path := run.above.get(("ai_values", n)))}
                for names in (human, ai)
            )
            group, met = (level, row["response_type"]), not twins.isdisjoint(shown)
            counted[group] += 1
            mirrored[group] += met
            groups.count(group_of(row), [group, (*group, met)])

    def few_accounts(group: tuple[int, str], n: int, met: int) -> bool:
        cells = ((group, n), ((*group, True), met), ((*group, False), n - met))
        return any(size and groups.few(cell) for cell, size in cells)

    for number, row in enumerate(run.rows("mirroring")):
        where, group = f"row {number}", (row["level"], row["response_type"])
        yield from off(f"{where}: conversations", row["conversations"], counted.pop(group, 0))
        yield from off(f"{where}: mirrored", row["mirrored"], mirrored[group])
        yield from differ(where, row, share_of(row["mirrored"], row["conversations"]))
        if row["lift"] is not None:
            yield from differ(where, row, {"lift": row["share"] / row["share_by_chance"]})
        if run.is_small(row["conversations"], row["mirrored"]):
            yield f"{where}: too few conversations to be public"
        if few_accounts(group, row["conversations"], row["mirrored"]):
            yield f"{where}: too few accounts to be public"
    hidden_types = _hidden_types(run)
    for group in [*counted]:
        n, met = counted[group], mirrored[group]
        small = run.is_small(n, met, n - met) or few_accounts(group, n, met)
        if small or group[1] in hidden_types:
            counted.pop(group)
    if missing := sum(kind is not None for _, kind in counted):
        yield f"{missing} response types with human values have no row, or two"


def check_corrected(run: CheckedRun) -> Problems:
    """Corrected numbers: raw shares counted again, a number or a reason, in its interval."""
    if "corrected" not in run.run["tables"]:
        return
    counted, whole, everything = Counter[tuple[str, str]](), 0, 0
    for row in run.subjective():
        whole += 1
        everything += row["response_type"] is not None
        for facet in ("ai_values", "human_values", "response_types"):
            counted.update((facet, name) for name in run.members(row, facet))
    for number, row in enumerate(run.rows("corrected")):
        where, numbers = f"row {number}", [row[name] for name in ("corrected", "low", "high")]
        if (None in numbers) != (row["reason"] is not None) or len({*map(type, numbers)}) != 1:
            yield f"{where}: neither a number nor a reason, or both"
        elif None not in numbers and not numbers[1] <= numbers[0] <= numbers[2]:
            yield f"{where}: the number is outside its interval"
        if row["measure"] == "share" and row["level"] == 0 and row["over_facet"] is None:
            base = everything if row["facet"] == "response_types" else whole
            hits = counted.get((row["facet"], row["label"]), 0)
            if row["facet"] != "subjectivity":
                yield from differ(where, row, {"raw": hits / base})


def _hidden_types(run: CheckedRun) -> set[str]:
    """Response types that some conversations with a human value have, and no public row."""
    stated = {
        row["response_type"]
        for row in run.rows("response_types")
        if row["over"] == "stated" and row["conversations"]
    }
    return {kind for kind in RESPONSE_TYPES if kind not in stated}


def check_intervals(run: CheckedRun) -> Problems:
    """Intervals enclose their number: low <= share <= high, shares within 0 and 1."""
    numbers = [
        ("response_types", "share", "", 0.0, 1.0),
        ("mirroring", "share", "", 0.0, 1.0),
        ("mirroring", "lift", "lift_", 0.0, math.inf),
        ("associations", "odds_ratio", "", 0.0, math.inf),
        ("model_comparison", "difference", "", -1.0, 1.0),
    ]
    for table, name, prefix, least, most in numbers:
        for number, row in enumerate(run.rows(table)):
            low, middle, high = ends = (row[f"{prefix}low"], row[name], row[f"{prefix}high"])
            if ends != (None, None, None) and (
                None in ends
                or not least <= low <= middle + ROUNDING
                or not middle - ROUNDING <= high <= most
            ):
                yield f"{table} row {number}: {ends}"
