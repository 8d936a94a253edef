"""What goes with what: observed and expected counts, residuals, variation."""

import math
from collections import Counter
from itertools import combinations

from .expected import BOTTOM, VALUE_FACETS
from .intervals import Z_95, woolf
from .problems import Problems, differ, off
from .reading import Row
from .recounting import Cell, CheckedRun


def cell_of(row: Row) -> Cell:
    """The cell that a row of `associations` is about."""
    return row["row_facet"], row["row"], row["column_facet"], row["column"]


def check_associations(run: CheckedRun) -> Problems:
    """Every observed count, recounted; every pair that occurs is there, once, at its level."""
    levels = {(f, n): level for (f, _), path in run.above.items() for level, n in enumerate(path)}
    pairs = {cell_of(row)[::2] for row in run.rows("associations")}
    missing = {cell for cell in run.grid.both if cell[::2] in pairs}
    hidden = {cell for cell in missing if run.grid.is_hidden(run, cell)}
    # what they hide, and beside and above and below
    facets = {cell[2] for cell in hidden} - {*VALUE_FACETS}
    for number, row in enumerate(run.rows("associations")):
        cell = cell_of(row)
        if levels.get(cell[:2]) != row["level"]:
            yield f"row {number}: no kept label or cluster of level {row['level']}"
        yield from off(f"row {number}: observed", row["observed"], run.grid.both[cell])
        if row["observed"] and cell not in missing:
            yield f"row {number}: the same pair a second time"
        missing.discard(cell)
        if run.is_small(row["observed"]):
            yield f"row {number}: too few conversations to be public"
        if row["observed"] and run.grid.accounts.few(cell):
            yield f"row {number}: too few accounts to be public"
    if alone := {cell for cell in missing - hidden if cell[2] not in facets}:
        yield f"{len(alone)} pairs that occur together have no row"


def check_residuals(run: CheckedRun) -> Problems:
    """Expected counts, residuals and odds ratios, computed from margins that are recounted."""
    n, alpha = run.grid.total, run.setting("statistics", "alpha")
    for number, row in enumerate(run.rows("associations")):
        where, observed = f"row {number}", row["observed"]
        a, b = run.grid.one[cell_of(row)[:2]], run.grid.one[cell_of(row)[2:]]
        p, adjusted = row["p_value"], row["p_adjusted"]
        if not (0 < a < n and 0 < b < n):
            if row["residual"] is not None or row["significant"] or not row["reason"]:
                yield f"{where}: an empty margin, and no reason or a result"
            continue
        residual = signed_root_of_chi_square(observed, a, b, n)
        assert residual is not None
        odds = dict(zip(("odds_ratio", "low", "high"), woolf(observed, a, b, n), strict=True))
        v = abs(residual) / math.sqrt(n)
        numbers = {"expected": a * b / n, "residual": residual, "cramers_v": v, **odds}
        yield from differ(where, row, numbers)
        yield from by_account(where, row)
        if p is None or adjusted is None or not 0 <= p <= adjusted <= 1:
            yield f"{where}: p_value {p}, p_adjusted {adjusted}"
        elif row["significant"] is not (adjusted < alpha):
            yield f"{where}: significant {row['significant']} at p_adjusted {adjusted}"
        yield from differ(where, row, shrunken(observed, a, b, n))
        yield from discovered(where, row, alpha)


def shrunken(both: int, row: int, column: int, n: int) -> dict[str, float | None]:
    """Log odds after five conversations more with the row's label, in the column and outside."""
    names = ("shrunken", "shrunken_low", "shrunken_high")
    if both < 5 and row * column < 5 * n:
        return dict.fromkeys(names)
    others = 5 * (n / row - 1)
    inside = (both + 5, column - both + others)
    outside = (row - both + 5, n - row - column + both + others)
    middle = math.log(inside[0] / inside[1]) - math.log(outside[0] / outside[1])
    half = Z_95 * math.sqrt(sum(1 / cell for cell in (*inside, *outside)))
    return dict(zip(names, (middle, middle - half, middle + half), strict=True))


def discovered(where: str, row: Row, alpha: float) -> Problems:
    """A discovery has a small q_tree, which is never below the pair's own p-value."""
    q = row["q_tree"]
    if row["discovered"] is not (q is not None and q <= alpha):
        yield f"{where}: discovered {row['discovered']} at q_tree {q}"
    if q is not None and not row["p_value"] <= q * (1 + 1e-9):
        yield f"{where}: q_tree {q} below p_value {row['p_value']}"
    if row["reason"] != ("few_conversations" if row["shrunken"] is None else None):
        yield f"{where}: shrunken {row['shrunken']}, reason {row['reason']}"


def by_account(where: str, row: Row) -> Problems:
    """Accounts only ever weaken a residual, and are asked where it is significant."""
    weaker = row["residual_by_account"]
    if weaker is None:
        return
    if not row["significant"]:
        yield f"{where}: residual_by_account of a cell that is not significant"
    if weaker * row["residual"] < 0 or abs(weaker) > abs(row["residual"]) * (1 + 1e-9):
        yield f"{where}: residual_by_account {weaker} beside {row['residual']}"


def check_cooccurrence(run: CheckedRun) -> Problems:
    """Every two kept labels of a facet that stand in one conversation, recounted."""
    counted, accounts = Counter[tuple[str, str, str]](), run.cell_accounts()
    for row in run.subjective():
        for facet in VALUE_FACETS:
            pairs = combinations(sorted(run.members(row, facet)), 2)
            cells = [(facet, a, b) for a, b in pairs]
            counted.update(cells)
            accounts.count(row["account_id"], cells)
    for number, row in enumerate(run.rows("cooccurrence")):
        pair = (row["facet"], row["label_a"], row["label_b"])
        yield from off(f"row {number}: conversations", row["conversations"], counted.pop(pair, 0))
        if run.is_small(row["conversations"]):
            yield f"row {number}: too few conversations to be public"
        if accounts.few(pair):
            yield f"row {number}: too few accounts to be public"
    if missing := sum(not (run.is_small(n) or accounts.few(pair)) for pair, n in counted.items()):
        yield f"{missing} pairs that occur together have no row, or two"


def signed_root_of_chi_square(both: int, row: int, column: int, n: int) -> float | None:
    """Residual of a 2 x 2 table by its margins, None where one of them is empty."""
    if not (0 < row < n and 0 < column < n):
        return None
    expected = row * column / n
    return (both - expected) / math.sqrt(expected * (1 - row / n) * (1 - column / n))


def check_variation(run: CheckedRun) -> Problems:
    """Shares and coefficients of variation of the kept labels, recounted.

    A coefficient of cells that are not all public is not that of the cells.
    """
    one, both = run.grid.one, run.grid.both
    public = {cell_of(row) for row in run.rows("associations")}
    stated = {cell[::2] for cell in public}
    shares = {(row["facet"], row["label"]): row["share"] for row in run.labels if row["kept"]}
    for number, row in enumerate(run.rows("variation")):
        facet, label, over = row["facet"], row["label"], row["over_facet"]
        lowest = [n for f, n in one if f == over and (f not in BOTTOM or (f, n) in run.above)]
        if over == "periods":
            lowest = [n for n in lowest if not run.grid.is_rare(run, (over, n))]
        cells = [(facet, label, over, name) for name in lowest]
        parts = [both[cell] / one[over, cell[3]] for cell in cells]
        mean = sum(parts) / max(1, len(parts))
        spread = math.sqrt(sum((part - mean) ** 2 for part in parts) / max(1, len(parts)))
        cv = spread / mean if mean and len(parts) > 1 else None
        expected = {"share": shares.get((facet, label)), "coefficient_of_variation": cv}
        if over == "periods" and row["coefficient_of_variation"] is None:
            del expected["coefficient_of_variation"]  # a count is too small to be public
        elif over != "periods" and any(
            run.grid.is_hidden(run, cell)
            or (both[cell] and cell[::2] in stated and cell not in public)
            for cell in cells
        ):
            del expected["coefficient_of_variation"]
        yield from differ(f"row {number}", row, expected)
        if row["corrected"] is not None and not row["corrected"] >= 0:
            yield f"row {number}: corrected {row['corrected']}"
        ends = [row[name] for name in ("low", "corrected", "high")]
        if None not in ends and not 0 <= ends[0] <= ends[1] <= ends[2]:
            yield f"row {number}: corrected {ends[1]} is not in its interval {ends[0]} {ends[2]}"
