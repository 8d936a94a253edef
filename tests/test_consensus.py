"""Consensus of many short k-means runs, independent of block sizes."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vitw_ray.taxonomy.consensus import ROWS_SHARE, RUNS, Partition, cluster_often, smooth, together


def unit_rows(n, dim=8, seed=0):
    rows = np.random.default_rng(seed).standard_normal((n, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def ones(n):
    return np.ones(n, np.int64)


@settings(max_examples=15)
@given(st.integers(1, 40), st.integers(0, 100), st.booleans(), st.integers(1, 60))
def test_any_rows_can_be_clustered(n, seed, equal, finest):
    points = np.tile(unit_rows(1), (n, 1)) if equal else unit_rows(n, seed=seed)
    runs = cluster_often(points, ones(n), 5, finest, seed=seed)
    assert len(runs) == RUNS
    for run in runs:
        assert 1 <= run.k <= max(1, round(ROWS_SHARE * n))
        assert run.labels.shape == (n,)
        assert 0 <= run.labels.min() <= run.labels.max() < run.k


def test_k_is_drawn_log_uniformly():
    ks = np.concatenate(
        [[r.k for r in cluster_often(unit_rows(60), ones(60), 5, 40, seed=s)] for s in range(5)]
    )
    shares = np.histogram(np.log(ks), np.log([4.99, 10, 20, 40.01]))[0] / len(ks)
    assert np.all(np.abs(shares - 1 / 3) < 0.1)


def test_the_seed_decides_the_runs():
    one, again, other = (
        [run.labels.tolist() for run in cluster_often(unit_rows(50), ones(50), 2, 9, seed=seed)]
        for seed in (3, 3, 4)
    )
    assert one == again != other


def test_a_heavy_row_attracts_its_centroid():
    points = unit_rows(30, dim=2, seed=1)
    weights = ones(30)
    weights[7] = 10**6
    distances = []
    for w in (ones(30), weights):
        runs = cluster_often(points, w, 2, 2, seed=0)
        means = [
            points[run.labels == run.labels[7]].T @ w[run.labels == run.labels[7]] for run in runs
        ]
        distances.append(np.mean([mean @ points[7] / np.linalg.norm(mean) for mean in means]))
    assert distances[1] > max(distances[0], 0.999)


@given(st.integers(1, 15), st.integers(1, 4), st.integers(0, 10**6))
def test_together_is_the_weighted_share_of_runs_over_pairs_of_rows(n, n_runs, seed):
    rng = np.random.default_rng(seed)
    runs = [Partition(3, rng.integers(0, 3, n).astype(np.int32)) for _ in range(n_runs)]
    nodes = np.unique(rng.integers(0, 5, n), return_inverse=True)[1].astype(np.int32)
    weights = rng.integers(1, 9, n)
    pairs = np.mean([run.labels[:, None] == run.labels for run in runs], axis=0)
    heavy = np.outer(weights, weights)
    found = together(runs, nodes, weights)
    for a in range(nodes.max() + 1):
        for b in range(nodes.max() + 1):
            of = np.ix_(nodes == a, nodes == b)
            assert np.isclose(found[a, b], np.average(pairs[of], weights=heavy[of]))


def test_smoothing_moves_a_row_halfway_to_the_mean_of_its_neighbours():
    angles = np.array([0.0, 0.2, 1.5])
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    found = smooth(points, 1)
    assert np.allclose(np.arctan2(found[:, 1], found[:, 0]), [0.1, 0.1, 0.85], atol=1e-6)
    assert np.allclose(smooth(points, 0), points, atol=1e-6)


def test_smoothing_does_not_depend_on_the_block_size(monkeypatch):
    whole = smooth(unit_rows(100), 5)
    monkeypatch.setattr("vitw_ray.taxonomy.consensus.BLOCK_ROWS", 7)
    assert np.array_equal(smooth(unit_rows(100), 5), whole)
