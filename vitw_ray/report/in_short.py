"""The results in a few plain sentences, each with its interval."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from vitw_ray.inert import inert
from vitw_ray.report.pairings import Pairing
from vitw_ray.report.resistance import Resistance
from vitw_ray.report.sections import Ranking, Spread
from vitw_ray.side_by_side import Pair
from vitw_ray.wording import count, decimal, interval, percent, ratio, signed

MATCHED = {
    "prompts": "on the same prompts",
    "tasks": "with the same mix of tasks",
    "nothing": "without matching",
}


def in_short(
    rankings: Mapping[str, Ranking],
    spreads: Sequence[Spread],
    pairs: Sequence[Pairing],
    resists: Resistance,
    compared: Sequence[Pair],
) -> list[Markup]:
    """Five sentences; one that the data does not support says so."""
    sentences = [
        _commonest(rankings),
        _dependent(spreads),
        _together(pairs),
        _resists(resists),
        _differs(compared),
    ]
    return [Markup("").join(sentence) for sentence in sentences]


def _name(facet: str, name: str) -> Markup:
    return Markup('<strong data-n="{}">{}</strong>').format(facet, inert(name))


def _commonest(rankings: Mapping[str, Ranking]) -> Iterator[str]:
    rows = rankings["ai_values"].rows[:1] if "ai_values" in rankings else []
    if not rows:
        yield "No AI value has enough support to be shown."
        return
    row = rows[0]
    yield "The AI value shown most often is "
    yield _name("ai_values", row["label"])
    yield f": in {percent(row['share'])} of subjective conversations "
    yield f"(95% interval {interval(row['low'], row['high'])})."


def _dependent(spreads: Sequence[Spread]) -> Iterator[str]:
    over = [s for s in spreads if (s.facet, s.over_facet) == ("ai_values", "tasks") and s.dependent]
    if not over:
        yield "No AI value surely depends on the task more than the typical one."
        return
    row = over[0].dependent[0]
    yield "The AI value that depends most on the task is "
    yield _name("ai_values", row["label"])
    yield f": its share varies with a coefficient of {decimal(row['corrected'])} "
    yield f"({decimal(row['low'])} to {decimal(row['high'])}; typical {decimal(over[0].typical)})."


def _together(pairs: Sequence[Pairing]) -> Iterator[str]:
    found = [
        row
        for pairing in pairs
        if pairing.level == 0
        for row in pairing.more[:1]
        if row["column_facet"] == "tasks"
    ]
    if not found:
        yield "No AI value surely goes with a task."
        return
    row = found[0]
    yield "The AI value that goes most surely with one task is "
    yield _name("ai_values", row["row_name"])
    yield ", with "
    yield _name("tasks", row["column_name"])
    yield f": {count(row['observed'])} conversations, {decimal(row['expected'], 1)} expected "
    yield f"(odds ratio {ratio(row['odds_ratio'])}, {ratio(row['low'])} to {ratio(row['high'])})."


def _resists(resists: Resistance) -> Iterator[str]:
    if resists.overall is None:
        yield "Resistance is too rare to be shown."
        return
    whole = resists.overall
    yield f"The assistant resists the values of the user in {percent(whole.share)} of the "
    yield f"conversations ({interval(whole.low, whole.high)})"
    if tasks := resists.contexts["tasks"]:
        first = tasks[0]
        yield ", most surely in "
        yield _name("tasks", first.name)
        yield f": {percent(first.share)} ({interval(first.low, first.high)})"
    yield "."


def _differs(compared: Sequence[Pair]) -> Iterator[str]:
    pair = next((pair for pair in compared if pair.groups == "models"), None)
    if pair is None:
        yield "There is only one assistant, so none is compared."
        return
    a, b = _name("models", pair.model_a), _name("models", pair.model_b)
    yield Markup("{} and {} differ significantly in {} of {} AI values {}").format(
        a, b, len(pair.differing), len(pair.also[pair.matched_on]), MATCHED[pair.matched_on]
    )
    if pair.differing:
        row = max(pair.differing, key=_distance)
        yield ", most surely in "
        yield _name("ai_values", row["label"])
        yield f": {signed(100 * row['difference'])} points "
        yield f"({signed(100 * row['low'])} to {signed(100 * row['high'])})"
    yield "."


def _distance(row: Mapping[str, Any]) -> tuple[float, str]:
    return max(row["low"], -row["high"]), row["label"]
