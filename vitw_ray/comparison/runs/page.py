"""The page of two runs: one self-contained HTML file, in the style and with the safety of a report.

It reads without its script, which finds rows by name and writes them all as CSV.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vitw_ray.comparison.runs.differing import Difference, Kind
from vitw_ray.comparison.runs.shared import FEWEST, Agreement
from vitw_ray.comparison.runs.sides import Side
from vitw_ray.facts import RunFacts
from vitw_ray.inert import inert
from vitw_ray.report.explorer.compact import json_text, short
from vitw_ray.report.html import SCRIPTS as OF_REPORT
from vitw_ray.report.html import environment, scripted_page
from vitw_ray.wording import plain

TEMPLATES = Path(__file__).parent / "templates"
SCRIPTS = (OF_REPORT / "1_dom.js", OF_REPORT / "7_tables.js", TEMPLATES)
SHOWN, FOLDED = 15, 200  # ours: rows of a list before a fold and in it; the script finds all
ALONE = 30  # ours: names that only one run has
UNTOLD = "not stated"


def render(sides: tuple[Side, Side], kinds: Sequence[Kind], agreed: Agreement, alpha: float) -> str:
    """HTML, UTF-8, the same text for the same arguments."""
    facts = sides[0].facts, sides[1].facts
    told, beside = list(_facts(*facts)), list(_settings(*facts))
    shown = {
        "a": facts[0],
        "b": facts[1],
        "differing_facts": [row for row in told if row[1] != row[2]],
        "same_facts": [row for row in told if row[1] == row[2]],
        "differing_settings": [row for row in beside if row[2] != row[3]],
        "same_settings": [row for row in beside if row[2] == row[3]],
        "kinds": kinds,
        "agreed": agreed,
        "fewest": FEWEST,
        "alpha": alpha,
        "shown": SHOWN,
        "folded": FOLDED,
        "alone": ALONE,
        "surest": _surest(kinds),
    }
    data = json_text(_data(kinds))
    return scripted_page(environment(TEMPLATES), "two_runs.html", shown, data, *SCRIPTS)


def _surest(kinds: Sequence[Kind]) -> list[tuple[Kind, Difference]]:
    """The surest difference of each kind that has one."""
    return [(kind, kind.sure[0]) for kind in kinds if kind.sure]


def _facts(a: RunFacts, b: RunFacts) -> Iterator[tuple[str, str, str]]:
    """What both runs are, in words."""

    def days(run: RunFacts) -> str:
        return " to ".join(dict.fromkeys(run.days)) or UNTOLD

    def counted(counts: Any) -> str:
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        listed = ", ".join(f"{name} ({n:,})" for name, n in ranked[:6])
        more = len(ranked) - 6
        return (listed + (f" and {more:,} more" if more > 0 else "")) or UNTOLD

    yield "Reader", a.reader, b.reader
    yield "Days covered", days(a), days(b)
    yield "Conversations by source", counted(a.sources), counted(b.sources)
    yield "Conversations by assistant", counted(a.models), counted(b.models)
    yield "Conversations read", f"{a.totals.conversations:,}", f"{b.totals.conversations:,}"
    yield "Conversations failed", f"{a.totals.failed:,}", f"{b.totals.failed:,}"
    yield "Conversations subjective", f"{a.totals.subjective:,}", f"{b.totals.subjective:,}"
    yield "Sampling", "; ".join(a.making.sampling), "; ".join(b.making.sampling)
    yield "Support threshold", a.note, b.note
    yield "Screen", a.screen or "none", b.screen or "none"
    for name in sorted(a.versions.keys() | b.versions.keys()):
        yield f"Version of {name}", a.versions.get(name, UNTOLD), b.versions.get(name, UNTOLD)


def _settings(a: RunFacts, b: RunFacts) -> Iterator[tuple[str, str, str, str]]:
    """Stage, name and both values of every setting that decides numbers."""
    found = a.making.settings, b.making.settings
    for stage in dict.fromkeys([*found[0], *found[1]]):
        sides = [settings.get(stage, {}) for settings in found]
        for name in dict.fromkeys([*sides[0], *sides[1]]):
            yield stage, plain(name), sides[0].get(name, UNTOLD), sides[1].get(name, UNTOLD)


def _data(kinds: Sequence[Kind]) -> dict[str, Any]:
    """Every comparison as columns, for the script."""
    return {
        "kinds": [kind.title for kind in kinds],
        "rows": [
            [
                place,
                inert(row.name),
                inert(row.other) if row.other else None,
                *row.hits,
                *row.of,
                *short([row.difference, row.low, row.high, row.p_adjusted]),
                int(row.sure),
            ]
            for place, kind in enumerate(kinds)
            for row in kind.rows
        ],
        "alone": [
            [place, side, inert(name), count]
            for place, kind in enumerate(kinds)
            for side, names in enumerate(kind.only)
            for name, count in names
        ],
    }
