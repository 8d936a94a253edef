"""A shard of tensors gives the integers of an `ArrayShard`; on the CPU, see tests/gpu for a GPU."""

import numpy as np
import pytest

from vitw_ray.taxonomy.kmeans.grid import GRID, to_grid
from vitw_ray.taxonomy.kmeans.shards import ArrayShard
from vitw_ray.taxonomy.kmeans.two_level import around, two_level_kmeans

pytest.importorskip("torch")


def unit_rows(n, dim, seed=0):
    rows = np.random.default_rng(seed).standard_normal((n, dim))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def same_totals(one, other):
    return all(
        getattr(one, name).tolist() == getattr(other, name).tolist()
        for name in ("sums", "counts", "squares")
    )


def test_tensors_give_the_integers_of_an_array_shard_even_at_float32_ties():
    from vitw_ray.taxonomy.kmeans.gpu_shard import GpuShard

    points, weights = unit_rows(500, 8), np.random.default_rng(0).integers(1, 5, 500)
    near = to_grid(points[:10] * 0.9)
    centroids = np.concatenate([near, to_grid(near + GRID), near])  # close pairs, and equals
    here, there = ArrayShard(points, weights), GpuShard(points, weights, device="cpu")
    for candidates in (None, around(centroids, near[:4], 8)):
        expected, found = (shard.assign(centroids, candidates) for shard in (here, there))
        assert same_totals(found, expected)
        assert there.labels().tolist() == here.labels().tolist()


def test_a_complete_fit_is_the_same():
    from vitw_ray.taxonomy.kmeans.gpu_shard import GpuShard

    points = unit_rows(2000, 120)
    found = two_level_kmeans([GpuShard(points, device="cpu")], 50, seed=0)
    expected = two_level_kmeans([ArrayShard(points)], 50, seed=0)
    assert found.labels.tolist() == expected.labels.tolist()
    assert found.centroids.tobytes() == expected.centroids.tobytes()
