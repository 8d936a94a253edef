"""A population -> what the strict release says of it; nothing else of the data gets out.

Every number below is a measurement with noise, or computed from such numbers. The budget is split
by `SPLIT`: most of it goes to the AI values, of which there are many.

The most frequent AI values get a measurement of their own. It counts 2 x - 1, where x says whether
a conversation holds the value: whatever it holds, `head` such numbers have norm sqrt(head), half
the norm of `head` values in units of x. The count follows with the number of conversations, which
is measured too. The errors are then a third less than without that shift.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitw_ray.facets import RESPONSE_TYPES
from vitw_ray.release.strict.bounds import AI, SPLIT, TASKS, Bounds
from vitw_ray.release.strict.names import Selected, select
from vitw_ray.release.strict.noise import Budget
from vitw_ray.release.strict.population import (
    Integers,
    Pairs,
    Population,
    bound_conversations,
    bound_pairs,
)

HEAD = 5  # ours: AI values with a measurement of their own; more would cost more than they gain
COARSE = 20  # ours: AI values and tasks in associations; the budget is too small for rarer ones


@dataclass(frozen=True)
class Measured:
    """Names with noisy counts, and the scale (standard deviation) of the noise of each."""

    names: tuple[str, ...]
    counts: Integers
    scales: NDArray[np.float64]


@dataclass(frozen=True)
class Crossed:
    """Noisy counts of pairs of names, [rows, columns]."""

    rows: Measured
    columns: Measured
    counts: Integers
    scale: float


@dataclass(frozen=True)
class Findings:
    """All that a strict release says."""

    account_conversations: int
    account_pairs: int
    conversations: int
    conversations_scale: float
    facets: Mapping[str, Measured]
    response_types: Measured
    crossed: Mapping[str, Crossed]
    sure_from: Mapping[str, float]
    """Accounts from which a name of a facet is released with probability 0.98 at least."""


def measure(population: Population, bounds: Bounds, budget: Budget) -> Findings:
    """Spend the budget on a population."""
    bounded = bound_conversations(population, bounds.conversations)
    k = bounds.conversations
    n = np.array([bounded.conversations])
    total = int(budget.measure(n, k, SPLIT["conversations"])[0])
    total_scale = budget.scale(k, SPLIT["conversations"])
    facets, sure_from = {}, {}
    kept: dict[str, Pairs] = {}
    for facet, pairs in bounded.facets.items():
        most = bounds.of(facet)
        limited = bound_pairs(pairs, bounded, most)
        of_names, delta = SPLIT[f"names {facet}"], bounds.delta / len(bounded.facets)
        chosen = select(limited, bounded.accounts, most, budget, of_names, delta)
        sure_from[facet] = chosen.sure_from
        kept[facet] = pairs.only(chosen.codes)
        facets[facet] = (
            _ai_values(kept[facet], chosen, bounded, bounds, budget, total)
            if facet == AI
            else _counted(facet, kept[facet], bounded, bounds, budget)
        )
        kept[facet], facets[facet] = _by_count(kept[facet], facets[facet])
    types = _types(bounded, budget, k)
    return Findings(
        k,
        bounds.pairs,
        max(total, 0),
        total_scale,
        facets,
        types,
        _crossed(kept, facets, types, bounded, bounds, budget),
        sure_from,
    )


def _ai_values(
    pairs: Pairs,
    chosen: Selected,
    population: Population,
    bounds: Bounds,
    budget: Budget,
    total: int,
) -> Measured:
    """Counts of AI values: the heaviest names by themselves, then all others."""
    head = min(HEAD, chosen.codes.size)  # names are in the order of their weights
    k, n = bounds.conversations, population.conversations
    shifted = 2 * pairs.counts()[:head] - n
    sensitivity = k * max(head, 1) ** 0.5
    noisy = budget.measure(shifted, sensitivity, SPLIT["head"])
    scale = (
        budget.scale(sensitivity, SPLIT["head"]) ** 2 + budget.scale(k, SPLIT["conversations"]) ** 2
    ) ** 0.5 / 2
    rest = _counted(AI, pairs.take(pairs.codes >= head), population, bounds, budget)
    counts, scales = rest.counts.copy(), rest.scales.copy()
    counts[:head], scales[:head] = np.maximum((noisy + total) // 2, 0), scale
    return Measured(rest.names, counts, scales)


def _counted(
    facet: str, pairs: Pairs, population: Population, bounds: Bounds, budget: Budget
) -> Measured:
    """Conversations of each name of a facet."""
    limited = bound_pairs(pairs, population, bounds.of(facet))
    share = SPLIT[f"counts {facet}"]
    noisy = budget.measure(limited.counts(), bounds.norm(facet), share)
    scale = budget.scale(bounds.norm(facet), share)
    return Measured(tuple(pairs.names), np.maximum(noisy, 0), np.full(noisy.size, scale))


def _types(population: Population, budget: Budget, k: int) -> Measured:
    known = population.response_types[population.response_types >= 0]
    counts = np.bincount(known, minlength=len(RESPONSE_TYPES)).astype(np.int64)
    noisy = budget.measure(counts, k, SPLIT["response_types"])
    scale = budget.scale(k, SPLIT["response_types"])
    return Measured(RESPONSE_TYPES, np.maximum(noisy, 0), np.full(noisy.size, scale))


def _by_count(pairs: Pairs, measured: Measured) -> tuple[Pairs, Measured]:
    """Both with the most frequent names first, by the noisy counts."""
    order = np.lexsort((np.array(measured.names, dtype=str), -measured.counts))
    names = tuple(measured.names[code] for code in order.tolist())
    ordered = Measured(names, measured.counts[order], measured.scales[order])
    return pairs.only(order), ordered


def _crossed(
    kept: Mapping[str, Pairs],
    facets: Mapping[str, Measured],
    types: Measured,
    population: Population,
    bounds: Bounds,
    budget: Budget,
) -> dict[str, Crossed]:
    """The most frequent AI values by response types, and by the most frequent tasks."""
    rows = _first(facets[AI])
    pairs = kept[AI].take(kept[AI].codes < len(rows.names))
    pairs = bound_pairs(pairs, population, bounds.pairs)
    found = {}
    for name, columns in (("response_types", types), (TASKS, _first(facets[TASKS]))):
        column_of = population.response_types
        if name == TASKS:
            column_of = np.full(population.conversations, -1, np.int64)
            column_of[kept[TASKS].rows] = kept[TASKS].codes
        columns_held = column_of[pairs.rows]
        width = len(columns.names)
        inside = (columns_held >= 0) & (columns_held < width)
        cells = pairs.codes[inside] * width + columns_held[inside]
        counts = np.bincount(cells, minlength=len(rows.names) * width).astype(np.int64)
        share = SPLIT[f"{AI} x {name}"]
        sensitivity = bounds.norm(AI)  # a pair of an AI value is in one cell
        noisy = budget.measure(counts, sensitivity, share)  # may be negative: cut, it were biased
        scale = budget.scale(sensitivity, share)
        found[name] = Crossed(rows, columns, noisy.reshape(len(rows.names), width), scale)
    return found


def _first(measured: Measured) -> Measured:
    return Measured(measured.names[:COARSE], measured.counts[:COARSE], measured.scales[:COARSE])
