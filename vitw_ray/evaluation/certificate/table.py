"""The table `certificate`: a row per headline and specification, baseline, choice, and its badge.

Every row passes the gate: a number that tells of too few conversations or accounts is left out, in
this table and in the verdict's counts. Numbers have three decimals, since more would tell of single
conversations of the sample.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from vitw_ray.config import LabelsConfig
from vitw_ray.evaluation.certificate.design import Specification
from vitw_ray.evaluation.certificate.headlines import Headline
from vitw_ray.evaluation.certificate.judging import judge, moved_by
from vitw_ray.evaluation.certificate.measuring import (
    Mask,
    Measured,
    draws_of,
    measure,
)
from vitw_ray.evaluation.certificate.sampled import Answers, Sample, cells_of
from vitw_ray.gate import may_be_shown
from vitw_ray.intervals import Floats, z_quantile
from vitw_ray.records import CERTIFICATE

SHUFFLES = 50  # ours: of the answers between conversations
DECIMALS = 3
Row = dict[str, Any]


def certificate(
    headlines: Sequence[Headline],
    sample: Sample,
    answers: Mapping[Specification, Answers],
    unseen: Answers,
    thresholds: LabelsConfig,
    seed: int,
) -> pa.Table:
    """Judge every headline.

    Args:
        headlines: claims of the page.
        sample: the conversations.
        answers: by specification; the first is that of the run.
        unseen: of the run's own way of reading, where the assistant's turns were replaced.
        thresholds: of what may be shown.
        seed: of the draws and the shuffles.
    """
    weights = draws_of(sample.accounts, seed)
    gate = _Gate(sample, thresholds)
    specifications = list(answers)
    own = specifications[0]
    rows: list[Row] = []
    for number, headline in enumerate(headlines, 1):
        cells = [cells_of(headline, sample, answers[one], one.gate) for one in specifications]
        found = [gate.shown(measure(headline, one, weights)) for one in cells]
        judged = judge(found, headline.limits, len(headlines))
        about = _about(number, headline)
        known = np.isfinite(judged.estimates)
        for place, one in enumerate(specifications):
            rows.append(
                about
                | _choices(one)
                | _number(found[place], judged.errors[place])
                | {
                    "kind": "specification",
                    "conversations": gate.count(cells[place].base),
                    "holds": judged.holds[place] if known[place] else None,
                }
            )
        rows += _baselines(headline, sample, answers[own], unseen, own, gate, weights, about)
        moves = moved_by(found, specifications)
        rows += [
            about
            | {"kind": "choice", "choice": m.choice}
            | {"share": _rounded(m.share), "by_chance": _rounded(m.by_chance)}
            for m in moves
        ]
        reason = None if judged.badge else "too_few"
        rows.append(about | {"kind": "badge", "badge": judged.badge, "reason": reason})
    columns = {
        field.name: pa.array([row.get(field.name) for row in rows], field.type)
        for field in CERTIFICATE
    }
    return pa.table(columns, schema=CERTIFICATE)


class _Gate:
    """Which numbers may be shown, by the conversations and accounts that they tell of."""

    def __init__(self, sample: Sample, thresholds: LabelsConfig) -> None:
        self._thresholds = thresholds
        names = [account or "" for account in sample.accounts]
        self._accounts = np.unique(names, return_inverse=True)[1] if any(names) else None

    def shown(self, measured: Measured) -> Measured:
        """The number as it is, or none where a group of its conversations is too small."""
        if all(self._passes(group) for group in measured.support):
            return measured
        return measured._replace(values=np.full_like(measured.values, np.nan))

    def count(self, group: Mask) -> int | None:
        """The conversations of a group, if so many may be told of."""
        return int(group.sum()) if self._passes(group) else None

    def _passes(self, group: Mask) -> bool:
        if not group.any():
            return True  # nobody is told of
        people = None if self._accounts is None else len(np.unique(self._accounts[group]))
        return bool(may_be_shown(int(group.sum()), people, self._thresholds))


def _baselines(
    headline: Headline,
    sample: Sample,
    own: Answers,
    unseen: Answers,
    specification: Specification,
    gate: _Gate,
    weights: Floats,
    about: Row,
) -> list[Row]:
    """What the headline's number is with answers of others, and without the assistant's words."""
    level = specification.gate
    cells = cells_of(headline, sample, unseen, level)
    found = gate.shown(measure(headline, cells, weights))
    judged = judge([found], headline.limits, 1)
    holds = judged.holds[0] if np.isfinite(judged.estimates[0]) else None
    base = {"kind": "baseline", **_choices(specification)}
    without = {"baseline": "no_assistant", "holds": holds, "conversations": gate.count(cells.base)}
    rows = [about | base | without | _number(found, judged.errors[0])]
    told = gate.shown(measure(headline, cells_of(headline, sample, own, level), weights[:1]))
    values = shuffled(headline, sample, own, level)
    if np.isfinite(values).all() and np.isfinite(told.values[0]):
        low, high = np.quantile(values, [0.025, 0.975])
        numbers = {"estimate": values.mean(), "low": low, "high": high}
        numbers = {name: _rounded(float(number)) for name, number in numbers.items()}
    else:
        numbers = {"reason": "too_few"}
    return [*rows, about | base | {"baseline": "shuffled"} | numbers]


def shuffled(headline: Headline, sample: Sample, own: Answers, level: int) -> Floats:
    """The number of a headline with the answers of other conversations, once per shuffle.

    AI values come from one other conversation and the response type from another; both from
    conversations that are counted. Tasks, assistants and human values stay.
    """
    rng = np.random.default_rng(0)
    counted = np.flatnonzero(own.level >= level)
    once, values = np.ones((1, len(sample))), []
    for _ in range(SHUFFLES):
        orders = []
        for _ in range(2):
            order = np.arange(len(sample))
            order[counted] = rng.permutation(counted)
            orders.append(order)
        cells = cells_of(headline, sample, own.of_others(*orders), level)
        values.append(measure(headline, cells, once).values[0])
    return np.array(values)


def _about(number: int, headline: Headline) -> Row:
    names = ("sentence", "claim", "facet", "label", "over_facet", "over", "versus")
    about: Row = {name: getattr(headline, name) for name in names}
    limits = [limit for _, limit in headline.limits]
    return about | {
        "headline": number,
        "stated": _rounded(headline.stated),
        "from": _rounded(min(limits)),
        "to": _rounded(max(limits)) if len(limits) > 1 else None,
    }


def _choices(specification: Specification) -> Row:
    way = specification.way
    return {
        "reader": way.reader,
        "paraphrase": None if way.questions is None else way.paraphrase,
        "strict": way.strict,
        "questions": way.questions,
        "gate": specification.gate,
    }


def _number(found: Measured, error: float) -> Row:
    value = float(found.values[0])
    if not np.isfinite(value):
        return {"reason": "too_few"}
    half = z_quantile() * error
    ends = (value - half, value + half) if np.isfinite(half) else (None, None)
    return {"estimate": _rounded(value), "low": _rounded(ends[0]), "high": _rounded(ends[1])}


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(float(number), DECIMALS) + 0.0
