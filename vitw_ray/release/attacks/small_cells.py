"""Public numbers that rest on fewer conversations or accounts than a label needs."""

import re
from collections import Counter
from dataclasses import dataclass

from vitw_ray.release.attacks.findings import Outcome
from vitw_ray.release.attacks.folder import PublicFolder, Row

_COUNT = re.compile(
    r"(conversations?|counts?|n|size|num|total|observed|mirrored|explicit|implicit|freq\w*"
    r"|chats?|records|items|n_\w+|num_\w+|\w+_count|\w+_size|count_\w+|conversations_[ab]"
    r"|number_of_\w+)",
    re.IGNORECASE,
)
_ACCOUNTS = re.compile(r"(accounts?|users?|people|\w+_(accounts|users))", re.IGNORECASE)
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Thresholds:
    """What a public number needs."""

    conversations: int
    accounts: int

    @classmethod
    def of(
        cls, folder: PublicFolder, conversations: int | None, accounts: int | None
    ) -> "Thresholds":
        """Those given, else those that the folder says of itself, else the paper's."""
        said = folder.documents.get("run.json", {})
        labels = said.get("config", {}).get("labels", {}) if isinstance(said, dict) else {}
        return cls(
            conversations or labels.get("min_conversations", 15),
            accounts or labels.get("min_accounts", 5),
        )


def number(value: object) -> int | None:
    """A count, also as a cell of a CSV file; None for anything else."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return value
    try:
        found = float(str(value).replace(",", ""))
    except ValueError:
        return None
    return int(found) if found.is_integer() else None


def is_count(column: str) -> bool:
    """Whether a column of this name counts conversations."""
    return bool(_COUNT.fullmatch(column))


def attack_small_cells(folder: PublicFolder, thresholds: Thresholds) -> Outcome:
    """Count the cells of 1 to `least` - 1, by table and column, shares of a base included."""
    outcome = Outcome("small cells")
    for name, rows in folder.tables.items():
        small: Counter[tuple[str, int]] = Counter()
        for row in rows:
            for column, value, least in _numbers(row, thresholds):
                outcome.looked_at += 1
                small[column, least] += 0 < value < least
        for (column, least), cells in sorted(small.items()):
            if cells:
                outcome.found(f"{name}.{column}", f"{cells:,} cells of 1 to {least - 1}")
    return outcome


def _numbers(row: Row, thresholds: Thresholds) -> list[tuple[str, int, int]]:
    found = []
    for column, value in row.items():
        n = number(value) if isinstance(column, str) else None
        if n is None:
            continue
        if _ACCOUNTS.fullmatch(column):
            found.append((column, n, thresholds.accounts))
        elif is_count(column):
            found.append((column, n, thresholds.conversations))
    for side in ("a", "b"):
        share, base = row.get(f"share_{side}"), row.get(f"conversations_{side}")
        if share is not None and base and row.get("matched_on", "nothing") != "tasks":
            hits = round(share * base)
            if abs(hits - share * base) < _ROUNDING * base:
                found.append((f"share_{side}", hits, thresholds.conversations))
    return found
