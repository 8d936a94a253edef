"""Stage 4, trees: agreement with the released tree, and stability.

The released values (3,307; paper, 1.5) are clustered into 266 / 26 / 5 and compared with the
released tree on the values whose position in it is known: adjusted mutual information and pairwise
F1, per level, mean over seeds. *plain* is the method of the paper: spherical k-means on the labels'
own embeddings, then on the centroids, and so on. Stability is the adjusted Rand index of two trees:
over seeds, over random nine tenths of the labels (on the common labels), over embedders, over
sizes. No part of the pipeline sees the released tree. Needs `reference/` under VITW_RAY_DATA.

    python benchmarks/bench_taxonomy.py [--quick] [--ablations]
"""

import csv
import itertools
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
from harness import ROOT, Result, parser_of, with_one_thread
from numpy.typing import NDArray

from vitw_ray.inference.embedder import embed_unique, load_embedder
from vitw_ray.taxonomy import consensus, hierarchy
from vitw_ray.taxonomy.agglomerate import agglomerate
from vitw_ray.taxonomy.hierarchy import Parents, build_levels, nodes_of_leaves
from vitw_ray.taxonomy.kmeans.lloyd import kmeans
from vitw_ray.taxonomy.kmeans.shards import ArrayShard
from vitw_ray.taxonomy.quality import pairwise_f1, silhouette
from vitw_ray.taxonomy.vectors.phrases import PHRASES, in_phrases, mean_of_phrases

SIZES = (266, 26, 5)  # paper, 1.5
ITERATIONS = 20  # as --kmeans-iterations
KEPT_SHARE = 0.9
ABLATION_SEEDS = 3
Rows = NDArray[np.float32]
Grow = Callable[[Rows, int], list[Parents]]
"""Maps rows and a seed to the cluster of every row on each level."""


def ours(rows: Rows, seed: int, sizes: Sequence[int] = SIZES) -> list[Parents]:
    return nodes_of_leaves(build_levels(rows, sizes, seed=seed, iterations=ITERATIONS))


def plain(rows: Rows, seed: int) -> list[Parents]:
    """k-means on the labels, then on the centroids, weighted by their number of labels."""
    levels, weights = [], np.ones(len(rows), np.int64)
    for size in SIZES:
        found = kmeans([ArrayShard(rows, weights)], size, iterations=ITERATIONS, seed=seed)
        filled, parents = np.unique(found.labels, return_inverse=True)
        levels.append(parents.astype(np.int32))
        rows, weights = found.centroids[filled], found.counts[filled]
    return nodes_of_leaves(levels)


def chance(rows: Rows, seed: int) -> list[Parents]:
    rng = np.random.default_rng(seed)
    sizes = [len(rows), *SIZES]
    drawn = [rng.integers(0, up, low).astype(np.int32) for low, up in itertools.pairwise(sizes)]
    return nodes_of_leaves(drawn)


def ward(rows: Rows, seed: int) -> list[Parents]:
    from scipy.cluster.hierarchy import fcluster, linkage

    tree = linkage(rows.astype(np.float64), "ward")
    return [fcluster(tree, size, "maxclust").astype(np.int32) for size in SIZES]


class Released:
    """The released values, and the ancestors of those in the known part of the released tree."""

    def __init__(self) -> None:
        folder = Path(os.environ.get("VITW_RAY_DATA", ROOT.parent / "shared" / "data"))
        folder /= "reference"
        if not (folder / "values_tree_half.csv").exists():
            raise SystemExit(f"no released tree at {folder}; set VITW_RAY_DATA to its folder")
        with (folder / "values_frequencies.csv").open(newline="") as file:
            self.labels = sorted(row["value"] for row in csv.DictReader(file))
        with (folder / "values_tree_half.csv").open(newline="") as file:
            parent = {row["cluster_id"]: row["parent_cluster_id"] for row in csv.DictReader(file)}
        self.known = np.array([i for i, label in enumerate(self.labels) if label in parent])
        above = [self.labels[i] for i in self.known]
        self.levels = [above := [parent[node] for node in above] for _ in SIZES]

    def score(self, levels: Sequence[Parents]) -> list[tuple[float, float]]:
        """Adjusted mutual information and pairwise F1, per level."""
        from sklearn.metrics import adjusted_mutual_info_score

        return [
            (adjusted_mutual_info_score(truth, nodes), pairwise_f1(truth, nodes))
            for truth, nodes in zip(self.levels, (n[self.known] for n in levels), strict=True)
        ]


def adjusted_rand(one: Sequence[Parents], other: Sequence[Parents]) -> list[float]:
    from sklearn.metrics import adjusted_rand_score

    return [float(adjusted_rand_score(a, b)) for a, b in zip(one, other, strict=True)]


def over_seeds(trees: Sequence[Sequence[Parents]]) -> list[float]:
    pairs = [adjusted_rand(*pair) for pair in itertools.combinations(trees, 2)]
    return np.mean(pairs, axis=0).tolist() if pairs else [1.0] * len(SIZES)


def over_subsamples(grow: Grow, rows: Rows, subsamples: int) -> list[float]:
    """Mean over pairs of random subsamples with different seeds, on their common labels."""
    rng, grown = np.random.default_rng(1), []
    for seed in range(subsamples):
        kept = np.flatnonzero(rng.permutation(len(rows)) < round(KEPT_SHARE * len(rows)))
        grown.append((kept, grow(rows[kept], 1000 + seed)))
    found = []
    for (kept, one), (others, other) in itertools.combinations(grown, 2):
        _, a, b = np.intersect1d(kept, others, return_indices=True)
        found.append(adjusted_rand([n[a] for n in one], [n[b] for n in other]))
    return np.mean(found, axis=0).tolist()


def tfidf(labels: Sequence[str]) -> Rows:
    """TF-IDF of the labels' words, reduced to 256 dimensions (latent semantic analysis)."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(token_pattern=r"[a-z']+").fit_transform(labels)
    rows = TruncatedSVD(256, random_state=0).fit_transform(words)
    return unit(rows)


class Table:
    """Trees by name, each scored over seeds and subsamples."""

    def __init__(self, result: Result, released: Released, seeds: int, subsamples: int) -> None:
        self.result, self.released = result, released
        self.seeds, self.subsamples = seeds, subsamples

    def add(
        self, name: str, grow: Grow, rows: Rows, seeds: int | None = None
    ) -> tuple[NDArray[np.float64], list[Parents]]:
        """A line of the table; (levels, 2) mean AMI and F1, and the first tree."""
        trees = [grow(rows, seed) for seed in range(seeds or self.seeds)]
        scores = np.array([self.released.score(tree) for tree in trees])
        mean, holds = scores.mean(axis=0), over_subsamples(grow, rows, self.subsamples)
        same = over_seeds(trees)
        sizes = np.bincount(np.unique(trees[0][0], return_inverse=True)[1])
        self.result.rows.append(
            (
                name,
                " / ".join(f"{ami:.3f}" for ami in mean[:, 0]),
                " / ".join(f"{f1:.3f}" for f1 in mean[:, 1]),
                " / ".join(f"{ari:.2f}" for ari in same),
                " / ".join(f"{ari:.2f}" for ari in holds),
                str(int((sizes == 1).sum())),
            )
        )
        self.result.work[name] = {
            "ami": [round(float(x), 4) for x in mean[:, 0]],
            "ami_sd": [round(float(x), 4) for x in scores[:, :, 0].std(axis=0)],
            "f1": [round(float(x), 4) for x in mean[:, 1]],
            "ari_over_seeds": [round(x, 4) for x in same],
            "ari_over_subsamples": [round(x, 4) for x in holds],
            "singletons_level1": int((sizes == 1).sum()),
        }
        return mean, trees[0]


def ablations(table: Table, phrases: NDArray[np.float32]) -> None:
    """Ours with one component removed or one parameter changed."""
    rows = mean_of_phrases(phrases.reshape(-1, phrases.shape[-1]))
    table.add("ours, labels without phrases", ours, phrases[:, 0])
    table.add("ours, labels in half of the phrases", ours, unit(phrases[:, :3].mean(axis=1)))
    for name, module, constant, value in (
        ("ours, without neighbours", hierarchy, "NEIGHBOURS", 0),
        ("ours, 5 neighbours", hierarchy, "NEIGHBOURS", 5),
        ("ours, 20 neighbours", hierarchy, "NEIGHBOURS", 20),
        ("ours, 20 runs", consensus, "RUNS", 20),
        ("ours, 120 runs", consensus, "RUNS", 120),
        *(
            (f"ours, damping {damping}", hierarchy, "agglomerate", damped(damping))
            for damping in (0.0, 0.1, 0.4)
        ),
    ):
        with patch.object(module, constant, value):
            table.add(name, ours, rows)
    table.add("plain, labels in phrases", plain, rows)
    table.add("Ward, labels in phrases", ward, rows)


def damped(damping: float) -> Callable[..., Parents]:
    return partial(agglomerate, damping=damping)


def unit(rows: NDArray[np.floating]) -> Rows:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(1e-9)).astype(np.float32)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--ablations", action="store_true", help="measure ablations instead")
    given = parser.parse_args()
    with_one_thread()
    released = Released()
    if given.ablations:
        result = Result("taxonomy_ablations", given.quick)
        phrases = embed_unique(load_embedder("minilm"), in_phrases(released.labels))
        ablations(Table(result, released, ABLATION_SEEDS, ABLATION_SEEDS), by_label(phrases))
    else:
        result = Result("taxonomy", given.quick)
        measure(result, released, *((2, 2) if given.quick else (10, 5)))
    result.report(("tree", "AMI 1 / 2 / 3", "F1", "ARI of seeds", "ARI of 90 %", "singletons"))


def by_label(phrases: Rows) -> NDArray[np.float32]:
    """The rows of all phrases as (labels, phrases, d)."""
    return phrases.reshape(-1, len(PHRASES), phrases.shape[1])


def measure(result: Result, released: Released, seeds: int, subsamples: int) -> None:
    """Measure ours and the alternatives."""
    result.work |= {"labels": len(released.labels), "known": len(released.known), "seeds": seeds}
    start, start_cpu = time.perf_counter(), time.process_time()
    phrases = embed_unique(load_embedder("minilm"), in_phrases(released.labels))
    rows = mean_of_phrases(phrases)
    embedded = time.perf_counter()
    build_levels(rows, SIZES, seed=0, iterations=ITERATIONS)
    result.rates |= {
        "embedding_s": embedded - start,
        "clustering_s": time.perf_counter() - embedded,
        "embedding_and_clustering_s": time.perf_counter() - start,
        "embedding_and_clustering_cpu_s": time.process_time() - start_cpu,
    }
    labels_alone = by_label(phrases)[:, 0]
    table = Table(result, released, seeds, subsamples)
    mean, tree = table.add("ours", ours, rows)
    of_plain, _ = table.add("plain", plain, labels_alone)
    table.add("Ward", ward, labels_alone, seeds=1)
    words = tfidf(released.labels)
    of_words, _ = table.add("plain, TF-IDF", plain, words)
    of_chance, _ = table.add("random", chance, rows)
    for level in range(len(SIZES)):
        at = f"level{level + 1}"
        result.ratios |= {
            f"ami_{at}": mean[level, 0],
            f"ami_plain_{at}": of_plain[level, 0],
            f"ami_over_plain_{at}": mean[level, 0] / of_plain[level, 0],
            f"ami_tfidf_{at}": of_words[level, 0],
            f"ami_random_{at}": of_chance[level, 0],
            f"f1_{at}": mean[level, 1],
            f"f1_plain_{at}": of_plain[level, 1],
            f"ari_over_seeds_{at}": result.work["ours"]["ari_over_seeds"][level],
            f"ari_subsamples_{at}": result.work["ours"]["ari_over_subsamples"][level],
            f"ari_subsamples_plain_{at}": result.work["plain"]["ari_over_subsamples"][level],
            f"silhouette_{at}": silhouette(labels_alone, tree[level]) or 0.0,
        }
    other_trees(result, released, tree, rows, words)


def other_trees(
    result: Result, released: Released, tree: Sequence[Parents], rows: Rows, words: Rows
) -> None:
    """Agreement of the tree with trees of other embedders and other level sizes."""
    hashed = mean_of_phrases(embed_unique(load_embedder("hashing"), in_phrases(released.labels)))
    for name, other in (("hashing", hashed), ("tfidf", words)):
        found = adjusted_rand(tree, ours(other, 0))
        result.ratios |= {f"ari_{name}_level{n}": ari for n, ari in enumerate(found, 1)}
    for factor in (0.8, 1.25):
        sizes = [round(size * factor) for size in SIZES]
        found = adjusted_rand(tree, ours(rows, 0, sizes))
        result.ratios |= {f"ari_k_{factor}_level{n}": ari for n, ari in enumerate(found, 1)}


if __name__ == "__main__":
    main()
