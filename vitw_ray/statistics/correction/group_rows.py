"""Rows of the table `corrected` by assistant, language and period."""

from collections.abc import Iterator, Mapping
from itertools import combinations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vitw_ray.statistics.contingency import GroupCounts
from vitw_ray.statistics.correction import corrected
from vitw_ray.statistics.correction.groups import Grouped, Labels
from vitw_ray.statistics.correction.measures import HOLDING, LACKING, OUTSIDE, Slope
from vitw_ray.statistics.correction.rows import Correction, Row, row_of

Public = Mapping[tuple[str, str, str, str], float]
"""Facet, label and two groups -> the raw difference."""


def by_group(correction: Correction, groups: Grouped, comparison: pa.Table) -> Iterator[Row]:
    """Differences of two groups, and the shares of each, where the raw ones are public.

    `comparison` has the columns of `model_comparison`. Of subjective conversations.
    """
    public = _unmatched(comparison)
    for labels in correction.labels:
        counts = correction.counts[f"{groups.kind}: {labels.name}"]
        for code in correction.may_tell(labels).tolist():
            yield from _of_label(correction, groups, public, labels, code, counts)


def _of_label(
    correction: Correction,
    groups: Grouped,
    public: Public,
    labels: Labels,
    code: int,
    counts: GroupCounts,
) -> Iterator[Row]:
    sample = correction.sample(*correction.states(labels, code), groups.of_row)
    population = groups.population(counts, code)
    label = labels.axis.facet, labels.axis.names[code]
    shown: set[int] = set()
    for a, b in combinations(range(len(groups.names)), 2):
        one, other = groups.names[a], groups.names[b]
        raw = public.get((*label, one, other))
        if raw is None:
            continue
        shown |= {a, b}
        found = corrected.difference(sample, population, a, b, correction.least)
        if found.reason is None:
            over = groups.kind, one, other
            yield row_of("difference", labels, code, raw, found, over)
    for group in sorted(shown):
        found = corrected.share(sample, population, group, correction.least)
        if found.reason is None:
            raw = population[group, HOLDING] / population[group, [LACKING, HOLDING]].sum()
            over = groups.kind, groups.names[group]
            yield row_of("share", labels, code, float(raw), found, over)


def _unmatched(comparison: pa.Table) -> dict[tuple[str, str, str, str], float]:
    """Raw differences without matching, in both directions."""
    found = {}
    for row in comparison.filter(pc.field("matched_on") == "nothing").to_pylist():
        a, b, raw = row["model_a"], row["model_b"], row["difference"]
        found[row["facet"], row["label"], a, b] = raw
        found[row["facet"], row["label"], b, a] = -raw
    return found


def trends(correction: Correction, periods: Grouped) -> Iterator[Row]:
    """How much each share grows per period, over the periods that may be shown."""
    inside = periods.of_row < len(periods.names)
    group = np.where(inside, periods.of_row, 0)
    times = [code - periods.codes[0] for code in periods.codes]
    for labels in correction.labels if times else ():
        counts = correction.counts[f"periods: {labels.name}"]
        for code in correction.may_tell(labels).tolist():
            population = periods.population(counts, code)[:-1]
            people, reader = correction.states(labels, code)
            people, reader = (np.where(inside, states, OUTSIDE) for states in (people, reader))
            sample = correction.sample(people, reader, group)
            found = corrected.trend(sample, population, times, correction.least)
            if found.reason is None:
                raw, _ = Slope(times)(population.astype(np.float64))
                yield row_of("trend", labels, code, raw, found, ("periods",))
