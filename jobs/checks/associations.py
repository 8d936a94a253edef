"""What goes with what: observed and expected counts, residuals, variation."""

import math

from .expected import BOTTOM
from .intervals import woolf
from .problems import Problems, differ, off
from .reading import Row
from .recounting import Run


def cell_of(row: Row) -> tuple[str, str, str, str]:
    """The cell that a row of `associations` is about."""
    return row["row_facet"], row["row"], row["column_facet"], row["column"]


def check_associations(run: Run) -> Problems:
    """Every observed count, recounted; every pair that occurs is there, once, at its level."""
    levels = {(f, n): level for (f, _), path in run.above.items() for level, n in enumerate(path)}
    pairs = {cell_of(row)[::2] for row in run.rows("associations")}
    missing = {cell for cell in run.grid.both if cell[::2] in pairs}
    for number, row in enumerate(run.rows("associations")):
        cell = cell_of(row)
        if levels.get(cell[:2]) != row["level"]:
            yield f"row {number}: no kept label or cluster of level {row['level']}"
        yield from off(f"row {number}: observed", row["observed"], run.grid.both[cell])
        if row["observed"] and cell not in missing:
            yield f"row {number}: the same pair a second time"
        missing.discard(cell)
    if missing:
        yield f"{len(missing)} pairs that occur together have no row"


def check_residuals(run: Run) -> Problems:
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
        residual = (observed - a * b / n) / math.sqrt(a * b / n * (1 - a / n) * (1 - b / n))
        odds = dict(zip(("odds_ratio", "low", "high"), woolf(observed, a, b, n), strict=True))
        yield from differ(where, row, {"expected": a * b / n, "residual": residual, **odds})
        if p is None or adjusted is None or not 0 <= p <= adjusted <= 1:
            yield f"{where}: p_value {p}, p_adjusted {adjusted}"
        elif row["significant"] is not (adjusted < alpha):
            yield f"{where}: significant {row['significant']} at p_adjusted {adjusted}"


def check_variation(run: Run) -> Problems:
    """Shares and coefficients of variation of the kept labels, recounted."""
    one, both = run.grid.one, run.grid.both
    shares = {(row["facet"], row["label"]): row["share"] for row in run.labels if row["kept"]}
    for number, row in enumerate(run.rows("variation")):
        facet, label, over = row["facet"], row["label"], row["over_facet"]
        lowest = [n for f, n in one if f == over and (f not in BOTTOM or (f, n) in run.above)]
        parts = [both[facet, label, over, name] / one[over, name] for name in lowest]
        mean = sum(parts) / max(1, len(parts))
        spread = math.sqrt(sum((part - mean) ** 2 for part in parts) / max(1, len(parts)))
        cv = spread / mean if mean and len(parts) > 1 else None
        expected = {"share": shares.get((facet, label)), "coefficient_of_variation": cv}
        yield from differ(f"row {number}", row, expected)
        if row["corrected"] is not None and not row["corrected"] >= 0:
            yield f"row {number}: corrected {row['corrected']}"
