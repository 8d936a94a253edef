"""Stage 4, part 2: our two-level k-means compared with FAISS's full Lloyd, with one thread each.

FAISS compares every row with every centroid, `MOVES` times, in a separate process with its best
kernels (or those that it chooses itself). Ours uses cells and gives the same bits for any number of
shards. Both work on the unit sphere. Inertia is computed in the same way for both, in float64
against all centroids; the ratio is ours over FAISS's, so below 1 is better. Topical rows are
grouped in themes and topics, as labels are. Unstructured rows fill a subspace, where all
clusterings are about equally good. On topical rows one refinement iteration is enough to be better
than FAISS; the effect of more iterations is a separate row. Finally, shards are moved into Ray
actors to measure their CPU time and the bytes that are sent.

    python benchmarks/bench_kmeans.py [--quick] [--faiss-as-installed]
"""

import os
import pickle
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import psutil
from harness import ROUNDS, Result, interleave, parser_of, ratio, spread, with_one_thread
from numpy.typing import NDArray

from vitw_ray.taxonomy.kmeans.lloyd import KMeansResult
from vitw_ray.taxonomy.kmeans.ray_shards import RayShards
from vitw_ray.taxonomy.kmeans.shards import ArrayShard, ClusterSums, Shard
from vitw_ray.taxonomy.kmeans.two_level import two_level_kmeans

DIM = 384  # of all-MiniLM-L6-v2
MOVES = 20  # as --kmeans-iterations
SHARDS = 2  # of 25,000 rows each, where time is measured
POLISH = 20  # limit on refinement iterations, the default
DIVISIONS = (3, 7)  # numbers of shards where only the result is compared
Rows = NDArray[np.float32]


def faiss_kernels() -> dict[str, str]:
    """Environment variables that make FAISS use its fastest kernels.

    The OpenBLAS in FAISS's package does not know newer processors, and falls back to code of 2004
    on them, which is three to four times slower.
    """
    has = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    return {"OPENBLAS_CORETYPE": "SkylakeX"} if " avx512vl" in has else {}


def unit(rows: NDArray[np.float64]) -> Rows:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def topical(n: int, k: int, part: int = 0) -> Rows:
    """Ten themes with k / 10 topics each; rows scatter around topics as topics do around themes."""
    rng = np.random.default_rng(0)
    themes = rng.normal(size=(10, DIM))
    topics = np.repeat(themes, -(-k // 10), axis=0)
    topics = topics + rng.normal(size=topics.shape)
    rng = np.random.default_rng([1, part])
    return unit(topics[rng.integers(0, len(topics), n)] + rng.normal(size=(n, DIM)))


def unstructured(n: int, k: int, part: int = 0) -> Rows:
    """A Gaussian cloud in a random 64-dimensional subspace, without clusters."""
    turn = np.random.default_rng(0).normal(size=(64, DIM))
    return unit(np.random.default_rng([1, part]).normal(size=(n, 64)) @ turn)


def ours(rows: Rows, k: int, shards: int = 1, iterations: int = POLISH) -> KMeansResult:
    parts = [ArrayShard(part) for part in np.array_split(rows, shards)]
    return two_level_kmeans(parts, k, seed=0, iterations=iterations)


def faiss_kmeans(rows: Rows, k: int) -> Rows:
    """Centroids after all moves; also computes the final assignment."""
    import faiss

    clustering = faiss.Kmeans(
        DIM,
        k,
        niter=MOVES,
        spherical=True,
        seed=1,
        max_points_per_centroid=len(rows),
        early_stop_threshold=-1.0,  # all moves, even if nothing changes
    )
    clustering.train(rows)
    clustering.assign(rows)
    return np.asarray(clustering.centroids)


class Faiss:
    """FAISS in a separate process with a given environment."""

    def __init__(self, environment: dict[str, str]) -> None:
        os.environ.update(environment)
        self._pool = ProcessPoolExecutor(1, get_context("spawn"))
        self._process = psutil.Process(self._pool.submit(os.getpid).result())
        for name in environment:
            del os.environ[name]

    def prepare(self, rows: Rows) -> None:
        """Send the rows to the process; not measured."""
        self._pool.submit(_keep, rows).result()

    def kmeans(self, k: int) -> Rows:
        """Centroids of the prepared rows."""
        return self._pool.submit(_cluster_kept, k).result()

    def clock(self) -> float:
        """CPU seconds of both processes."""
        return time.process_time() + sum(self._process.cpu_times()[:2])


_kept: list[Rows] = []


def _keep(rows: Rows) -> None:
    with_one_thread()
    _kept[:] = [rows]


def _cluster_kept(k: int) -> Rows:
    return faiss_kmeans(_kept[0], k)


def inertia(rows: Rows, centroids: Rows) -> float:
    """Mean squared distance to the nearest centroid, in float64."""
    centres = centroids.astype(np.float64)
    half_norms = (centres**2).sum(axis=1) / 2
    total = 0.0
    for block in np.array_split(rows, max(1, len(rows) // 4096)):
        points = block.astype(np.float64)
        nearest = (half_norms - points @ centres.T).min(axis=1)
        total += float(((points**2).sum(axis=1) + 2 * nearest).sum())
    return total / len(rows)


def compare(
    result: Result,
    theirs: Faiss,
    name: str,
    rows: Rows,
    k: int,
    *,
    polish: int = POLISH,
    with_shards: bool = False,
    rounds: int = ROUNDS,
) -> None:
    found: dict[str, KMeansResult] = {}
    centroids: dict[str, Rows] = {}
    theirs.prepare(rows)
    variants: dict[str, Callable[[], object]] = {
        "ours": lambda: found.update(one=ours(rows, k, iterations=polish)),
        "faiss": lambda: centroids.update(theirs=theirs.kmeans(k)),
    }
    if with_shards:
        variants["ours again"] = lambda: ours(rows, k)
        variants["shards"] = lambda: found.update(more=ours(rows, k, SHARDS))
    seconds = interleave(variants, rounds, clock=theirs.clock)
    if with_shards:
        for more in (found["more"], *(ours(rows, k, shards) for shards in DIVISIONS)):
            same(found["one"], more)
        result.ratios["shard_overhead"] = ratio(seconds["shards"], seconds["ours"])
        result.aa_spread = spread(seconds["ours"], seconds["ours again"])
    spreads = [inertia(rows, c) for c in (found["one"].centroids, centroids["theirs"])]
    cpu = [statistics.median(seconds[who]) for who in ("ours", "faiss")]
    saving, reached = ratio(seconds["faiss"], seconds["ours"]), spreads[0] / spreads[1]
    result.ratios |= {f"{name}_cpu_saving": saving, f"{name}_inertia": reached}
    result.work[f"{name}_assignments"] = [len(found["one"].objective), MOVES + 1]
    result.rates[f"{name}_cpu_s"] = cpu[0]
    times = (f"{cpu[0]:.2f}", f"{cpu[1]:.2f}", f"{saving:.2f}")
    result.rows.append((name, *times, f"{spreads[0]:.5f}", f"{spreads[1]:.5f}", f"{reached:.4f}"))


class Weighed(ArrayShard):
    """Records the largest pickled sizes in bytes that a fit sends to and gets from an actor."""

    sent, returned = 0, 0

    def assign(self, *call: object) -> ClusterSums:  # noqa: D102
        totals = super().assign(*call)
        self.sent = max(self.sent, len(pickle.dumps(call, 5)))
        self.returned = max(self.returned, len(pickle.dumps(totals, 5)))
        return totals


def load_part(path: Path, part: int, parts: int) -> tuple[Rows, None]:
    return np.array_split(np.load(path, mmap_mode="r"), parts)[part], None


@contextmanager
def actors(rows: Rows) -> Iterator[RayShards]:
    import ray

    ray.init(num_cpus=SHARDS, include_dashboard=False, log_to_driver=False)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npy"
        np.save(path, rows)
        yield RayShards([partial(load_part, path, part, SHARDS) for part in range(SHARDS)])
    ray.shutdown()


def cpu_with_actors() -> float:
    """CPU seconds of this process and of all shard actors."""
    holders = [p for p in psutil.process_iter(["cmdline"]) if "ray::_Holder" in str(p.info)]
    return time.process_time() + sum(sum(p.cpu_times()[:2]) for p in holders)


def compare_actors(result: Result, rows: Rows, k: int) -> None:
    """Measure only the fit, with rows already in their shards."""
    found: dict[str, KMeansResult] = {}

    def fit(name: str, shards: Sequence[Shard]) -> None:
        found[name] = two_level_kmeans(shards, k, seed=0)

    one = Weighed(rows)
    with actors(rows) as there:
        there.count()
        seconds = interleave(
            {"one": lambda: fit("one", [one]), "actors": lambda: fit("actors", [there])},
            clock=cpu_with_actors,
        )
    same(found["one"], found["actors"])
    result.ratios["actor_overhead"] = ratio(seconds["actors"], seconds["one"])
    result.ratios["bytes_out_over_centroids"] = one.sent / (k * 4 * DIM)
    result.ratios["bytes_back_over_sums"] = one.returned / (k * (8 * DIM + 8))


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument(
        "--faiss-as-installed", action="store_true", help="let FAISS choose its own kernels"
    )
    given = parser.parse_args()
    with_one_thread()
    theirs = Faiss({} if given.faiss_as_installed else faiss_kernels())
    n, k = (8_000, 200) if given.quick else (50_000, 1_000)
    name = "kmeans_faiss_as_installed" if given.faiss_as_installed else "kmeans"
    result = Result(name, given.quick, work={"rows": n, "k": k, "dim": DIM, "moves": MOVES})
    rounds = 1 if given.faiss_as_installed else ROUNDS
    compare(result, theirs, "topical", topical(n, k), k, polish=1, rounds=rounds)
    compare(result, theirs, "unstructured", unstructured(n, k), k, rounds=rounds)
    if not given.faiss_as_installed:
        compare(result, theirs, "topical_polished", topical(n, k), k, with_shards=True)
        compare_actors(result, topical(n, k), k)
    spent, reached = ("ours CPU s", "FAISS CPU s", "saving"), ("inertia", "FAISS's", "ratio")
    result.report(("data", *spent, *reached))


def same(one: KMeansResult, more: KMeansResult) -> None:
    equal = np.array_equal(one.labels, more.labels) and np.array_equal(
        one.centroids, more.centroids
    )
    if not equal:
        raise SystemExit("the result depends on the number of shards: nothing was measured")


if __name__ == "__main__":
    main()
