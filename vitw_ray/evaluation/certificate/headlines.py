"""What the page says first, as claims that a reading can bear out or not.

A claim is a number and the side of a limit on which it lies: the difference of two shares, the log
odds ratio of a value and a task, how much a value varies over tasks. Names and limits are those of
the public tables, so a claim tells nothing that they do not.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from vitw_ray.report.pairings import Pairing, pairings
from vitw_ray.report.resistance import Resistance, resistance
from vitw_ray.report.sections import Spread, variation
from vitw_ray.report.tree_view import Names, names_of
from vitw_ray.side_by_side import Pair, pairs

Claim = Literal["most_common", "depends", "together", "resists", "resists_in", "differs"]
STRONGEST = 3  # ours: pairs of each kind, and differences, beside those of the sentences
WITHIN, LEAST_WITHIN = 0.25, 0.02  # ours: a share is the same within a quarter, or two points


@dataclass(frozen=True, kw_only=True)
class Headline:
    """A claim of the page. `label` is of `facet`, `over` of `over_facet`.

    Attributes:
        sentence: which of the page's first sentences says it (1-5); None: a list of the page.
        versus: what the label or group is compared with.
        stated: the number on the page, where it is that of the claim.
        limits: (sign, limit): the claim is that the number, less the limit, has this sign.
        by_task: the difference is one within tasks.
    """

    claim: Claim
    facet: str
    label: str
    sentence: int | None = None
    over_facet: str | None = None
    over: str | None = None
    versus: str | None = None
    stated: float | None = None
    limits: tuple[tuple[int, float], ...] = ((1, 0.0),)
    by_task: bool = False

    @property
    def key(self) -> tuple[Any, ...]:
        """Two headlines with the same key claim the same."""
        return self.claim, self.facet, self.label, self.over_facet, self.over, self.versus


def headlines(tables: Mapping[str, pa.Table], alpha: float, top: int) -> list[Headline]:
    """The claims of the five sentences, then those of the strongest pairs and differences."""
    names = names_of(tables["taxonomy"].to_pylist())
    found = pairings(tables["associations"], names, top)
    answered = tables["response_types"].to_pylist()
    resists = resistance(answered, tables["associations"], names, top)
    compared = pairs(tables["model_comparison"], alpha)
    claims = [
        *_most_common(tables["labels"]),
        *_depends(variation(tables["variation"].to_pylist(), top)),
        *_together(found),
        *_resists(resists, names),
        *_differs(compared),
    ]
    return list({one.key: one for one in reversed(claims)}.values())[::-1]


def _most_common(labels: pa.Table) -> Iterator[Headline]:
    kept = labels.filter((pc.field("facet") == "ai_values") & pc.field("kept"))
    order = [("conversations", "descending"), ("label", "ascending")]
    rows = kept.sort_by(order).slice(0, 2).to_pylist()
    if len(rows) == 2 and rows[0]["conversations"] > rows[1]["conversations"]:
        first, second = rows
        yield Headline(
            sentence=1,
            claim="most_common",
            facet="ai_values",
            label=first["label"],
            versus=second["label"],
            stated=first["share"] - second["share"],
        )


def _depends(spreads: list[Spread]) -> Iterator[Headline]:
    for spread in spreads:
        if (spread.facet, spread.over_facet) == ("ai_values", "tasks") and spread.dependent:
            row = spread.dependent[0]
            yield Headline(
                sentence=2,
                claim="depends",
                facet="ai_values",
                label=row["label"],
                over_facet="tasks",
                stated=row["corrected"],
                limits=((1, spread.typical),),
            )


def _together(found: list[Pairing]) -> Iterator[Headline]:
    first = True
    for pairing in found:
        for row in pairing.more[:STRONGEST] if pairing.level == 0 else ():
            is_first = first and row["column_facet"] == "tasks"
            first = first and not is_first
            yield Headline(
                sentence=3 if is_first else None,
                claim="together",
                facet=row["row_facet"],
                label=row["row"],
                over_facet=row["column_facet"],
                over=row["column"],
                stated=row["odds_ratio"],
            )


def _resists(resists: Resistance, names: Names) -> Iterator[Headline]:
    if resists.overall is None:
        return
    share = resists.overall.share
    margin = max(WITHIN * share, LEAST_WITHIN)
    yield Headline(
        sentence=4,
        claim="resists",
        facet="response_types",
        label="resistance",
        stated=share,
        limits=((1, share - margin), (-1, share + margin)),
    )
    if tasks := resists.contexts["tasks"]:
        ids = {name: task for (facet, task), name in names.items() if facet == "tasks"}
        first = tasks[0]
        yield Headline(
            sentence=4,
            claim="resists_in",
            facet="response_types",
            label="resistance",
            over_facet="tasks",
            over=ids.get(first.name, first.name),
            stated=first.share - share,
        )


def _differs(compared: list[Pair]) -> Iterator[Headline]:
    for n, pair in enumerate(pair for pair in compared if pair.groups == "models"):
        surest = sorted(
            pair.differing, key=lambda row: (-max(row["low"], -row["high"]), row["label"])
        )
        for place, row in enumerate(islice(surest, STRONGEST if n == 0 else 1)):
            yield Headline(
                sentence=5 if n == place == 0 else None,
                claim="differs",
                facet="ai_values",
                label=row["label"],
                over_facet="models",
                over=pair.model_a,
                versus=pair.model_b,
                stated=row["difference"],
                limits=((1 if row["difference"] > 0 else -1, 0.0),),
                by_task=pair.matched_on == "tasks",
            )
        if n + 1 == STRONGEST:
            return
