"""Stage 4, part 2, large: a million rows, 3,000 clusters, compared with FAISS and scikit-learn.

Each method runs once in a separate process, on the same file of rows. Reported are wall and CPU
seconds, peak memory (including the rows) and inertia, computed in the same way for all. The others
use all cores, ours uses one: its matrices are too small for parallel BLAS. All three compute plain
means, as scikit-learn has no spherical k-means. scikit-learn makes at most five passes over the
rows.

    python benchmarks/kmeans_million.py [--quick] [--unstructured]
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from bench_kmeans import DIM, Rows, faiss_kernels, inertia, topical, unstructured
from harness import ONE_THREAD, Result, parser_of

from vitw_ray.taxonomy.kmeans.shards import ArrayShard
from vitw_ray.taxonomy.kmeans.two_level import two_level_kmeans

MOVES = 20
EPOCHS = 5
PART_ROWS = 50_000
METHODS = ("ours", "faiss", "minibatch")


def write_rows(path: Path, n: int, k: int, kind: str) -> None:
    """Write rows part by part, because all rows in float64 would not fit into memory as well."""
    make = topical if kind == "topical" else unstructured
    rows = np.lib.format.open_memmap(path, "w+", np.float32, (n, DIM))
    for part, start in enumerate(range(0, n, PART_ROWS)):
        rows[start : start + PART_ROWS] = make(min(PART_ROWS, n - start), k, part)
    rows.flush()


def fit(method: str, rows: Rows, k: int) -> Rows:
    """Centroids; each method also assigns every row."""
    if method == "ours":
        return two_level_kmeans([ArrayShard(rows)], k, seed=0, spherical=False).centroids
    if method == "faiss":
        import faiss

        clustering = faiss.Kmeans(DIM, k, niter=MOVES, seed=1, max_points_per_centroid=len(rows))
        clustering.train(rows)
        clustering.assign(rows)
        return np.asarray(clustering.centroids)
    from sklearn.cluster import MiniBatchKMeans

    return (
        MiniBatchKMeans(k, batch_size=8192, max_iter=EPOCHS, n_init=1, random_state=0)
        .fit(rows)
        .cluster_centers_
    )


def run_one(method: str, path: Path, k: int) -> None:
    """Fit, save the centroids, print time and memory; runs in a separate process."""
    rows = np.load(path)
    start, cpu = time.perf_counter(), time.process_time()
    centroids = fit(method, rows, k)
    taken = {"wall_s": time.perf_counter() - start, "cpu_s": time.process_time() - cpu}
    taken["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    np.save(path.with_name(f"{method}.npy"), centroids)
    print(json.dumps(taken))


def in_own_process(method: str, path: Path, k: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--method", method, "--rows", str(path), "--k", str(k)]
    own = {"ours": ONE_THREAD, "faiss": faiss_kernels(), "minibatch": {}}
    environment = {**os.environ, **own[method]}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def arguments() -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument("--unstructured", action="store_true", help="rows without clusters")
    parser.add_argument("--method", choices=METHODS, help="run only this one, on --rows")
    parser.add_argument("--rows", type=Path)
    parser.add_argument("--k", type=int)
    return parser.parse_args()


def main() -> None:
    given = arguments()
    if given.method:
        run_one(given.method, given.rows, given.k)
        return
    kind = "unstructured" if given.unstructured else "topical"
    n, k = (100_000, 300) if given.quick else (1_000_000, 3_000)
    work = {"rows": n, "k": k, "dim": DIM, "moves": MOVES, "epochs": EPOCHS}
    result = Result(f"kmeans_million_{kind}", given.quick, work=work)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npy"
        write_rows(path, n, k, kind)
        taken = {method: in_own_process(method, path, k) for method in METHODS}
        rows = np.load(path, mmap_mode="r")
        spreads = {m: inertia(rows, np.load(path.with_name(f"{m}.npy"))) for m in METHODS}
    for method, spent in taken.items():
        wall, cpu, peak = (spent[name] for name in ("wall_s", "cpu_s", "peak_bytes"))
        result.rates |= {f"{method}_{name}": value for name, value in spent.items()}
        result.rates[f"{method}_inertia"] = spreads[method]
        cells = (f"{wall:.0f}", f"{cpu:.0f}", f"{peak / 2**30:.2f}", f"{spreads[method]:.5f}")
        result.rows.append((method, *cells))
    for other in METHODS[1:]:
        wall = taken[other]["wall_s"] / taken["ours"]["wall_s"]
        cpu = taken[other]["cpu_s"] / taken["ours"]["cpu_s"]
        result.ratios |= {f"over_{other}_wall": wall, f"over_{other}_cpu": cpu}
        result.ratios[f"inertia_over_{other}"] = spreads["ours"] / spreads[other]
    result.report(("method", "wall s", "CPU s", "peak GiB", "inertia"))


if __name__ == "__main__":
    main()
