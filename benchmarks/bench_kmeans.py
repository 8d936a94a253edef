"""Stage 4, second half: our k-means against faiss.Kmeans, at equal work.

Both assign all rows equally often, on the unit sphere, with one thread. Ours promises the same bits
for any number of shards, and pays for it; what it pays is `*_cpu_saving` (below 1: FAISS is
faster). Inertia is measured alike for both, in float64, ours over FAISS's: below 1 is better.
Topical rows lie around themes within themes, as labels do; unstructured ones fill a subspace, where
no clustering is much better than another.

    python benchmarks/bench_kmeans.py [--quick]
"""

import statistics

import numpy as np
from harness import Result, arguments, interleave, ratio, spread, with_one_thread
from numpy.typing import NDArray

from vitw_ray.taxonomy.kmeans import KMeansResult, kmeans
from vitw_ray.taxonomy.shards import ArrayShard

DIM = 384  # of all-MiniLM-L6-v2
MOVES = 20  # as --kmeans-iterations
SHARDS = 3
Rows = NDArray[np.float32]


def unit(rows: NDArray[np.float64]) -> Rows:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def topical(n: int, k: int) -> Rows:
    """Ten themes, each with k / 10 topics; rows scatter as far from a topic as topics do."""
    rng = np.random.default_rng(0)
    themes = rng.normal(size=(10, DIM))
    topics = np.repeat(themes, -(-k // 10), axis=0)
    topics = topics + rng.normal(size=topics.shape)
    return unit(topics[rng.integers(0, len(topics), n)] + rng.normal(size=(n, DIM)))


def unstructured(n: int, k: int) -> Rows:
    """A Gaussian cloud in 64 of the dimensions, turned: no clusters at all."""
    rng = np.random.default_rng(0)
    return unit(rng.normal(size=(n, 64)) @ rng.normal(size=(64, DIM)))


def ours(rows: Rows, k: int, shards: int = 1) -> KMeansResult:
    parts = [ArrayShard(part) for part in np.array_split(rows, shards)]
    return kmeans(parts, k, iterations=MOVES + 1, seed=0)


def faiss_kmeans(rows: Rows, k: int) -> Rows:
    """Centroids, after as many moves; the assignment to the last ones is computed too."""
    import faiss

    clustering = faiss.Kmeans(
        DIM, k, niter=MOVES, spherical=True, seed=1, max_points_per_centroid=len(rows)
    )
    clustering.train(rows)
    clustering.assign(rows)
    return np.asarray(clustering.centroids)


def inertia(rows: Rows, centroids: Rows) -> float:
    """Mean squared distance to the nearest centroid, in float64."""
    points, centres = rows.astype(np.float64), centroids.astype(np.float64)
    half_norms = (centres**2).sum(axis=1) / 2
    total = 0.0
    for block in np.array_split(points, max(1, len(points) // 4096)):
        nearest = (half_norms - block @ centres.T).min(axis=1)
        total += float(((block**2).sum(axis=1) + 2 * nearest).sum())
    return total / len(rows)


def compare(result: Result, name: str, rows: Rows, k: int) -> dict[str, list[float]]:
    found: dict[str, Rows] = {}
    seconds = interleave(
        {
            "ours": lambda: found.update(ours=ours(rows, k).centroids),
            "ours again": lambda: ours(rows, k),
            "faiss": lambda: found.update(faiss=faiss_kmeans(rows, k)),
        }
    )
    spreads = {who: inertia(rows, centroids) for who, centroids in found.items()}
    cpu = [statistics.median(seconds[who]) for who in ("ours", "faiss")]
    result.ratios[f"{name}_cpu_saving"] = ratio(seconds["faiss"], seconds["ours"])
    result.ratios[f"{name}_inertia"] = spreads["ours"] / spreads["faiss"]
    result.rates[f"{name}_rows_per_cpu_s"] = len(rows) * (MOVES + 1) / cpu[0]
    result.work[f"{name}_iterations"] = len(ours(rows, k).objective)
    result.rows.append(
        (
            name,
            *(f"{seconds:.2f}" for seconds in cpu),
            f"{result.ratios[f'{name}_cpu_saving']:.2f}",
            *(f"{spreads[who]:.5f}" for who in ("ours", "faiss")),
            f"{result.ratios[f'{name}_inertia']:.4f}",
        )
    )
    return seconds


def main() -> None:
    quick = arguments(__doc__).quick
    with_one_thread()
    n, k = (8_000, 200) if quick else (50_000, 1_000)
    result = Result("kmeans", quick, work={"rows": n, "k": k, "dim": DIM, "moves": MOVES})
    rows = topical(n, k)
    seconds = compare(result, "topical", rows, k)
    result.aa_spread = spread(seconds["ours"], seconds["ours again"])
    same_labels(ours(rows, k), ours(rows, k, SHARDS))
    sharded = interleave(
        {"one": lambda: ours(rows, k), "more": lambda: ours(rows, k, SHARDS)},
    )
    result.ratios["shard_overhead"] = ratio(sharded["more"], sharded["one"])
    compare(result, "unstructured", unstructured(n, k), k)
    spent, reached = ("ours CPU s", "FAISS CPU s", "saving"), ("inertia", "FAISS's", "ratio")
    result.report(("data", *spent, *reached))


def same_labels(one: KMeansResult, more: KMeansResult) -> None:
    if not (
        np.array_equal(one.labels, more.labels) and np.array_equal(one.centroids, more.centroids)
    ):
        raise SystemExit("the result depends on the number of shards: nothing was measured")


if __name__ == "__main__":
    main()
