"""What lies close to what: neighbourhoods of clusters, for a model that cannot see a level at once.

Pure functions of unit vectors. Neighbourhoods part the rows of a level and are shown with what lies
just outside (Clio, 5.1), so that no border hides that two groups on its sides are alike.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitw_ray.taxonomy.hierarchy import Parents
from vitw_ray.taxonomy.kmeans.lloyd import kmeans
from vitw_ray.taxonomy.kmeans.shards import ArrayShard

OUTSIDE = 10  # ours: a quarter of a neighbourhood; Clio's number is not known

Vectors = NDArray[np.floating]
"""(n, d) unit rows."""


@dataclass(frozen=True)
class KMeansSettings:
    """How rows are divided: seed of the start, and Lloyd iterations at most."""

    seed: int
    iterations: int


@dataclass(frozen=True)
class Neighbourhood:
    """Row numbers; in both parts what is nearest to the centre comes first."""

    members: tuple[int, ...]
    outside: tuple[int, ...]


def neighbourhoods(
    vectors: Vectors, parts: int, most: int, settings: KMeansSettings
) -> list[Neighbourhood]:
    """Neighbourhoods that part the rows of a level; see `divide` for the arguments."""
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
    """Part the rows by k-means.

    Args:
        vectors: (n, d) unit rows, at least one.
        parts: how many are wanted.
        most: rows in a part; larger ones are divided again.
        settings: of k-means.

    Returns:
        Row numbers of each part, in rising order; no part is empty.
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
    if len(groups) == 1:  # all alike: one division is as good as another
        yield from np.array_split(rows, -(-len(rows) // most))
        return
    for group in groups:
        yield from _divided(vectors, rows[group], 1, most, settings)


def spread(vectors: Vectors, k: int, settings: KMeansSettings) -> list[int]:
    """Numbers of at most k rows (at least one) that stand for all, in rising order.

    They are the nearest to the centre of each cluster; where rows coincide there are fewer.
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
    """(k, d) unit vectors of the means of k clusters, numbered from 0 without gaps."""
    sums = np.zeros((clusters.max(initial=-1) + 1, vectors.shape[1]))
    np.add.at(sums, clusters, vectors)
    return sums / np.linalg.norm(sums, axis=1, keepdims=True).clip(min=1e-12)


def nearest_first(closeness: NDArray[np.floating], among: NDArray[np.bool_]) -> list[int]:
    """Numbers of the chosen rows, the closest first."""
    chosen = np.flatnonzero(among)
    return chosen[np.argsort(-closeness[chosen], kind="stable")].tolist()
