"""A population -> what the strict release says of it; nothing else of the data gets out.

Every number below is a measurement with noise, or computed from such numbers. An account counts as
`conversations` at most, whatever number it has: its conversations share that weight. Numbers are
sums of weights, in units of WEIGHT.

The most frequent AI values and the number of conversations are measured together, with a
share of epsilon. Per value, 2 x - 1 is summed, where x says whether a conversation holds it. So
whatever an account holds, it changes each of these numbers by its weight at most, and all of them
at once: the case for noise of a cube. The count of a value follows from its sum and the number of
conversations.
The rest of the budget is split by `SPLIT`: most of it goes to the AI values, the longest list.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitw_ray.facets import RESPONSE_TYPES
from vitw_ray.release.strict.bounds import AI, SPLIT, TASKS, Bounds
from vitw_ray.release.strict.names import select
from vitw_ray.release.strict.noise import Budget, cube_deviation
from vitw_ray.release.strict.population import (
    WEIGHT,
    Integers,
    Pairs,
    Population,
    added,
    bound_names,
    bound_pairs,
    weigh,
)

HEAD = 5  # ours: AI values measured with the number of conversations; more would need more noise
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
    conversation_pairs: int
    conversations: int
    conversations_scale: float
    facets: Mapping[str, Measured]
    response_types: Measured
    crossed: Mapping[str, Crossed]
    sure_from: Mapping[str, float]
    """Accounts from which a name of a facet is released with probability 0.98 at least."""


@dataclass(frozen=True)
class _People:
    """A population, the weights of its conversations, and what may be measured of it."""

    population: Population
    weights: Integers
    bounds: Bounds
    budget: Budget

    def add_up(self, pairs: Pairs) -> Integers:
        """The weight of each name."""
        return pairs.weighed(self.weights)

    def count(self, sums: Integers, norm: float, share: float) -> tuple[Integers, float]:
        """Sums of weights as noisy numbers of conversations, and the scale of their noise."""
        noisy = self.budget.measure(sums, WEIGHT * norm, share)
        return _conversations(noisy), self.budget.scale(norm, share)


def measure(population: Population, bounds: Bounds, budget: Budget) -> Findings:
    """Spend the budget on a population."""
    people = _People(population, weigh(population, bounds.conversations), bounds, budget)
    kept: dict[str, Pairs] = {}
    sure_from = {}
    for facet, pairs in population.facets.items():
        most = bounds.names(facet)
        supported = bound_pairs(pairs, population, most)
        of_names, delta = SPLIT[f"names {facet}"], bounds.delta / len(population.facets)
        chosen = select(supported, population.accounts, most, budget, of_names, delta)
        sure_from[facet] = chosen.sure_from
        kept[facet] = pairs.only(chosen.codes)  # the heaviest names first
    head, total = _head(kept[AI], people)
    facets = {}
    for facet, pairs in kept.items():
        size = len(head.names) if facet == AI else 0
        rest = _counted(facet, pairs.take(pairs.codes >= size), people)
        counted = _joined(head, rest) if facet == AI else rest
        kept[facet], facets[facet] = _by_count(pairs, counted)
    types = _types(people)
    return Findings(
        bounds.conversations,
        bounds.pairs,
        max(int(total.counts[0]), 0),
        float(total.scales[0]),
        facets,
        types,
        _crossed(kept, facets, types, people),
        sure_from,
    )


def _head(pairs: Pairs, people: _People) -> tuple[Measured, Measured]:
    """The first names with their counts, and the number of conversations."""
    names = tuple(pairs.names[:HEAD])
    whole = int(people.weights.sum())
    sums = np.append(2 * people.add_up(pairs)[: len(names)] - whole, whole)
    k = people.bounds.conversations
    noisy = people.budget.measure_few(sums, WEIGHT * k)
    deviation = cube_deviation(people.budget.few_scale(k), sums.size)
    counts = _conversations((noisy[:-1] + noisy[-1]) / 2)
    scales = np.full(counts.size, deviation / 2**0.5)  # of half the sum of two numbers
    return (
        Measured(names, np.maximum(counts, 0), scales),
        Measured(("conversations",), _conversations(noisy[-1:]), np.array([deviation])),
    )


def _counted(facet: str, pairs: Pairs, people: _People) -> Measured:
    """Conversations of each name of a facet."""
    limited = bound_names(pairs, people.population, people.bounds.of(facet))
    norm = people.bounds.norm(facet)
    counts, scale = people.count(people.add_up(limited), norm, SPLIT[f"counts {facet}"])
    return Measured(tuple(pairs.names), np.maximum(counts, 0), np.full(counts.size, scale))


def _joined(head: Measured, whole: Measured) -> Measured:
    """`whole` with the counts of its first names from `head`."""
    counts, scales = whole.counts.copy(), whole.scales.copy()
    counts[: head.counts.size], scales[: head.counts.size] = head.counts, head.scales
    return Measured(whole.names, counts, scales)


def _types(people: _People) -> Measured:
    types = people.population.response_types
    known = types >= 0
    sums = added(types[known], people.weights[known], len(RESPONSE_TYPES))
    norm = people.bounds.conversations
    counts, scale = people.count(sums, norm, SPLIT["response_types"])
    return Measured(RESPONSE_TYPES, np.maximum(counts, 0), np.full(counts.size, scale))


def _conversations(sums: NDArray[Any]) -> Integers:
    return np.rint(sums / WEIGHT).astype(np.int64)


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
    people: _People,
) -> dict[str, Crossed]:
    """The most frequent AI values by response types, and by the most frequent tasks."""
    rows = _first(facets[AI])
    pairs = kept[AI].take(kept[AI].codes < len(rows.names))
    pairs = bound_names(pairs, people.population, people.bounds.pairs)
    found = {}
    for name, columns in (("response_types", types), (TASKS, _first(facets[TASKS]))):
        column_of = people.population.response_types
        if name == TASKS:
            column_of = np.full(people.population.conversations, -1, np.int64)
            column_of[kept[TASKS].rows] = kept[TASKS].codes
        columns_held = column_of[pairs.rows]
        width = len(columns.names)
        inside = (columns_held >= 0) & (columns_held < width)
        cells = pairs.codes[inside] * width + columns_held[inside]
        sums = added(cells, people.weights[pairs.rows[inside]], len(rows.names) * width)
        norm = people.bounds.norm(AI)  # a pair of an AI value is in one cell
        # may be negative: cut, it were biased
        counts, scale = people.count(sums, norm, SPLIT[f"{AI} x {name}"])
        found[name] = Crossed(rows, columns, counts.reshape(len(rows.names), width), scale)
    return found


def _first(measured: Measured) -> Measured:
    return Measured(measured.names[:COARSE], measured.counts[:COARSE], measured.scales[:COARSE])
