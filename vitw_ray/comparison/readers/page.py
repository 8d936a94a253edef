"""The leaderboard as one self-contained HTML page, in the style of the report."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from vitw_ray import wording
from vitw_ray.comparison.readers.headline import QUALITY, quality_of, sign_count
from vitw_ray.comparison.readers.leaderboard import TRUTHS
from vitw_ray.facets import RESPONSE_TYPES, VALUE_FACETS
from vitw_ray.reader_check import check_lines, sign_line
from vitw_ray.report.figures import Part, bar, stacked
from vitw_ray.report.html import environment

TEMPLATES = Path(__file__).parent / "templates"
LEVELS = ("n4", "n2", "p2", "p4")  # colours of the levels of subjectivity, 1 to 4
NAMES = {
    "is_subjective": "subjective or not",
    "subjectivity": "level of subjectivity",
    "response_type": "response type",
    "response_group": "response type in three groups",
    "has_human_values": "any human value",
    "task": "task",
    "ai_values": "AI values",
    "human_values": "human values",
    "near": "by meaning",
    "normalised": "by spelling",
    "valueeval": "ValueEval'23",
    "valuebench": "ValueBench",
    "xstest": "XSTest",
    "political_compass": "Political compass",
    "labelled": "labelled conversations",
    "planted": "planted conversations",
    "found": "values found",
    "found_of_opposites": "found in items of the opposite",
    "labels_placed": "labels with a category",
    "macro_f1": "macro F1",
    "f1": "F1",
}


def render(board: Mapping[str, Any]) -> str:
    """The page of a leaderboard, as `leaderboard.leaderboard` returns it."""
    readers = board["readers"]
    truths = [truth for truth in TRUTHS if any(truth in r["quality"] for r in readers)]
    made = environment(TEMPLATES)
    made.filters["named"] = lambda name: NAMES.get(name, wording.plain(name))
    return made.get_template("leaderboard.html").render(
        board=board,
        readers=readers,
        truths=truths,
        quality=QUALITY,
        quality_rows={t: [_quality_row(r, t) for r in readers] for t in truths},
        ways={truth: list(_ways(readers, truth)) for truth in truths},
        signs=[(r["name"], sign_line(sign)) for r in readers for sign in r["signs"]],
        checked=[(r["name"], r["reader_check"]) for r in readers if r["reader_check"]],
        check_lines=check_lines,
        sign_count=sign_count,
        reliable={truth: list(_reliable(readers, truth)) for truth in truths},
        errors=[(r["name"], code, n) for r in readers for code, n in r["errors"].items()],
        response_types=RESPONSE_TYPES,
        levels=LEVELS,
        mixes=[_mixes(reader) for reader in readers],
        modelled=board["modelled"],
        alpha=[(facet, found, _bar(found)) for facet, found in board["alpha"].items()],
        pairs=[_pair(pair) for pair in board["pairs"]],
        checks=_checks(readers),
        kinds=("length", "language", "source", "assistant"),
        known_name=lambda name: NAMES.get(name, wording.plain(name)),
    )


def _quality_row(reader: Mapping[str, Any], truth: str) -> dict[str, Any]:
    measured = quality_of(reader["quality"][truth])
    shown = [(estimate, _bar(estimate)) for estimate in measured.values()]
    return {
        "name": reader["name"],
        "conversations": reader["quality"][truth]["conversations"],
        "cells": shown,
    }


def _ways(readers: Any, truth: str) -> Iterator[dict[str, Any]]:
    """F1 of lists by each way of comparing, of every reader."""
    for reader in readers:
        for facet in VALUE_FACETS:
            by_way = reader["quality"][truth]["lists"][facet]
            yield {
                "name": reader["name"],
                "facet": facet,
                "ways": {way: measured for way, measured in by_way.items()},
            }


def _reliable(readers: Any, truth: str) -> Iterator[dict[str, Any]]:
    """Confidence against truth, of every reader that gives a confidence."""
    for reader in readers:
        if found := reader["quality"][truth]["reliability"]:
            bins = [one | {"drawn": _bar(one["right"])} for one in found["bins"]]
            yield {"name": reader["name"], **found, "bins": bins}


def _bar(estimate: Mapping[str, Any]) -> Markup:
    """A coefficient from 0 to 1 with its interval; what is below 0 has no length."""
    value = estimate["value"]
    if value is None:
        return Markup("")
    return bar(value, 1.0, label=wording.decimal(value), low=estimate["low"], high=estimate["high"])


def _mixes(reader: Mapping[str, Any]) -> dict[str, Any]:
    def parts(facet: str, tones: tuple[str, ...]) -> Markup | None:
        counts = reader["distributions"][facet]
        total = sum(counts.values())
        if not total:
            return None
        shares = [
            Part(wording.plain(name), n / total, tone)
            for (name, n), tone in zip(counts.items(), tones, strict=True)
            if n
        ]
        return stacked(shares, label=f"{reader['name']}: {NAMES[facet]}")

    return {
        "name": reader["name"],
        "levels": parts("subjectivity", LEVELS),
        "responses": parts("response_type", RESPONSE_TYPES),
        "answered": sum(reader["distributions"]["response_type"].values()),
        "read": sum(reader["distributions"]["subjectivity"].values()),
    }


def _pair(pair: Mapping[str, Any]) -> dict[str, Any]:
    return {"first": pair["first"], "second": pair["second"], "n": pair["conversations"]} | {
        "cells": list(quality_of(pair).values())
    }


def _checks(readers: Any) -> dict[str, dict[str, Any]]:
    """By outside check: names of the measures, and a row per reader."""
    names = {name for reader in readers for name, found in reader["checks"].items() if found}
    tables = {}
    for name in sorted(names):
        rows = {r["name"]: r["checks"][name] for r in readers if r["checks"].get(name)}
        tables[name] = {"measures": list(next(iter(rows.values()))), "rows": rows}
    return tables
