"""Two releases of nearly the same conversations: what the difference tells of the few between."""

from typing import Any

from vitw_ray.release.attacks.findings import Outcome
from vitw_ray.release.attacks.folder import PublicFolder, Row
from vitw_ray.release.attacks.small_cells import Thresholds, is_count, number

_TABLES_WITHOUT_KEYS = ("run.json", "_SUCCESS.json")


def attack_differences(
    folder: PublicFolder, before: PublicFolder | None, thresholds: Thresholds
) -> Outcome:
    """Count the numbers that moved by fewer conversations than the threshold, and are not equal."""
    outcome = Outcome("differencing")
    if before is None:
        outcome.skipped = "no --before"
        return outcome
    for name in sorted(folder.tables.keys() & before.tables.keys()):
        if any(part in name for part in _TABLES_WITHOUT_KEYS):
            continue
        new, old = _counts(folder.tables[name]), _counts(before.tables[name])
        moved = 0
        for key in new.keys() & old.keys():
            outcome.looked_at += 1
            moved += 0 < abs(new[key] - old[key]) < thresholds.conversations
        if moved:
            outcome.found(name, f"{moved:,} numbers moved by 1 to {thresholds.conversations - 1}")
    return outcome


def _counts(rows: list[Row]) -> dict[tuple[Any, ...], int]:
    """The counts of a table by what names them: the text cells of the row, and the column."""
    counts: dict[tuple[Any, ...], int] = {}
    for row in rows:
        texts = tuple(
            sorted((str(k), v) for k, v in row.items() if isinstance(v, str) and number(v) is None)
        )
        for column, value in row.items():
            n = number(value)
            if isinstance(column, str) and is_count(column) and n is not None:
                counts[(*texts, column)] = n
    return counts
