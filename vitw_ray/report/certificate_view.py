"""The section about which headlines hold however the conversations are read, from `certificate`.

A specification curve shows the number of a headline in every specification, in order of size, with
its interval; below it, which choices differ from the run's own.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa
from markupsafe import Markup

from vitw_ray.facets import RESPONSE_TYPES
from vitw_ray.inert import inert
from vitw_ray.report.tree_view import Names
from vitw_ray.wording import UNKNOWN, decimal, percent, plain

CHOICES = ("reader", "paraphrase", "strict", "questions", "gate")
CHOICE_NAMES = {
    "reader": "reader",
    "paraphrase": "wording",
    "strict": "strictness",
    "questions": "form",
    "gate": "gate",
    "rest": "rest",
}
BADGES = {
    "holds_in_all": "holds in all",
    "holds_in_most": "holds in most",
    "hangs_on_the_wording": "hangs on the wording",
    None: "sample too small to tell",
}
WORST_FIRST = ("hangs_on_the_wording", None, "holds_in_most", "holds_in_all")
SENTENCES = {
    "most_common": "{label} is the most common AI value",
    "depends": "{label} depends on the task more than the typical value",
    "together": "{label} goes with {over}",
    "resists": "the share of resistance is about the same",
    "resists_in": "{over}: more resistance than elsewhere",
    "differs": "{over} and {versus} differ in {label}",
}
WIDTH, PLOT, ROW, LEFT = 380, 84, 11, 112  # px of a curve: its width, heights, and names' column
Row = dict[str, Any]


@dataclass(frozen=True)
class Certified:
    """One headline with what was found. Numbers that may not be shown are `UNKNOWN`."""

    claim: str
    badge: str | None
    stated: str
    holds: str
    curve: Markup
    moves: Mapping[str, str]
    shuffled: str
    no_assistant: str
    also_without: bool

    @property
    def badge_text(self) -> str:
        """The badge in words."""
        return BADGES[self.badge]


class CertificateView(NamedTuple):
    """What the page shows; `of_sentence` has the weakest badge of each of the first sentences."""

    headlines: list[Certified]
    of_sentence: Mapping[int, str]
    texts: Mapping[int, str]
    choices: list[tuple[str, str]]
    average: Mapping[str, str]
    conversations: int
    specifications: int


def certificate_view(table: pa.Table, names: Names) -> CertificateView | None:
    """The view of a certificate; None without one."""
    if not table.num_rows:
        return None
    groups: dict[int, list[Row]] = defaultdict(list)
    for row in table.to_pylist():
        groups[row["headline"]].append(row)
    badges: dict[int, list[str | None]] = defaultdict(list)
    shares: dict[str, list[float]] = defaultdict(list)
    for rows in groups.values():
        for row in rows:
            if row["kind"] == "badge" and row["sentence"] is not None:
                badges[row["sentence"]].append(row["badge"])
            if row["kind"] == "choice" and row["share"] is not None:
                shares[row["choice"]].append(row["share"])
    worst = {sentence: min(found, key=WORST_FIRST.index) for sentence, found in badges.items()}
    specifications = [row for row in groups[1] if row["kind"] == "specification"]
    return CertificateView(
        [_certified(rows, names) for rows in groups.values()],
        {sentence: badge or "untold" for sentence, badge in worst.items()},
        {sentence: BADGES[badge] for sentence, badge in worst.items()},
        [(choice, name) for choice, name in CHOICE_NAMES.items() if choice in shares],
        {choice: percent(sum(found) / len(found), 0) for choice, found in shares.items()},
        max((row["conversations"] or 0 for row in specifications), default=0),
        len(specifications),
    )


def _certified(rows: Sequence[Row], names: Names) -> Certified:
    specifications = [row for row in rows if row["kind"] == "specification"]
    badge = next(row for row in rows if row["kind"] == "badge")
    baselines = {row["baseline"]: row for row in rows if row["kind"] == "baseline"}
    told = [row for row in specifications if row["holds"] is not None]
    claim = SENTENCES[badge["claim"]].format(**_named(badge, names))
    return Certified(
        claim=claim,
        badge=badge["badge"],
        stated=_number(specifications[0]["estimate"], badge["claim"]),
        holds=f"{sum(row['holds'] for row in told)} of {len(specifications)}",
        curve=curve(specifications, claim),
        moves={r["choice"]: percent(r["share"], 0) for r in rows if r["kind"] == "choice"},
        shuffled=_number(baselines["shuffled"]["estimate"], badge["claim"]),
        no_assistant=_number(baselines["no_assistant"]["estimate"], badge["claim"]),
        also_without=bool(baselines["no_assistant"]["holds"]),
    )


def _named(row: Row, names: Names) -> dict[str, str]:
    over = names.get((row["over_facet"], row["over"]), row["over"] or "")
    over = plain(over) if over in RESPONSE_TYPES else over
    return {"label": row["label"], "over": over, "versus": row["versus"] or ""}


def _number(value: float | None, claim: str) -> str:
    if value is None:
        return UNKNOWN
    return decimal(value) if claim in ("depends", "together") else percent(value)


def curve(rows: Sequence[Row], claim: str) -> Markup:
    """The specification curve of a headline; the first row is that of the run."""
    told = [row for row in rows if row["estimate"] is not None]
    if len(told) < 2:
        return Markup("")
    ends = [n for row in told for n in (row["low"], row["high"], row["estimate"]) if n is not None]
    limits = [n for n in (rows[0]["from"], rows[0]["to"]) if n is not None]
    bottom, top = min(*ends, *limits), max(*ends, *limits)
    choices = [c for c in CHOICES if len({row[c] for row in rows} - {None}) > 1]
    step = (WIDTH - LEFT) / len(told)

    def y(value: float) -> float:
        return 6 + (PLOT - 12) * (top - value) / ((top - bottom) or 1.0)

    parts = [
        Markup('<line class="limit" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>').format(
            LEFT, WIDTH, y(limit), y(limit)
        )
        for limit in limits
    ]
    for place, row in enumerate(sorted(told, key=lambda row: row["estimate"])):
        x = LEFT + step * (place + 0.5)
        parts += _point(row, x, y, row is rows[0])
        for line, choice in enumerate(choices):
            if row[choice] != rows[0][choice]:
                parts.append(
                    Markup(
                        '<rect class="differs" x="{:.1f}" y="{}" width="{:.1f}" height="6"/>'
                    ).format(x - 0.4 * step, PLOT + ROW * line + 4, 0.8 * step)
                )
    parts += [
        Markup('<text x="0" y="{}">{}</text>').format(PLOT + ROW * n + 10, CHOICE_NAMES[choice])
        for n, choice in enumerate(choices)
    ]
    holds = sum(bool(row["holds"]) for row in told)
    label = (
        f"{claim}: the number in {len(told)} specifications, from {decimal(told_low(told))} to"
        f" {decimal(max(row['estimate'] for row in told))}, as the run reads"
        f" {decimal(rows[0]['estimate'])}; the claim is significant in {holds}"
    )
    height = PLOT + ROW * len(choices) + 6
    return Markup(
        '<svg class="speccurve" viewBox="0 0 {} {}" width="{}" height="{}" role="img"'
        ' aria-label="{}">{}</svg>'
    ).format(WIDTH, height, WIDTH, height, inert(label), Markup("").join(parts))


def told_low(told: Sequence[Row]) -> float:
    """The smallest number."""
    return min(row["estimate"] for row in told)


def _point(row: Row, x: float, y: Any, is_own: bool) -> list[Markup]:
    """A number with its interval: filled where the claim is significant, a ring round the run's."""
    parts = []
    if row["low"] is not None:
        parts.append(
            Markup(
                '<line class="whisker" x1="{0:.1f}" x2="{0:.1f}" y1="{1:.1f}" y2="{2:.1f}"/>'
            ).format(x, y(row["low"]), y(row["high"]))
        )
    kind = "sure" if row["holds"] else "unsure"
    parts.append(
        Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="3"/>').format(
            kind, x, y(row["estimate"])
        )
    )
    if is_own:
        parts.append(
            Markup('<circle class="own" cx="{:.1f}" cy="{:.1f}" r="6"/>').format(
                x, y(row["estimate"])
            )
        )
    return parts
