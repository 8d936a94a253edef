"""Response types and mirroring, counted again, and the intervals of all statistics."""

import math
from collections import Counter

from .expected import RESPONSE_TYPES
from .intervals import share_of
from .problems import Problems, differ, off
from .reading import Row
from .recounting import CheckedRun

ROUNDING = 1e-12  # a bound may be the number itself, computed in another order


def check_response_types(run: CheckedRun) -> Problems:
    """Response types over all, per model and per category: counts, shares, intervals."""
    table = list(run.rows("response_types"))
    groups = {(row["model"], row["over_facet"], row["over"]) for row in table}
    facets = {facet for _, facet, _ in groups} - {None}
    counted, totals = Counter[tuple](), Counter[tuple]()
    for row in (row for row in run.subjective() if row["response_type"] is not None):
        overs = [(None, None), *((f, name) for f in facets for name in run.members(row, f))]
        for group in {(model, *over) for model in (None, row["model"]) for over in overs} & groups:
            totals[group] += 1
            counted[*group, row["response_type"]] += 1
    for number, row in enumerate(table):
        group = (row["model"], row["over_facet"], row["over"])
        hits = counted.pop((*group, row["response_type"]), 0)
        yield from off(f"row {number}: conversations", row["conversations"], hits)
        yield from differ(f"row {number}", row, share_of(hits, totals[group]))
        if run.is_small(row["conversations"]):
            yield f"row {number}: too few conversations to be public"
    if missing := _needless(run, table, counted):
        yield f"{missing} response types that occur in a group have no row, or two"
    if (None, None, None) not in groups and not run.may_be_hidden(run.grid.total):
        yield "no row for all conversations of all models"


def check_mirroring(run: CheckedRun) -> Problems:
    """How often a human value, or its cluster, is among the AI values, recounted by level."""
    counted, mirrored = Counter[tuple[int, str]](), Counter[tuple[int, str]]()
    levels = {row["level"] for row in run.rows("mirroring")}
    for row in run.subjective():
        human, ai = run.members(row, "human_values"), run.members(row, "ai_values")
        for level in levels if human else ():
            twins, shown = (
                {path[level] for n in names if (path := run.above.get(("ai_values", n)))}
                for names in (human, ai)
            )
            counted[level, row["response_type"]] += 1
            mirrored[level, row["response_type"]] += not twins.isdisjoint(shown)
    for number, row in enumerate(run.rows("mirroring")):
        where, group = f"row {number}", (row["level"], row["response_type"])
        yield from off(f"{where}: conversations", row["conversations"], counted.pop(group, 0))
        yield from off(f"{where}: mirrored", row["mirrored"], mirrored[group])
        yield from differ(where, row, share_of(row["mirrored"], row["conversations"]))
        if row["lift"] is not None:
            yield from differ(where, row, {"lift": row["share"] / row["share_by_chance"]})
        if run.is_small(row["conversations"], row["mirrored"]):
            yield f"{where}: too few conversations to be public"
    for group in [*counted]:
        n, met = counted[group], mirrored[group]
        if run.may_be_hidden(n, met, n - met) or group[1] in _hidden_types(run):
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


def _needless(run: CheckedRun, table: list[Row], missing: Counter[tuple]) -> int:
    """Missing response types that are neither too few nor the smallest beside some that are.

    Others are hidden with them within a group, and within a response type over the groups.
    """
    least: dict[tuple, int] = {}
    for row in table:
        group = (row["model"], row["over_facet"], row["over"])
        for line in (group, (row["over_facet"], row["response_type"])):
            if row["conversations"]:
                least[line] = min(row["conversations"], least.get(line, row["conversations"]))
    beside = Counter(line for cell in missing for line in (cell[:3], (cell[1], cell[3])))
    return sum(
        not run.may_be_hidden(n)
        and not any(
            beside[line] > 1 and n <= least.get(line, n) for line in (cell[:3], (cell[1], cell[3]))
        )
        for cell, n in missing.items()
    )


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
