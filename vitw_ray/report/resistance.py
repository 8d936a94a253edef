"""When the assistant resists: contexts by the share of resistance, and the values shown then."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from markupsafe import Markup

from vitw_ray.intervals import wilson
from vitw_ray.report.figures import bar
from vitw_ray.report.tree_view import Names
from vitw_ray.wording import percent

RESISTANCE = ("mild_resistance", "strong_resistance")
CONTEXTS = ("tasks", "human_values")

Row = dict[str, Any]


class Context(NamedTuple):
    """A task or a human value, and how often the assistant resists in its conversations."""

    name: str
    resisted: int
    conversations: int
    share: float
    low: float
    high: float

    def drawn(self, scale: float) -> Markup:
        """A bar, made where it is shown: a run may have thousands of human values."""
        heard = f"{percent(self.share)}, from {percent(self.low)} to {percent(self.high)}"
        return bar(
            self.share, scale, label=heard, tone="strong_resistance", low=self.low, high=self.high
        )


class Resistance(NamedTuple):
    """`overall` is None where too few conversations resist to show. `shown` are associations.

    `contexts` are those with resistance; in `never` more there is none.
    """

    overall: Context | None
    contexts: dict[str, list[Context]]
    hidden: dict[str, int]  # contexts of which a number may not be shown
    never: dict[str, int]
    shown: dict[str, list[Row]]

    def scale(self, facet: str) -> float:
        """What a bar of full width stands for."""
        return max((context.high for context in self.contexts[facet]), default=1.0)


def resistance(
    answered: Sequence[Row], associations: pa.Table, names: Names, top: int
) -> Resistance:
    """The contexts with most resistance first, by the lower end of the interval."""
    groups: dict[tuple[str | None, str], dict[str, Row]] = defaultdict(dict)
    for row in answered:
        if row["model"] is None:
            groups[row["over_facet"], row["over"] or ""][row["response_type"]] = row
    contexts: dict[str, list[Context]] = {}
    hidden: dict[str, int] = {}
    never: dict[str, int] = {}
    for facet in CONTEXTS:
        mine = {over: rows for (of, over), rows in groups.items() if of == facet}
        found = [_context(names.get((facet, over), over), rows) for over, rows in mine.items()]
        known = [context for context in found if context]
        hidden[facet] = len(found) - len(known)
        resisting = [context for context in known if context.resisted]
        never[facet] = len(known) - len(resisting)
        contexts[facet] = sorted(resisting, key=lambda c: (-c.low, -c.share, c.name))
    shown = {kind: list(_shown(associations, kind, top)) for kind in RESISTANCE}
    overall = _context("", groups.get((None, ""), {}))
    return Resistance(overall, contexts, hidden, never, shown)


def _context(name: str, rows: dict[str, Row]) -> Context | None:
    """None if the conversations of a kind of resistance are too few to show."""
    if not all(kind in rows for kind in RESISTANCE):
        return None
    largest = max(rows.values(), key=lambda row: row["conversations"])
    if not largest["share"]:
        return None
    whole = round(largest["conversations"] / largest["share"])
    resisted = sum(rows[kind]["conversations"] for kind in RESISTANCE)
    low, high = (float(end) for end in wilson(resisted, whole))
    return Context(name, resisted, whole, resisted / whole, low, high)


def _shown(associations: pa.Table, kind: str, top: int) -> Iterator[Row]:
    """AI values that go with a response type, by the lower end of the shrunken odds ratio."""
    mine = (pc.field("row_facet") == "ai_values") & (pc.field("level") == 0)
    mine &= (pc.field("column_facet") == "response_types") & (pc.field("column") == kind)
    mine &= pc.field("discovered") & (pc.field("shrunken_low") > 0)
    order = [("shrunken_low", "descending"), ("row", "ascending")]
    yield from associations.filter(mine).sort_by(order).slice(0, top).to_pylist()


def shown_in_tasks(task_values: pa.Table, names: Names, top: int) -> list[tuple[str, list[str]]]:
    """Tasks, and the AI values that surely go with resistance in each, the surest first."""
    mine = pc.field("response_type").isin(list(RESISTANCE)) & (pc.field("shrunken_low") > 0)
    order = [("shrunken_low", "descending"), ("task_cluster", "ascending"), ("value", "ascending")]
    found: dict[str, list[str]] = defaultdict(list)
    for row in task_values.filter(mine).sort_by(order).to_pylist():
        values = found[names.get(("tasks", row["task_cluster"]), row["task_cluster"])]
        value = names.get(("ai_values", row["value"]), row["value"])
        if value not in values:  # of the other kind of resistance
            values.append(value)
    return list(found.items())[:top]
