"""The shorter sections of the page: tables -> plain rows and bars."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from vitw_ray.facets import BY_NAME, RESPONSE_TYPES
from vitw_ray.facts import RunFacts, RunTotals
from vitw_ray.intervals import wilson
from vitw_ray.report.figures import Part, bar, stacked
from vitw_ray.report.tree_view import Names
from vitw_ray.wording import UNKNOWN, percent, plain

Row = dict[str, Any]

# paper, section 2: shares of all subjective conversations
PAPER_RESPONSE_TYPES = {
    "strong_support": 0.282,
    "mild_support": 0.145,
    "neutral_acknowledgment": 0.096,
    "reframing": 0.066,
    "mild_resistance": 0.024,
    "strong_resistance": 0.030,
    "no_values": 0.357,
}


PAPER_SHARES = {"ai_values": "98.6%", "human_values": "45.1%"}  # paper, 1.3: with at least one


class Tile(NamedTuple):
    """One headline number."""

    value: str
    caption: str
    beside: str


def headline(labels: pa.Table, totals: RunTotals) -> list[Tile]:
    """The headline numbers, each with the paper's number (1.1, 1.3, 1.4)."""
    subjective = totals.subjective
    answered = totals.conversations - totals.failed
    kept = labels.filter((pc.field("facet") == "ai_values") & pc.field("kept")).num_rows
    each = f"{totals.pairs['ai_values'] / subjective:.1f}" if subjective else UNKNOWN
    share = subjective / answered if answered else None
    stated = totals.share_with("human_values")
    silent = None if stated is None else 1 - stated
    return [
        Tile(f"{totals.conversations:,}", "conversations read", "paper: 700,000"),
        Tile(percent(share), f"subjective ({subjective:,})", "paper: 44.0%"),
        Tile(f"{kept:,}", "AI values with enough support", "paper: 3,307"),
        Tile(each, "AI values per subjective conversation", "paper: 4.0"),
        Tile(percent(silent), "of subjective conversations state no human value", "paper: 54.9%"),
    ]


class Ranking(NamedTuple):
    """The most common labels of one facet. `rows` have the columns of the table and `bar`."""

    rows: list[Row]
    kept: int
    below_support: int


def top_values(labels: pa.Table, facet: str, run: RunFacts, top: int) -> Ranking:
    """Labels with enough support, most common first, ties in alphabetical order."""
    mine = labels.filter(pc.field("facet") == facet)
    kept = mine.filter(pc.field("kept"))
    order = [("conversations", "descending"), ("label", "ascending")]
    rows = kept.sort_by(order).slice(0, top).to_pylist()
    low, high = wilson([row["conversations"] for row in rows], run.totals.subjective)
    tone = "ai" if BY_NAME[facet].speaker == "assistant" else "human"
    for row, bottom, ceiling in zip(rows, low.tolist(), high.tolist(), strict=True):
        row |= {"low": bottom, "high": ceiling}
        row["bar"] = _interval_bar(row, float(high.max()), tone)
    return Ranking(rows, kept.num_rows, run.rare_labels.get(facet, 0))


def overall_response_types(table: Sequence[Row]) -> list[Row]:
    """The seven response types over all conversations, with bars and the shares of the paper."""
    rows = in_order(row for row in table if row["model"] is None and row["over_facet"] is None)
    scale = max((row["high"] or row["share"] or 0.0 for row in rows), default=1.0)
    for row in rows:
        row["paper"] = PAPER_RESPONSE_TYPES.get(row["response_type"])
        row["bar"] = _interval_bar(row, scale, row["response_type"])
    return rows


class Silence(NamedTuple):
    """Disagreements of the reader about whether the user stated a value, in conversations."""

    no_values_though_stated: int  # a human value, but the response type `no_values`
    stated: int  # all with a human value
    treated_though_none: int  # no human value, but another response type
    none: int  # all without a human value


def silence(table: Sequence[Row]) -> Silence | None:
    """Counts of both disagreements; None if the table has no such rows, or does not show them."""
    over: dict[str, list[Row]] = defaultdict(list)
    for row in table:
        if row["over_facet"] == "any_human_value":
            over[row["over"]].append(row)
    silent = {
        row["over"]: row["conversations"]
        for rows in over.values()
        for row in rows
        if row["response_type"] == "no_values"
    }
    stated, none = _base(over["stated"]), _base(over["none"])
    if not silent.keys() >= {"stated", "none"} or not stated + none:
        return None
    return Silence(silent["stated"], stated, none - silent["none"], none)


def _base(rows: Sequence[Row]) -> int:
    """The conversations that the shares of some rows are of; rows may be hidden, so no sum."""
    largest = max(rows, key=lambda row: row["conversations"], default=None)
    if largest is None or not largest["share"]:
        return 0
    return round(largest["conversations"] / largest["share"])


class Mix(NamedTuple):
    """The response types of one group: an assistant or a task. `rows` are by response type."""

    name: str
    conversations: int
    rows: Mapping[str, Row]
    bar: str


def by_model(table: Sequence[Row]) -> list[Mix]:
    """One mix per assistant, the largest first."""
    mine = (row for row in table if row["model"] is not None and row["over_facet"] is None)
    return _mixes(mine, lambda row: row["model"])


def by_task(table: Sequence[Row], names: Names) -> list[Mix]:
    """One mix per task, over all assistants, the largest first."""
    mine = (row for row in table if row["model"] is None and row["over_facet"] == "tasks")
    return _mixes(mine, lambda row: names.get(("tasks", row["over"]), row["over"]))


def _mixes(rows: Iterable[Row], name_of: Callable[[Row], str]) -> list[Mix]:
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[name_of(row)].append(row)
    mixes = []
    for name, members in groups.items():
        kinds = {row["response_type"]: row for row in in_order(members)}
        parts = [Part(plain(kind), row["share"] or 0.0, kind) for kind, row in kinds.items()]
        spoken = ", ".join(f"{part.name} {percent(part.share)}" for part in parts)
        mixes.append(Mix(name, _base(members), kinds, stacked(parts, label=spoken)))
    return sorted(mixes, key=lambda mix: (-mix.conversations, mix.name))


def mirroring(table: Sequence[Row]) -> dict[int, list[Row]]:
    """Level -> rows with bars and the chance mark, without response types that never occur."""
    levels: dict[int, list[Row]] = defaultdict(list)
    for row in table:
        if row["conversations"] > 0:
            levels[row["level"]].append(row)
    for rows in levels.values():
        scale = max(row[end] or 0.0 for row in rows for end in ("share", "high", "share_by_chance"))
        for row in rows:
            row["bar"] = _interval_bar(row, scale, row["response_type"], row["share_by_chance"])
    return {level: in_order(levels[level]) for level in sorted(levels)}


def _interval_bar(row: Row, scale: float, tone: str, mark: float | None = None) -> str:
    spoken = f"{percent(row['share'])}, from {percent(row['low'])} to {percent(row['high'])}"
    return bar(
        row["share"] or 0.0,
        scale,
        label=spoken if mark is None else f"{spoken}; by chance {percent(mark)}",
        tone=tone,
        low=row["low"],
        high=row["high"],
        mark=mark,
    )


def in_order(rows: Iterable[Row]) -> list[Row]:
    """Rows in the order of `RESPONSE_TYPES`; unknown ones at the end."""
    places = {kind: place for place, kind in enumerate(RESPONSE_TYPES)}
    return sorted(
        rows, key=lambda row: (places.get(row["response_type"], 99), row["response_type"])
    )


def confidence(run: RunFacts) -> list[Row]:
    """How often the reader was right, by its confidence, with `drawn`, a bar from 0 to 1."""
    rows = []
    for found in run.confidence:
        right = found["right"]
        spoken = f"right in {percent(right['value'])}, from {percent(right['low'])} to "
        spoken += f"{percent(right['high'])}; mean confidence {percent(found['confidence'])}"
        ends = {"low": right["low"], "high": right["high"], "mark": found["confidence"]}
        rows.append({**found, "drawn": bar(right["value"], 1.0, label=spoken, **ends)})
    return rows


class Spread(NamedTuple):
    """Variation of the labels of one facet over another.

    `steady` vary less than the typical label, `dependent` more, each by its whole interval; of
    `unsure` labels the interval holds the typical coefficient.
    """

    facet: str
    over_facet: str
    typical: float
    steady: list[Row]
    dependent: list[Row]
    unsure: int


def variation(table: Sequence[Row], top: int) -> list[Spread]:
    """Labels that surely vary less or more than the typical one, per (facet, over_facet).

    The most dependent are those with the largest lower bound, the steadiest those with the smallest
    upper bound, so a rare label, whose coefficient is hardly known, leads no list.
    """
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in table:
        if row["high"] is not None:
            groups[row["facet"], row["over_facet"]].append(row)
    spreads = []
    order = sorted(groups, key=lambda pair: (pair[0], pair[1] != "tasks", pair[1]))
    for facet, over in order:
        rows = groups[facet, over]
        typical = _typical(rows)
        steady = [row for row in rows if row["high"] < typical]
        dependent = [row for row in rows if row["low"] > typical]
        unsure = len(rows) - len(steady) - len(dependent)
        steady.sort(key=lambda row: (row["high"], -row["share"], row["label"]))
        dependent.sort(key=lambda row: (-row["low"], -row["share"], row["label"]))
        spreads.append(Spread(facet, over, typical, steady[:top], dependent[:top], unsure))
    return spreads


def _typical(rows: Sequence[Row]) -> float:
    """Median of the corrected coefficient, in which a label counts as often as it occurs."""
    ranked = sorted((row["corrected"], row["share"]) for row in rows)
    half, seen = sum(share for _, share in ranked) / 2, 0.0
    for coefficient, share in ranked:
        seen += share
        if seen >= half:
            return coefficient
    return ranked[-1][0]
