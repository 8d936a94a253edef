"""Neighbourhoods of similar clusters, for a model whose prompt cannot contain a whole level.

Pure functions of unit vectors. Neighbourhoods partition the rows of a level. Each is shown together
with the rows nearest to it from outside (Clio, 5.1), so that similar groups on both sides of a
border are seen together.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitw_ray.taxonomy.hierarchy import Parents
from vitw_ray.taxonomy.kmeans.lloyd import kmeans
from vitw_ray.taxonomy.kmeans.shards import ArrayShard

OUTSIDE = 10  # ours: a quarter of a neighbourhood; Clio does not state its number

Vectors = NDArray[np.floating]
"""(n, d) unit rows."""


@dataclass(frozen=True)
class KMeansSettings:
    """Settings of k-means: the seed of the start, and a limit on Lloyd iterations."""

    seed: int
    iterations: int


@dataclass(frozen=True)
class Neighbourhood:
    """Indices of rows inside and just outside, both sorted by distance to the centre."""

    members: tuple[int, ...]
    outside: tuple[int, ...]


def neighbourhoods(
    vectors: Vectors, parts: int, most: int, settings: KMeansSettings
) -> list[Neighbourhood]:
    """Partition the rows of a level into neighbourhoods; see `divide` for the arguments."""
    around = np.empty(len(vectors), np.int32)
    for number, rows in enumerate(divide(vectors, parts, most, settings)):
        around[rows] = number
    found: list[Neighbourhood] = []
    for number, centre in enumerate(centres(vectors, around)):
        closeness, inside = vectors @ centre, around == number
        found.append(
            Neighbourhood(
                members=tuple(nearest_first(closeness, inside)),
                outside=tuple(nearest_first(closeness, ~inside)[:OUTSIDE]),
            )
        )
    return found


def divide(
    vectors: Vectors, parts: int, most: int, settings: KMeansSettings
) -> list[NDArray[np.intp]]:
    """Partition the rows by k-means.

    Args:
        vectors: (n, d) unit rows, at least one.
        parts: number of parts wanted.
        most: limit on the rows in a part; larger parts are divided again.
        settings: of k-means.

    Returns:
        Indices of the rows of each part, ascending; no part is empty.
    """
    return list(_divided(vectors, np.arange(len(vectors)), parts, most, settings))


def _divided(
    vectors: Vectors, rows: NDArray[np.intp], parts: int, most: int, settings: KMeansSettings
) -> Iterator[NDArray[np.intp]]:
    parts = max(parts, -(-len(rows) // most))
    if parts == 1:
        yield rows
        return
    groups = _clusters(vectors[rows], parts, settings)
    if len(groups) == 1:  # all rows are equal, so any division is fine
        yield from np.array_split(rows, -(-len(rows) // most))
        return
    for group in groups:
        yield from _divided(vectors, rows[group], 1, most, settings)


def spread(vectors: Vectors, k: int, settings: KMeansSettings) -> list[int]:
    """Indices of 1 to k rows that represent all rows, ascending.

    They are the rows nearest to the centres of k clusters; fewer if rows coincide.
    """
    groups = _clusters(vectors, max(k, 1), settings)
    around = np.empty(len(vectors), np.int32)
    for number, rows in enumerate(groups):
        around[rows] = number
    middle = centres(vectors, around)
    return sorted(
        nearest_first(vectors @ centre, around == number)[0] for number, centre in enumerate(middle)
    )


def _clusters(vectors: Vectors, k: int, settings: KMeansSettings) -> list[NDArray[np.intp]]:
    found = kmeans(
        [ArrayShard(vectors)],
        min(k, len(vectors)),
        iterations=settings.iterations,
        seed=settings.seed,
    )
    return [np.flatnonzero(found.labels == number) for number in np.unique(found.labels)]


def centres(vectors: Vectors, clusters: Parents) -> NDArray[np.float64]:
    """(k, d) normalised means of k clusters, numbered from 0 without gaps."""
    sums = np.zeros((clusters.max(initial=-1) + 1, vectors.shape[1]))
    np.add.at(sums, clusters, vectors)
    return sums / np.linalg.norm(sums, axis=1, keepdims=True).clip(min=1e-12)


def nearest_first(closeness: NDArray[np.floating], among: NDArray[np.bool_]) -> list[int]:
    """Indices of the chosen rows, closest first."""
    chosen = np.flatnonzero(among)
    return chosen[np.argsort(-closeness[chosen], kind="stable")].tolist()
