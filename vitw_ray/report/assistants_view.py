"""Comparison of assistants, and of periods, as the page shows it."""

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa
from markupsafe import Markup

from vitw_ray.intervals import wilson
from vitw_ray.report.figures import bar
from vitw_ray.side_by_side import Pair, Row, pairs
from vitw_ray.wording import percent

NOT_SHOWN = '<span class="soft small">too few to show</span>'
COLUMNS = 4  # ours: assistants whose bars fit next to each other
NAMED = 4  # ours: values listed for each side of a pair
MATCHED = {
    "prompts": "same prompts",
    "tasks": "same mix of tasks",
    "nothing": "not matched",
}


class Column(NamedTuple):
    """One assistant and its number of conversations, the base of its shares."""

    name: str
    conversations: int


class Versus(NamedTuple):
    """One pair, and the values that either side shows significantly more.

    `rows` have the columns of the table, matched as `matched` says, and `unmatched`: the plain
    difference where its sign is the opposite, else None.
    """

    first: str
    second: str
    conversations: tuple[int, int]  # that the matched shares are of
    matched: str
    shared: int  # of the ten most common values
    rows: list[Row]
    differing: int


class AssistantsView(NamedTuple):
    """Bars of the most common values for the largest assistants, then every pair."""

    columns: list[Column]
    values: list[tuple[str, list[Markup]]]
    versus: list[Versus]
    over_time: list[Versus]


def assistants_view(table: pa.Table, alpha: float, top: int) -> AssistantsView:
    """`model_comparison` for the page; empty lists if there is nothing to compare."""
    return view_of(list(pairs(table, alpha)), top)


def view_of(found: Sequence[Pair], top: int) -> AssistantsView:
    """The same, of pairs that are read already."""
    models = [pair for pair in found if pair.groups == "models"]
    columns, shares = _shares(models)
    return AssistantsView(
        columns,
        _bars(columns, shares, top),
        [_versus(pair) for pair in models],
        [_versus(pair) for pair in found if pair.groups == "periods"],
    )


def _shares(models: Sequence[Pair]) -> tuple[list[Column], dict[str, dict[str, float]]]:
    """The largest assistants, and assistant -> AI value -> share."""
    columns: dict[str, Column] = {}
    shares: dict[str, dict[str, float]] = {}
    for pair in models:
        sides = zip((pair.model_a, pair.model_b), pair.conversations, ("a", "b"), strict=True)
        for name, conversations, side in sides:
            columns.setdefault(name, Column(name, conversations))
            for label, row in pair.also["nothing"].items():
                shares.setdefault(name, {})[label] = row[f"share_{side}"] or 0.0
    return list(columns.values())[:COLUMNS], shares


def _bars(
    columns: Sequence[Column], shares: dict[str, dict[str, float]], top: int
) -> list[tuple[str, list[Markup]]]:
    highest: dict[str, float] = {}
    for column in columns:
        for label, share in shares.get(column.name, {}).items():
            highest[label] = max(share, highest.get(label, 0.0))
    labels = sorted(highest, key=lambda label: (-highest[label], label))[:top]
    rows: list[tuple[str, list[tuple[float, float, float] | None]]] = []
    scale = 0.0
    for label in labels:
        cells: list[tuple[float, float, float] | None] = []
        for column in columns:
            share = shares.get(column.name, {}).get(label)
            if share is None:  # hidden: too few conversations
                cells.append(None)
                continue
            low, high = (
                float(end) for end in wilson(share * column.conversations, column.conversations)
            )
            scale = max(scale, high)
            cells.append((share, low, high))
        rows.append((label, cells))
    return [
        (label, [_bar(*cell, scale) if cell else Markup(NOT_SHOWN) for cell in cells])
        for label, cells in rows
    ]


def _bar(share: float, low: float, high: float, scale: float) -> Markup:
    spoken = f"{percent(share)}, from {percent(low)} to {percent(high)}"
    drawn = bar(share, scale, label=spoken, low=low, high=high)
    return Markup('<div class="beside-bar">{}<span class="num small">{}</span></div>').format(
        drawn, percent(share)
    )


def _versus(pair: Pair) -> Versus:
    matched = pair.also[pair.matched_on]
    some = next(iter(matched.values()), None)
    base = (some["conversations_a"], some["conversations_b"]) if some else pair.conversations
    rows = [*pair.more(1)[:NAMED], *pair.more(-1)[:NAMED]]
    return Versus(
        pair.model_a,
        pair.model_b,
        base,
        MATCHED[pair.matched_on],
        pair.overlap,
        [row | {"unmatched": _turned(row, pair)} for row in rows],
        len(pair.differing),
    )


def _turned(row: Row, pair: Pair) -> float | None:
    """The unmatched difference, if it points the other way."""
    plain = pair.also["nothing"].get(row["label"])
    if plain is None or plain["difference"] is None:
        return None
    return plain["difference"] if plain["difference"] * row["difference"] < 0 else None
