"""Stage 4, part 2, on a GPU: iterations over millions of rows, compared with FAISS's k-means.

Ours keeps the rows on the GPU and computes exact sums there. FAISS's `Kmeans(gpu=True)` is the
usual alternative. Wall seconds of one iteration over all rows and centroids are the difference of
runs of 2 and of 2 + `MOVES` iterations, so that the start is not included.

    python benchmarks/kmeans_gpu.py [--quick] [--rows 2000000]
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from bench_kmeans import DIM, Rows, inertia, topical
from harness import Result, parser_of, ratio

from vitw_ray.taxonomy.kmeans.gpu_shard import GpuShard
from vitw_ray.taxonomy.kmeans.grid import to_grid
from vitw_ray.taxonomy.kmeans.lloyd import lloyd
from vitw_ray.taxonomy.kmeans.two_level import two_level_kmeans

MOVES = 5
ROUNDS = 3
PART_ROWS = 100_000


def rows_of(n: int, k: int) -> Rows:
    rows = np.empty((n, DIM), np.float32)

    def fill(start: int) -> None:
        rows[start : start + PART_ROWS] = topical(min(PART_ROWS, n - start), k, start // PART_ROWS)

    with ThreadPoolExecutor() as pool:  # numpy draws in parallel
        list(pool.map(fill, range(0, n, PART_ROWS)))
    return rows


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def an_iteration(run: Callable[[int], object]) -> float:
    return (seconds(lambda: run(2 + MOVES)) - seconds(lambda: run(2))) / MOVES


def ours(shard: GpuShard, start: Rows, iterations: int) -> Rows:
    found = lloyd([shard], start, iterations=iterations, spherical=True)
    if len(found.objective) != iterations:
        raise SystemExit(f"ended after {len(found.objective)} of {iterations} iterations")
    return found.centroids


def faiss_gpu(rows: Rows, start: Rows, iterations: int) -> Rows:
    import faiss

    clustering = faiss.Kmeans(
        DIM, len(start), niter=iterations, spherical=True, gpu=True,
        max_points_per_centroid=len(rows), early_stop_threshold=-1.0,
    )  # fmt: skip
    clustering.train(rows, init_centroids=start)
    return np.asarray(clustering.centroids)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--rows", type=int, default=8_000_000, help="without --quick")
    chosen = parser.parse_args()
    import torch

    if not torch.cuda.is_available():
        raise SystemExit("no GPU that torch can use")
    n, k = (200_000, 512) if chosen.quick else (chosen.rows, 4_096)
    rows = rows_of(n, k)
    shard, start = GpuShard(rows), to_grid(rows[:k])
    taken: dict[str, list[float]] = {"ours": [], "faiss": []}
    for _ in range(ROUNDS):
        taken["ours"].append(an_iteration(lambda i: ours(shard, start, i)))
        taken["faiss"].append(an_iteration(lambda i: faiss_gpu(rows, start, i)))
    two_levels: list[Rows] = []
    whole = seconds(lambda: two_levels.append(two_level_kmeans([shard], k, seed=0).centroids))
    found = [ours(shard, start, 2 + MOVES), faiss_gpu(rows, start, 2 + MOVES), two_levels[0]]
    sample = rows[:: max(1, n // 100_000)]
    spreads = [inertia(sample, centroids) for centroids in found]
    result = Result(
        "kmeans_gpu", chosen.quick, work={"rows": n, "k": k, "dim": DIM, "moves": MOVES}
    )
    result.ratios["iteration_over_faiss_gpu"] = ratio(taken["faiss"], taken["ours"])
    result.ratios["inertia"] = spreads[0] / spreads[1]
    result.ratios["two_level_inertia"] = spreads[2] / spreads[1]
    result.rates = {f"{who}_iteration_s": float(np.median(s)) for who, s in taken.items()}
    result.rates["two_level_s"] = whole
    for name, spread in zip(("ours", "faiss"), spreads, strict=False):
        result.rows.append((name, f"{result.rates[f'{name}_iteration_s']:.3f}", f"{spread:.5f}"))
    result.rows.append(("two levels, whole", f"{whole:.3f}", f"{spreads[2]:.5f}"))
    result.report(("k-means", "iteration s", "inertia"))


if __name__ == "__main__":
    main()
