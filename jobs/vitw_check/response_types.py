"""Response types of all conversations, of each model and of each category, counted again."""

from collections import Counter

from .intervals import share_of
from .problems import Problems, differ, off
from .reading import Row
from .recounting import CheckedRun

Group = tuple[str | None, str | None, str | None]  # model, facet, category of it
Cell = tuple[str | None, str | None, str | None, str]  # a group and a response type
ALL: Group = (None, None, None)


def check_response_types(run: CheckedRun) -> Problems:
    """Response types over all, per model and per category: counts, shares, intervals."""
    table = list(run.rows("response_types"))
    counted, accounts = Counter[Cell](), run.cell_accounts()
    facets = {row["over_facet"] for row in table} - {None}
    for row in (row for row in run.subjective() if row["response_type"] is not None):
        groups: set[Group] = {ALL, (row["model"], None, None)}
        groups |= {(None, f, name) for f in facets for name in run.members(row, f)}
        cells = [(*group, row["response_type"]) for group in groups]
        counted.update(cells)
        accounts.count(row["account_id"], cells)
    totals = Counter[Group]()
    for cell, n in counted.items():
        totals[cell[:3]] += n
    hidden = {cell for cell, n in counted.items() if run.is_small(n) or accounts.few(cell)}
    missing = dict(counted)
    for number, row in enumerate(table):
        group: Group = (row["model"], row["over_facet"], row["over"])
        cell = (*group, row["response_type"])
        hits = missing.pop(cell, 0)
        yield from off(f"row {number}: conversations", row["conversations"], hits)
        yield from differ(f"row {number}", row, share_of(hits, totals[group]))
        if run.is_small(row["conversations"]):
            yield f"row {number}: too few conversations to be public"
        if row["conversations"] and accounts.few(cell):
            yield f"row {number}: too few accounts to be public"
    groups = {(row["model"], row["over_facet"], row["over"]) for row in table}
    needless = {cell for cell in _needless(table, missing, hidden) if cell[:3] in groups}
    if needless:
        yield f"{len(needless)} response types that occur in a group have no row, or two"
    # beside what is hidden, one more suffices
    if ALL not in groups and sum(cell[:3] == ALL for cell in missing.keys() - hidden) > 1:
        yield "no row for all conversations of all models"


def _lines(cell: Cell) -> list[tuple[str | None, ...]]:
    """What a cell adds up with: its group, and its response type over the groups of a facet."""
    return [cell[:3], (cell[1], cell[3])]


def _needless(table: list[Row], missing: dict[Cell, int], hidden: set[Cell]) -> set[Cell]:
    """Missing cells that are neither hidden nor the smallest of a line that lacks another one.

    A line lacks one if a cell of it is hidden, or is missing beside one that is.
    """
    least: dict[tuple[str | None, ...], int] = {}
    for row in table:
        cell = (row["model"], row["over_facet"], row["over"], row["response_type"])
        for line in _lines(cell):
            if n := row["conversations"]:
                least[line] = min(n, least.get(line, n))
    facets = {row["over_facet"] for row in table}
    left, reached = missing.keys() - hidden, missing.keys() & hidden
    lines: set[tuple[str | None, ...]] = set()
    while reached:
        lines |= {line for cell in reached for line in _lines(cell)}
        # what all conversations lack, the groups of each facet lack somewhere
        lines |= {(facet, cell[3]) for cell in reached if cell[:3] == ALL for facet in facets}
        reached = {
            cell
            for cell in left
            if any(
                line in lines and missing[cell] <= least.get(line, missing[cell])
                for line in _lines(cell)
            )
        }
        left -= reached
    return left
