"""k-means is exact, independent of the division of the rows, and as good as scikit-learn's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

from vitw_ray.taxonomy.kmeans import lloyd as kmeans_module
from vitw_ray.taxonomy.kmeans import nearest as nearest_module
from vitw_ray.taxonomy.kmeans import shards as shards_module
from vitw_ray.taxonomy.kmeans.grid import GRID, SQUARE_GRID, to_grid
from vitw_ray.taxonomy.kmeans.lloyd import kmeans
from vitw_ray.taxonomy.kmeans.nearest import nearest
from vitw_ray.taxonomy.kmeans.shards import ArrayShard


def unit_rows(n, dim, seed=0):
    rows = np.random.default_rng(seed).standard_normal((n, dim))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def near_ties(n, dim, seed=0):
    """Rows that float32 cannot assign: many repeats, and points halfway between others."""
    rows = unit_rows(n // 3, dim, seed)
    halfway = (rows + np.roll(rows, 1, axis=0)) / 2
    return np.concatenate([rows, halfway, rows + np.float32(3e-7)])[:n] * 0.9


def blobs(seed, centers=12):
    points, truth = make_blobs(1500, 16, centers=centers, cluster_std=1.5, random_state=seed)
    return points / np.abs(points).max() / 4, truth


def integer_nearest(rows, centroids):
    """The definition, in Python's arbitrary-precision integers."""
    units = [
        [[round(float(v) / GRID) for v in point] for point in part] for part in (rows, centroids)
    ]
    return [
        min(
            range(len(units[1])),
            key=lambda c: (sum((a - b) ** 2 for a, b in zip(row, units[1][c], strict=True)), c),
        )
        for row in units[0]
    ]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.sampled_from([1, 3, 40]))
def test_assignment_is_to_the_exactly_nearest_centroid_even_at_float32_ties(seed, k, steps):
    rng = np.random.default_rng(seed)
    centroids = to_grid(
        unit_rows(1, 8, seed) * 0.9 + rng.integers(-steps, steps + 1, (k, 8)) * GRID
    )
    rows = to_grid(unit_rows(20, 8, seed + 1) * 0.9)
    assert nearest(rows, centroids).tolist() == integer_nearest(rows, centroids)


@pytest.mark.parametrize("spherical", [True, False])
@pytest.mark.parametrize("cuts", [[100], [1, 899], [13, 14, 14, 500, 640, 641]])
def test_division_into_shards_does_not_change_a_bit(cuts, spherical):
    points = unit_rows(900, 24) if spherical else near_ties(900, 24)
    whole = kmeans([ArrayShard(points)], 30, iterations=8, seed=3, spherical=spherical)
    shards = [ArrayShard(part) for part in np.split(points, cuts)]
    divided = kmeans(shards, 30, iterations=8, seed=3, spherical=spherical)
    assert divided.labels.tolist() == whole.labels.tolist()
    assert divided.centroids.tobytes() == whole.centroids.tobytes()
    assert (divided.objective, divided.splits) == (whole.objective, whole.splits)


def test_division_into_shards_does_not_change_a_sampled_start(monkeypatch):
    monkeypatch.setattr(kmeans_module, "SAMPLE_ROWS", 50)
    points = unit_rows(400, 8)
    whole = kmeans([ArrayShard(points)], 5, iterations=1, seed=0)
    shards = [ArrayShard(part) for part in np.split(points, [7, 7, 300])]
    assert kmeans(shards, 5, iterations=1, seed=0).centroids.tobytes() == whole.centroids.tobytes()


def test_a_sampled_start_covers_all_rows(monkeypatch):
    monkeypatch.setattr(kmeans_module, "SAMPLE_ROWS", 60)
    points, truth = blobs(0, centers=3)
    order = np.argsort(truth)
    found = kmeans([ArrayShard(points[order])], 3, iterations=1, seed=0, spherical=False)
    assert adjusted_rand_score(truth[order], found.labels) == 1.0


def test_last_bits_of_the_points_do_not_change_the_start():
    points = unit_rows(300, 16)
    moved = points + np.random.default_rng(1).normal(0, 2e-7, points.shape)
    one, other = (kmeans([ArrayShard(p)], 25, iterations=5, seed=0) for p in (points, moved))
    assert one.labels.tolist() == other.labels.tolist()


def test_block_size_does_not_change_a_bit(monkeypatch):
    points = near_ties(900, 24)
    whole = kmeans([ArrayShard(points)], 20, iterations=5, seed=0, spherical=False)
    monkeypatch.setattr(shards_module, "BLOCK_ROWS", 17)
    monkeypatch.setattr(nearest_module, "EXACT_ROWS", 5)
    monkeypatch.setattr(nearest_module, "BLOCK_SCORES", 90)
    blocks = kmeans([ArrayShard(points)], 20, iterations=5, seed=0, spherical=False)
    assert blocks.centroids.tobytes() == whole.centroids.tobytes()
    assert blocks.labels.tolist() == whole.labels.tolist()


def test_a_weight_equals_repeated_rows():
    rng = np.random.default_rng(1)
    points, weights = unit_rows(60, 8), rng.integers(1, 9, 60)
    centroids = to_grid(unit_rows(5, 8, seed=2))
    heavy = ArrayShard(points, weights).assign(centroids)
    repeated = ArrayShard(np.repeat(points, weights, axis=0)).assign(centroids)
    assert heavy.sums.tolist() == repeated.sums.tolist()
    assert heavy.counts.tolist() == repeated.counts.tolist()
    assert heavy.squares.tolist() == repeated.squares.tolist()


def test_sums_equal_integer_arithmetic():
    points, centroids = to_grid(unit_rows(500, 8)), to_grid(unit_rows(4, 8, seed=2))
    shard = ArrayShard(points)
    found = shard.assign(centroids)
    units = np.rint(points.astype(np.float64) / GRID).astype(np.int64)
    for cluster in range(4):
        members = shard.labels() == cluster
        assert found.sums[cluster].tolist() == units[members].sum(axis=0).tolist()
        squares = (units[members] ** 2).sum() * GRID**2
        assert found.squares[cluster] * SQUARE_GRID == pytest.approx(squares, abs=1e-7)


def test_single_starts_on_blobs_are_as_good_as_scikit_learns():
    # A single start of either misses a blob now and then, so twenty starts are compared.
    ratios, ours_found, theirs_found = [], [], []
    for seed in range(20):
        points, truth = blobs(seed)
        ours = kmeans([ArrayShard(points)], 12, iterations=50, seed=seed, spherical=False)
        theirs = KMeans(12, n_init=1, random_state=seed, max_iter=50).fit(points)
        ratios.append(ours.objective[-1] / theirs.inertia_)
        ours_found.append(adjusted_rand_score(truth, ours.labels))
        theirs_found.append(adjusted_rand_score(truth, theirs.labels_))
    assert np.exp(np.mean(np.log(ratios))) <= 1.02
    assert np.median(ratios) <= 1.001
    assert np.mean(ours_found) >= np.mean(theirs_found) - 0.01
    assert np.median(ours_found) == 1.0


def test_from_the_same_start_lloyd_converges_to_scikit_learns_result(monkeypatch):
    points, _ = blobs(7)
    start = to_grid(points[:12])
    monkeypatch.setattr(kmeans_module, "plus_plus", lambda *_: start)
    ours = kmeans([ArrayShard(points)], 12, iterations=100, seed=0, spherical=False)
    theirs = KMeans(12, init=start, n_init=1, max_iter=100, tol=0).fit(points)
    assert adjusted_rand_score(theirs.labels_, ours.labels) == 1.0
    assert ours.objective[-1] == pytest.approx(theirs.inertia_, rel=1e-4)


def test_the_objective_decreases_until_no_label_changes():
    points, _ = blobs(1, centers=40)
    found = kmeans([ArrayShard(points)], 12, iterations=200, seed=0, spherical=False)
    assert len(found.objective) < 200
    assert set(found.splits) == {0}
    assert all(np.diff(found.objective) < 1e-6)
    longer = kmeans([ArrayShard(points)], 12, iterations=400, seed=0, spherical=False)
    assert longer.objective == found.objective


def test_labels_counts_and_objective_belong_to_the_centroids_returned():
    points = to_grid(unit_rows(300, 8))
    found = kmeans([ArrayShard(points)], 10, iterations=3, seed=0)
    assert nearest(points, found.centroids).tolist() == found.labels.tolist()
    offsets = points.astype(np.float64) - found.centroids[found.labels]
    assert found.objective[-1] == pytest.approx((offsets**2).sum(), rel=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found.centroids, axis=1), 1, atol=1e-5)
    assert found.counts.tolist() == np.bincount(found.labels, minlength=10).tolist()


def test_empty_clusters_take_half_of_the_costliest_cluster(monkeypatch):
    points, _ = blobs(2)
    start = to_grid(np.concatenate([points[:3], np.full((9, 16), 0.2)]))  # nine far from all points
    monkeypatch.setattr(kmeans_module, "plus_plus", lambda *_: start)
    found = kmeans([ArrayShard(points)], 12, iterations=50, seed=0, spherical=False)
    assert found.splits[0] >= 8
    assert found.counts.min() > 0


def test_a_cluster_split_twice_at_once_gives_distinct_parts(monkeypatch):
    rng = np.random.default_rng(0)
    wide = rng.normal(0.2, 0.02, (400, 16))
    narrow = rng.normal(-0.2, 0.015, (400, 16))
    points = np.concatenate([wide, narrow])
    far = np.full((4, 16), [0.25, -0.25] * 8)
    start = to_grid(np.concatenate([wide[:1], narrow[:1], far]))
    monkeypatch.setattr(kmeans_module, "plus_plus", lambda *_: start)
    found = kmeans([ArrayShard(points)], 6, iterations=2, seed=0, spherical=False)
    assert found.splits == (4,)
    assert found.counts.min() > 0
    assert len(set(found.labels[:400].tolist())) == 4  # after one split its halves still cost most
    assert len(set(found.labels[400:].tolist())) == 2


@pytest.mark.parametrize("spherical", [True, False])
def test_fewer_distinct_points_than_clusters_leave_clusters_empty(spherical):
    points = np.repeat(unit_rows(3, 4), 5, axis=0)
    found = kmeans([ArrayShard(points)], 6, iterations=20, seed=0, spherical=spherical)
    assert len(set(found.labels.tolist())) == 3
    assert adjusted_rand_score(np.repeat(range(3), 5), found.labels) == 1.0
    assert len(found.objective) < 20


def test_opposite_points_have_no_mean_direction_and_keep_their_centroid():
    found = kmeans([ArrayShard([[1.0, 0.0], [-1.0, 0.0]])], 1, iterations=5, seed=0)
    assert np.isfinite(found.centroids).all()


@pytest.mark.parametrize("k", [0, 4])
def test_k_above_the_number_of_rows_or_below_one_is_rejected(k):
    with pytest.raises(ValueError, match=f"k is {k}: give 1 to 3"):
        kmeans([ArrayShard(unit_rows(3, 4))], k, iterations=1, seed=0)


@pytest.mark.parametrize(
    ("points", "weights", "message"),
    [
        ([[2.0, 0.0]], None, "outside the unit ball"),
        ([[0.5, 0.0], [float("nan"), 0.0]], None, "point 1 has NaN or infinity: remove it"),
        ([[1e300, 0.0]], None, "point 0 has NaN or infinity"),
        ([1.0, 0.0], None, "one row per point"),
        ([[1.0, 0.0]], [0], "positive"),
        ([[1.0, 0.0]], [1, 1], "one positive number per row"),
        ([[1.0, 0.0]], [2**29], "divide the rows"),
    ],
)
def test_points_and_weights_that_break_exactness_are_rejected(points, weights, message):
    with pytest.raises(ValueError, match=message):
        ArrayShard(points, weights)
