"""Initial centroids of k-means: k-means++ on a sample, with a cluster quota per cell."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from vitw_ray.taxonomy.kmeans.grid import GRID, Rows, squared_lengths
from vitw_ray.taxonomy.kmeans.shards import Shard

ALL_DISTANCES = 512  # ours: for at most this many rows all distances are stored, 2 MB


def draw(shards: Sequence[Shard], size: int, rng: np.random.Generator) -> Rows:
    """At most `size` rows, drawn at random and returned in global order."""
    ends = np.cumsum([shard.count() for shard in shards])
    total = int(ends[-1])
    rows = np.sort(rng.choice(total, size, replace=False)) if total > size else np.arange(total)
    cuts = np.split(rows, np.searchsorted(rows, ends[:-1]))
    starts = [0, *ends[:-1]]
    return np.concatenate(
        [shard.sample(cut - start) for shard, cut, start in zip(shards, cuts, starts, strict=True)]
    )


def plus_plus(sample: Rows, k: int, rng: np.random.Generator) -> Rows:
    """Greedy k-means++: draw a few rows by squared distance, keep the best; returns (k, d)."""
    distances_from = _distances(sample)
    trials = 2 + int(np.log(k))  # the greedy variant, as in scikit-learn
    chosen = [int(rng.integers(len(sample)))]
    nearest = distances_from(np.array(chosen))[0]
    while len(chosen) < k:
        cumulative = nearest.cumsum()
        # Not `integers`: its rejection sampling depends on the total, so a change of 1e-7 in one
        # point would change all later draws.
        draws = rng.random(trials) * cumulative[-1]
        # Past the end only if every row coincides with a centre: then any row is valid.
        rows = cumulative.searchsorted(draws, side="right").clip(max=len(sample) - 1)
        reach = np.minimum(nearest, distances_from(rows))
        best = int(reach.sum(axis=1).argmin())
        chosen.append(int(rows[best]))
        nearest = reach[best]
    return sample[chosen]


def _distances(sample: Rows) -> Callable[[NDArray[np.intp]], NDArray[np.int64]]:
    """A function from row indices (t,) to squared distances to all rows (t, m).

    For a small sample all distances are computed once. Distances are integers in units of `GRID`,
    so that draws and sums are exact.
    """
    points, norms = sample.astype(np.float64), squared_lengths(sample)

    def from_rows(rows: NDArray[np.intp] | slice) -> NDArray[np.int64]:
        squares = points[rows] @ points.T
        squares *= -2
        squares += norms
        squares += norms[rows, None]
        return np.rint(squares / GRID).astype(np.int64)

    return from_rows(slice(None)).__getitem__ if len(sample) <= ALL_DISTANCES else from_rows


def share_out(k: int, members: NDArray[np.int64]) -> NDArray[np.int64]:
    """Allocate k clusters to cells in proportion to their members (largest remainder method).

    A cell with members gets at least one cluster, and at most one per member.

    Args:
        k: at least the number of cells with members, at most the number of members.
        members: (cells,) number of rows in each cell.
    """
    exact = k * members / members.sum()
    shares = np.floor(exact).astype(np.int64)
    while (missing := k - int(shares.sum())) != 0:
        step = 1 if missing > 0 else -1
        open_to = shares < members if missing > 0 else shares > 1
        wanted = np.where(open_to, step * (exact - shares), -np.inf)
        shares[np.argsort(-wanted, kind="stable")[: abs(missing)]] += step
        shares = np.clip(shares, np.minimum(members, 1), members)
    return shares
