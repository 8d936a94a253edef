"""Strata: cells put together so that each can be drawn from often enough to give a variance.

Conversations are split by what the reader said, then, where enough of each part would be drawn, by
its confidence, the assistant, the language and the length. What is too small for a stratum of its
own is put together with other such parts.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitw_ray.evaluation.review.population import Cell, CellCounts

FLOOR = 6  # ours: a variance with five degrees of freedom
FEWEST = 2  # a variance needs two
OTHER = "other"
ANSWERS = 5  # classes of what a reader said; see population.answer_of
Cells = Mapping[Cell, CellCounts]


@dataclass(frozen=True)
class Stratum:
    """Cells that are drawn from as one.

    `drawn` of its `size` conversations are drawn, each of them with the same probability.
    """

    name: str
    cells: tuple[Cell, ...]
    size: int
    drawn: int

    @property
    def probability(self) -> float:
        """Of a conversation to be drawn."""
        return self.drawn / self.size


def floor_of(size: int) -> int:
    """Conversations that are drawn of each stratum at least, in a sample of this size."""
    return max(FEWEST, min(FLOOR, size // (2 * ANSWERS)))


def make_strata(cells: Cells, size: int) -> list[Stratum]:
    """Strata of a population, and how many conversations are drawn of each.

    Args:
        cells: of the population.
        size: of the sample; a smaller population is drawn whole.
    """
    floor = floor_of(size)
    by_answer = _parts(cells, 0)
    firsts = _merged(by_answer, {v: _size(cells, part) for v, part in by_answer.items()}, floor)
    drawn = allocate(*_measures(cells, firsts.values()), size, floor)
    found = [
        named
        for (name, part), draws in zip(firsts.items(), drawn.tolist(), strict=True)
        for named in _split(cells, part, (name,), 1, draws, floor)
    ]
    draws = allocate(*_measures(cells, [part for _, part in found]), size, floor)
    names = _distinct([" / ".join(name) for name, _ in found])
    return [
        Stratum(name, tuple(part), _size(cells, part), int(n))
        for name, (_, part), n in zip(names, found, draws, strict=True)
    ]


def _distinct(names: Sequence[str]) -> list[str]:
    """Names of assistants may hold anything: what is the same gets a number."""
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found


def allocate(
    measures: NDArray[np.float64], sizes: NDArray[np.int64], total: int, floor: int
) -> NDArray[np.int64]:
    """Divide a sample over strata in proportion to `measures`, within bounds.

    At least `floor` conversations of each stratum are drawn, or all of them, and no more than
    there are (Neyman, 1934; with costs: Cochran, 1977, 5.5).
    """
    total = min(total, int(sizes.sum()))
    low, high = np.minimum(floor, sizes).astype(float), sizes.astype(float)
    # One factor for all: the bounded sum grows with it, so bisection finds the one that fits.
    smallest, largest = 0.0, float(sizes.max() / measures.min())
    for _ in range(200):
        factor = (smallest + largest) / 2
        if np.clip(factor * measures, low, high).sum() < total:
            smallest = factor
        else:
            largest = factor
    exact = np.clip(largest * measures, low, high)
    whole = np.floor(exact + 1e-9).astype(np.int64)
    order = np.argsort(whole - exact, kind="stable")
    room = [index for index in order if whole[index] < sizes[index]]
    for index in room[: max(total - int(whole.sum()), 0)]:
        whole[index] += 1
    return whole


def _split(
    cells: Cells, part: Sequence[Cell], name: tuple[str, ...], depth: int, draws: int, floor: int
) -> Iterator[tuple[tuple[str, ...], Sequence[Cell]]]:
    """Split by the property at `depth` and those after it, where each part is drawn often."""
    if depth == len(Cell._fields):
        yield name, part
        return
    by_value = _parts(part, depth)
    measures, _ = _measures(cells, by_value.values())
    expected = dict(zip(by_value, draws * measures / measures.sum(), strict=True))
    merged = _merged(by_value, expected, floor)
    share = _measures(cells, merged.values())[0] / measures.sum()
    for (value, below), of_all in zip(merged.items(), share.tolist(), strict=True):
        longer = (*name, value) if len(merged) > 1 else name
        yield from _split(cells, below, longer, depth + 1, round(draws * of_all), floor)


def _merged(
    parts: Mapping[str, list[Cell]], weight: Mapping[str, float], least: float
) -> dict[str, list[Cell]]:
    """Parts with less than the least weight become one; it joins the lightest if it stays light."""
    kept = {value: part for value, part in parts.items() if weight[value] >= least}
    rest = [cell for value, part in parts.items() if value not in kept for cell in part]
    if not rest:
        return kept
    weight_of_rest = sum(weight[value] for value in parts if value not in kept)
    if weight_of_rest >= least or not kept:
        return {**kept, OTHER: [*kept.get(OTHER, []), *rest]}
    lightest = min(kept, key=lambda value: (weight[value], value))
    with_rest = f"{lightest} or {OTHER}"
    return {
        with_rest if value == lightest else value: [*part, *rest] if value == lightest else part
        for value, part in kept.items()
    }


def _parts(cells: Cells | Sequence[Cell], depth: int) -> dict[str, list[Cell]]:
    """Cells by their property at `depth`, sorted."""
    found: dict[str, list[Cell]] = {}
    for cell in sorted(cells):
        found.setdefault(cell[depth], []).append(cell)
    return dict(sorted(found.items()))


def _size(cells: Cells, part: Sequence[Cell]) -> int:
    return sum(cells[cell].conversations for cell in part)


def _measures(
    cells: Cells, parts: Iterable[Sequence[Cell]]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Size times expected standard deviation over the root of the cost, and size, of each part."""
    sizes, measures = [], []
    for part in parts:
        size = _size(cells, part)
        minutes = sum(cells[cell].minutes for cell in part) / size
        sizes.append(size)
        measures.append(sum(cells[cell].doubt for cell in part) / np.sqrt(minutes))
    return np.array(measures), np.array(sizes, np.int64)
