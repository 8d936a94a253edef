"""In Triton's interpreter, the fused search of k-means has the labels and sums of an `ArrayShard`.

Triton comes with torch for CUDA. Where it is missing these tests are skipped.
"""

import os

import numpy as np
import pytest

from vitw_ray.taxonomy.kmeans.grid import GRID, to_grid
from vitw_ray.taxonomy.kmeans.shards import ArrayShard
from vitw_ray.taxonomy.kmeans.two_level import around

torch = pytest.importorskip("torch")
pytest.importorskip("triton")
if os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("set TRITON_INTERPRET=1", allow_module_level=True)

from vitw_ray.taxonomy.kmeans import fused  # noqa: E402
from vitw_ray.taxonomy.kmeans.gpu_shard import GpuShard  # noqa: E402


def unit_rows(n, dim, seed=0):
    rows = np.random.default_rng(seed).standard_normal((n, dim))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def exact_two_best(rows, centres):
    """Nearest centroid and lead of each row, in float64, which is exact on the grid."""
    rows, centres = rows.astype(np.float64), centres.astype(np.float64)
    squares = (centres**2).sum(1) - 2 * rows @ centres.T
    two = np.sort(squares, axis=1)[:, :2]
    return squares.argmin(1), two[:, 1] - two[:, 0]


def test_two_halves_are_a_coordinate_exactly():
    rows = torch.from_numpy(to_grid(np.random.default_rng(0).uniform(-1, 1, (2000, 3))))
    made = fused.halves_of(rows)
    assert (made.high.double() + made.low.double() / fused.LOW_SCALE == rows.double()).all()


@pytest.mark.parametrize("fine", [False, True])
@pytest.mark.parametrize(("n", "k", "dim"), [(150, 131, 70), (7, 2, 5), (130, 300, 64)])
def test_leads_are_off_by_less_than_their_margin(n, k, dim, fine):
    points = to_grid(unit_rows(n, dim))
    close = to_grid(points[: k // 2][np.arange(k // 2) % n] + GRID * 900)
    centres = np.concatenate([to_grid(unit_rows(k - len(close), dim, 1) * 0.9), close])
    rows, near = (fused.halves_of(torch.from_numpy(x)) for x in (points, centres))
    norms = torch.from_numpy((centres.astype(np.float64) ** 2).sum(1) / 2).float()
    numbers, leads = fused.two_best(rows, near, norms, fine)
    margin = fused.fine_margin(dim) if fine else fused.coarse_margin(rows, near).numpy()
    labels, expected = exact_two_best(points, centres)
    assert (np.abs(leads.numpy() - expected) <= margin).all()
    sure = leads.numpy() > margin
    assert sure.any()
    assert (numbers.numpy()[sure] == labels[sure]).all()


def test_labels_and_sums_are_those_of_an_array_shard_even_at_ties():
    points, weights = unit_rows(400, 40), np.random.default_rng(0).integers(1, 5, 400)
    near = to_grid(points[:60] * 0.9)
    centroids = np.concatenate([near, to_grid(near + GRID), near])  # close pairs, and equals
    here, there = ArrayShard(points, weights), GpuShard(points, weights, device="cpu")
    assert there.fused
    for given, candidates in (
        (centroids, None),
        (centroids[::-1].copy(), None),
        (to_grid(centroids * 0.97), around(centroids, near[:4], 8)),
    ):
        expected, found = (shard.assign(given, candidates) for shard in (here, there))
        assert there.labels().tolist() == here.labels().tolist()
        for name in ("sums", "counts", "squares"):
            assert getattr(found, name).tolist() == getattr(expected, name).tolist()
