"""Place texts in known clusters: each in the nearest one, or in none if it is too far from it.

How far a cluster reaches is measured by its own members. The distance of a member is its cosine
distance to the centre of the others, so that a new text is held to what a member would be held to.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from vitw_ray.taxonomy.hierarchy import Parents
from vitw_ray.taxonomy.kmeans.grid import Rows, to_grid
from vitw_ray.taxonomy.kmeans.nearest import nearest

REACH = 0.95  # ours: quantile of the members' distances; one member in twenty is farther away
FEWEST = 5  # ours: members that show a quantile; smaller clusters take that of the whole level
UNPLACED = -1
BLOCK_ROWS = 4096  # ours: 13 MB of float64


@dataclass(frozen=True, eq=False)
class Reach:
    """Centres of k clusters and how far each reaches.

    Attributes:
        centres: (k, d) unit rows on the grid.
        radii: (k,) cosine distance up to which a text belongs to the cluster.
        nodes: (k,) index of the level-1 node that each cluster is part of.
    """

    centres: Rows
    radii: NDArray[np.float64]
    nodes: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Leaves:
    """The leaves that are known: (m,) keys, sorted byte strings, and (m,) level-1 nodes."""

    keys: np.ndarray
    nodes: NDArray[np.int32]

    def find(self, keys: np.ndarray) -> NDArray[np.int32]:
        """(n,) node of each leaf, or `UNPLACED`."""
        if not len(self.keys):
            return np.full(len(keys), UNPLACED, np.int32)
        places = np.searchsorted(self.keys, keys).clip(max=len(self.keys) - 1)
        return np.where(self.keys[places] == keys, self.nodes[places], UNPLACED).astype(np.int32)

    def with_others(self, keys: np.ndarray, nodes: NDArray[np.int32]) -> "Leaves":
        """These leaves, and others that are not among them."""
        both = np.concatenate([self.keys, keys]) if len(self.keys) else keys
        return leaves_of(both, np.concatenate([self.nodes, nodes]))


NO_LEAVES = Leaves(np.empty(0, "S1"), np.empty(0, np.int32))


def leaves_of(keys: np.ndarray, nodes: NDArray[np.int32]) -> Leaves:
    """Leaves in any order."""
    order = np.argsort(keys, kind="stable")
    return Leaves(keys[order], nodes[order].astype(np.int32))


def label_keys(labels: Sequence[str]) -> np.ndarray:
    """(n,) what labels are known by."""
    return np.array([label.encode() for label in labels] or [], "S")


def reach_of(vectors: NDArray[np.float32], clusters: Parents, nodes: Parents) -> Reach:
    """Measure clusters.

    Args:
        vectors: (n, d) unit rows.
        clusters: (n,) cluster of each row, from 0 without gaps.
        nodes: (n,) level-1 node of each row; the same for all rows of a cluster.
    """
    counts = np.bincount(clusters)
    sums = np.zeros((len(counts), vectors.shape[1]))
    add_members(sums, vectors, clusters)
    distances = distances_to_others(vectors, clusters, sums, counts)
    return measured(sums, counts, distances, clusters, nodes)


def add_members(sums: NDArray[np.float64], vectors: NDArray[np.float32], clusters: Parents) -> None:
    """Add rows to the (k, d) sums of their clusters. Rows on the grid add up without rounding."""
    present, place = np.unique(clusters, return_inverse=True)
    shape = (len(present), len(vectors))
    inside = csr_array((np.ones(len(vectors)), (place, np.arange(len(vectors)))), shape)
    sums[present] += inside @ to_grid(vectors).astype(np.float64)


def distances_to_others(
    vectors: NDArray[np.float32],
    clusters: Parents,
    sums: NDArray[np.float64],
    counts: NDArray[np.int64],
) -> NDArray[np.float64]:
    """(n,) distance of some members to the centre of the others; NaN where there are none.

    Args:
        vectors: (n, d) unit rows.
        clusters: (n,) cluster of each row.
        sums: (k, d) of all members of each cluster, as by `add_members`.
        counts: (k,) number of all members.
    """
    distances = np.full(len(vectors), np.nan)
    for start in range(0, len(vectors), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        exact = to_grid(vectors[rows]).astype(np.float64)
        distances[rows] = _cosine_distances(exact, sums[clusters[rows]] - exact)
    distances[counts[clusters] == 1] = np.nan
    return distances


def measured(
    sums: NDArray[np.float64],
    counts: NDArray[np.int64],
    distances: NDArray[np.float64],
    clusters: Parents,
    nodes: Parents,
) -> Reach:
    """The reach of clusters from the sums and distances of all members; see `reach_of`."""
    size = len(counts)
    known = distances[np.isfinite(distances)]
    of_level = float(np.quantile(known, REACH)) if len(known) else 0.0
    radii = np.full(size, of_level)
    order = np.argsort(clusters, kind="stable")
    ends = np.cumsum(counts)
    for cluster in np.flatnonzero(counts >= FEWEST).tolist():
        of_cluster = distances[order[ends[cluster] - counts[cluster] : ends[cluster]]]
        radii[cluster] = np.quantile(of_cluster, REACH)
    node = np.zeros(size, np.int32)
    node[clusters] = nodes
    lengths = np.linalg.norm(sums, axis=1, keepdims=True).clip(min=1e-12)
    return Reach(to_grid(sums / lengths), radii, node)


def left_out(distances: NDArray[np.float64], clusters: Parents, reach: Reach) -> NDArray[np.bool_]:
    """(n,) members that would be in no cluster if they were new.

    Args:
        distances: (n,) as by `distances_to_others`.
        clusters: (n,) cluster of each member.
        reach: of the clusters.
    """
    return ~(distances <= reach.radii[clusters])  # one without others would be in none


def place(
    vectors: NDArray[np.float32], reach: Reach | None
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """(n,) level-1 node of each row, or `UNPLACED`, and (n,) distance to the nearest centre."""
    nodes, distances = np.full(len(vectors), UNPLACED, np.int32), np.full(len(vectors), np.inf)
    if reach is None or not len(vectors):
        return nodes, distances
    points = to_grid(vectors)
    found = nearest(points, reach.centres)
    for start in range(0, len(points), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        exact = points[rows].astype(np.float64)
        distances[rows] = _cosine_distances(exact, reach.centres[found[rows]].astype(np.float64))
    inside = distances <= reach.radii[found]
    nodes[inside] = reach.nodes[found[inside]]
    return nodes, distances


def place_all(
    keys: np.ndarray, vectors: NDArray[np.float32], known: Leaves, reach: Reach | None
) -> NDArray[np.int32]:
    """(n,) level-1 node of each leaf: its old one if it is known, else as `place` finds it."""
    at = known.find(keys)
    new = np.flatnonzero(at == UNPLACED)
    at[new] = place(vectors[new], reach)[0]
    return at


def _cosine_distances(
    rows: NDArray[np.float64], centres: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(n,) distance of each row to its own centre, of any length."""
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(centres, axis=1)
    return 1 - np.einsum("nd,nd->n", rows, centres) / lengths.clip(min=1e-12)
