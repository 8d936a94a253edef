"""The values shown in a task by response type, counted again."""

from collections import Counter

from .associations import shrunken
from .intervals import share_of
from .problems import Problems, differ, off
from .reading import Row
from .recounting import CheckedRun

Cell = tuple[str, str, str]  # task, response type, value
MOST = 50  # tasks, and values where a level has so few


def check_task_values(run: CheckedRun) -> Problems:
    """Values of one level in the largest tasks: counts, shares, shrunken odds ratios."""
    table = list(run.rows("task_values"))
    counted, accounts = Counter[Cell](), run.cell_accounts()
    sums = Counter[tuple[str, str | None]]()  # task with a value, a response type, or None
    for row in (row for row in run.subjective() if row["cluster"] is not None):
        task, kind = row["cluster"], row["response_type"]
        low = run.members(row, "ai_values")
        values = {name for x in low for name in run.above.get(("ai_values", x), (x,))}
        sums.update((task, name) for name in {*values, None} | ({kind} - {None}))
        cells = [(task, kind, value) for value in values] if kind is not None else []
        counted.update(cells)
        accounts.count(row["account_id"], cells)
    for number, row in enumerate(table):
        where, cell = f"row {number}", (row["task_cluster"], row["response_type"], row["value"])
        hits = counted[cell]
        margins = sums[cell[0], cell[2]], sums[cell[0], cell[1]], sums[cell[0], None]
        yield from off(f"{where}: conversations", row["conversations"], hits)
        yield from differ(where, row, share_of(hits, margins[1]))
        yield from _ratio(where, row, hits, margins)
        if not hits or run.is_small(hits) or accounts.few(cell):
            yield f"{where}: too few conversations or accounts to be public"
    cells = {(row["task_cluster"], row["response_type"], row["value"]) for row in table}
    if len(cells) < len(table):
        yield "a task, response type and value stand twice"
    if len({task for task, _, _ in cells}) > MOST or len({row["level"] for row in table}) > 1:
        yield f"more than {MOST} tasks, or values of more than one level"


def _ratio(where: str, row: Row, hits: int, margins: tuple[int, int, int]) -> Problems:
    """The odds ratio within the task, or why there is none."""
    of_value, of_type, of_task = margins
    expected: dict[str, float | None] = dict.fromkeys(("shrunken", "shrunken_low", "shrunken_high"))
    if of_task in (of_value, of_type):
        reason = "row_always" if of_task == of_value else "column_always"
    elif not hits:
        return  # told above
    else:
        expected = shrunken(hits, *margins)
        reason = "few_conversations" if expected["shrunken"] is None else None
    yield from differ(where, row, expected)
    if row["reason"] != reason:
        yield f"{where}: reason {row['reason']}"
