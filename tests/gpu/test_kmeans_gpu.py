"""On a GPU, our kernel and FAISS's give the same sums and labels as on the CPU."""

import numpy as np
import pytest

from vitw_ray.taxonomy.kmeans.grid import GRID, to_grid
from vitw_ray.taxonomy.kmeans.lloyd import kmeans
from vitw_ray.taxonomy.kmeans.shards import ArrayShard
from vitw_ray.taxonomy.kmeans.two_level import two_level_kmeans

pytestmark = pytest.mark.gpu


def unit_rows(n, dim, seed=0):
    rows = np.random.default_rng(seed).standard_normal((n, dim))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(params=["triton", "faiss"])
def gpu_shard(request, monkeypatch):
    torch = pytest.importorskip("torch")
    found = pytest.importorskip(request.param)
    if not torch.cuda.is_available():
        pytest.skip("no GPU that torch can use")
    from vitw_ray.taxonomy.kmeans import fused
    from vitw_ray.taxonomy.kmeans.gpu_shard import GpuShard

    if request.param == "faiss":
        if not getattr(found, "get_num_gpus", lambda: 0)():
            pytest.skip("no GPU that FAISS can use")
        monkeypatch.setattr(fused, "usable", lambda device: False)
    elif not fused.usable(torch.device("cuda")):
        pytest.skip("a GPU with too little shared memory")
    return GpuShard


def test_float32_ties_are_resolved_as_on_the_cpu(gpu_shard):
    points = unit_rows(20_000, 384)
    near = to_grid(points[:300] * 0.9)
    centroids = np.concatenate([near, to_grid(near + GRID), near])
    here, there = ArrayShard(points), gpu_shard(points)
    expected, found = here.assign(centroids), there.assign(centroids)
    assert there.labels().tolist() == here.labels().tolist()
    assert found.sums.tolist() == expected.sums.tolist()
    assert found.squares.tolist() == expected.squares.tolist()


@pytest.mark.parametrize("shards", [1, 3])
def test_gpu_and_cpu_find_the_same_clusters(gpu_shard, shards):
    points = unit_rows(60_000, 384)
    for fit in (
        lambda parts: kmeans(parts, 300, iterations=5, seed=0),
        lambda parts: two_level_kmeans(parts, 600, seed=0),
    ):
        found = fit([gpu_shard(part) for part in np.array_split(points, shards)])
        expected = fit([ArrayShard(points)])
        assert found.labels.tolist() == expected.labels.tolist()
        assert found.centroids.tobytes() == expected.centroids.tobytes()
