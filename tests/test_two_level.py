"""Two-level k-means is exact among candidates, independent of shards, and close to full Lloyd."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

from vitw_ray.taxonomy.kmeans.grid import GRID, principal_basis, projected, to_grid
from vitw_ray.taxonomy.kmeans.lloyd import kmeans, lloyd
from vitw_ray.taxonomy.kmeans.nearest import nearest
from vitw_ray.taxonomy.kmeans.seeding import share_out
from vitw_ray.taxonomy.kmeans.shards import ArrayShard, Candidates
from vitw_ray.taxonomy.kmeans.two_level import around, tree_assign, two_level_kmeans


def unit_rows(n, dim, seed=0):
    rows = np.random.default_rng(seed).standard_normal((n, dim))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def integer_distances(rows, centroids):
    """(n, k) squared distances, in units of GRID**2, as Python's arbitrary-precision integers."""
    rows, centroids = (
        np.rint(np.asarray(x, np.float64) / GRID).astype(np.int64).astype(object)
        for x in (rows, centroids)
    )
    return ((rows[:, None] - centroids[None]) ** 2).sum(axis=2)


def random_candidates(rng, clusters, k, groups):
    seen = rng.random((groups, k)) < 0.4
    seen[:, 0] = True
    of, members = np.nonzero(seen)
    starts = np.searchsorted(of, np.arange(groups + 1))
    group = rng.integers(0, groups, clusters).astype(np.int32)
    return Candidates(group, starts, members.astype(np.int32))


@given(st.integers(0, 2**32 - 1), st.integers(2, 9), st.integers(1, 5))
def test_a_row_is_assigned_to_the_exactly_nearest_of_its_candidates(seed, k, groups):
    rng = np.random.default_rng(seed)
    points = to_grid(unit_rows(40, 6, seed) * 0.9)
    centroids = points[rng.integers(0, 40, k)] + (rng.integers(-2, 3, (k, 6)) * GRID)
    centroids = to_grid(centroids)  # close pairs, which float32 cannot tell apart
    shard = ArrayShard(points)
    shard.assign(to_grid(unit_rows(4, 6, seed + 1)))
    candidates = random_candidates(rng, 4, k, groups)
    distances = integer_distances(points, centroids)
    expected = [
        min(candidates.of(candidates.group[was]), key=lambda c: (line[c], c))
        for was, line in zip(shard.labels(), distances, strict=True)
    ]
    shard.assign(centroids, candidates)
    assert shard.labels().tolist() == expected


@given(st.integers(0, 2**32 - 1), st.lists(st.sampled_from(["all", "some", "few"]), max_size=5))
def test_incremental_totals_equal_recomputed_totals(seed, searches):
    rng = np.random.default_rng(seed)
    points, weights = unit_rows(60, 5, seed), rng.integers(1, 9, 60)
    shard, centroids = ArrayShard(points, weights), to_grid(unit_rows(6, 5, seed + 1))
    shard.assign(centroids)
    for search in searches:
        centroids = to_grid(centroids * 0.9 + rng.normal(0, 0.02, centroids.shape))
        width = {"some": 4, "few": 2}.get(search)
        totals = shard.assign(centroids, width and around(centroids, centroids[:2], width))
        labels, rows = shard.labels(), np.rint(to_grid(points) / GRID).astype(np.int64)
        for cluster in range(6):
            members = labels == cluster
            expected = (rows * weights[:, None])[members].sum(axis=0)
            assert totals.sums[cluster].tolist() == expected.tolist()
            assert totals.counts[cluster] == weights[members].sum()


def themes(n, dim=120, seed=0):
    """Rows around 8 x 8 topics, on the unit sphere."""
    rng = np.random.default_rng(seed)
    topics = np.repeat(rng.normal(size=(8, dim)), 8, axis=0)
    topics = topics + rng.normal(size=topics.shape)
    rows = topics[rng.integers(0, 64, n)] + rng.normal(0, 0.5, size=(n, dim))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("spherical", [True, False])
@pytest.mark.parametrize("shards", [2, 3, 7])
def test_division_into_shards_does_not_change_a_bit(spherical, shards):
    points = themes(3000)
    weights = np.random.default_rng(0).integers(1, 5, 3000)
    whole = two_level_kmeans([ArrayShard(points, weights)], 60, seed=1, spherical=spherical)
    parts = [
        ArrayShard(*part)
        for part in zip(
            np.array_split(points, shards), np.array_split(weights, shards), strict=True
        )
    ]
    divided = two_level_kmeans(parts, 60, seed=1, spherical=spherical)
    assert divided.labels.tolist() == whole.labels.tolist()
    assert divided.centroids.tobytes() == whole.centroids.tobytes()
    assert (divided.objective, divided.splits) == (whole.objective, whole.splits)


@settings(max_examples=25)
@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(0, 300), min_size=1, max_size=6),
    st.integers(1, 40),
    st.integers(1, 300),
)
def test_no_division_of_any_rows_changes_a_label(seed, cuts, k, distinct):
    rng = np.random.default_rng(seed)
    points = unit_rows(distinct, 4, seed)[rng.integers(0, distinct, 300)]  # repeats among them
    weights = rng.integers(1, 4, 300)
    whole = two_level_kmeans([ArrayShard(points, weights)], k, seed=seed)
    cuts = sorted(cuts)
    parts = zip(np.split(points, cuts), np.split(weights, cuts), strict=True)
    divided = two_level_kmeans([ArrayShard(*part) for part in parts], k, seed=seed)
    assert divided.labels.tolist() == whole.labels.tolist()
    assert divided.centroids.tobytes() == whole.centroids.tobytes()


def test_it_is_as_good_as_full_lloyd_on_topics_and_close_on_unstructured_data():
    for points, allowed in ((themes(6000), 1.0), (unit_rows(6000, 16), 1.01)):
        shard = ArrayShard(points)
        full = kmeans([shard], 120, iterations=20, seed=0)
        ours = two_level_kmeans([shard], 120, seed=0)
        assert ours.objective[-1] <= allowed * full.objective[-1] * 1.005


def test_a_weight_equals_repeated_rows_in_a_basis_too():
    points, weights = unit_rows(60, 40), np.random.default_rng(1).integers(1, 9, 60)
    basis = principal_basis(to_grid(points), 8, np.random.default_rng(0))
    centroids = projected(to_grid(points[:5]), basis)
    heavy = ArrayShard(points, weights).assign(centroids, None, basis)
    repeated = ArrayShard(np.repeat(points, weights, axis=0)).assign(centroids, None, basis)
    for name in ("sums", "counts", "squares"):
        assert getattr(heavy, name).tolist() == getattr(repeated, name).tolist()


def test_a_projection_is_exact():
    rows = to_grid(unit_rows(30, 200))
    basis = principal_basis(rows, 20, np.random.default_rng(0))
    rounded = np.rint(rows.astype(np.float64) * 2**12).astype(int).astype(object)
    axes = np.rint(basis.astype(np.float64) * 2**11).astype(int).astype(object)
    exact = (rounded @ axes).astype(np.float64) / 2**23
    assert projected(rows, basis).tolist() == to_grid(exact).tolist()


def test_principal_axes_preserve_rows_in_their_span():
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(200, 20)))[0]
    rows = to_grid(unit_rows(400, 20) @ turn.T)
    basis = principal_basis(rows, 30, np.random.default_rng(0))
    lengths = np.linalg.norm(projected(rows, basis), axis=1)
    np.testing.assert_allclose(lengths, 0.98, atol=0.01)


def test_a_cluster_that_shares_a_blob_is_relocated_to_split_another():
    points, truth = make_blobs(1200, 16, centers=12, cluster_std=0.5, random_state=3)
    points = points / np.abs(points).max() / 4
    firsts = [int(np.flatnonzero(truth == blob)[0]) for blob in range(12)]
    again = int(np.flatnonzero(truth == 1)[1])
    start = to_grid(points[[again, *firsts[1:]]])  # two in blob 1, none in blob 0
    scores = []
    for below in (-np.inf, 0.02):
        shard = ArrayShard(points)
        found = lloyd([shard], start, iterations=30, spherical=False, relocate_below=below)
        scores.append(adjusted_rand_score(truth, found.labels))
    assert scores[0] < 0.95
    assert scores[1] == 1.0


def test_rows_of_a_relocated_cluster_keep_the_candidates_of_their_old_position():
    before, centres = to_grid(unit_rows(40, 6)), to_grid(unit_rows(5, 6, 1))
    now = before.copy()
    now[3] = -before[3]
    candidates = around(now, centres, 4, before)
    assert candidates.group.tolist() == nearest(before, centres).tolist()
    there = nearest(now, centres)[3]
    assert there != candidates.group[3]
    assert 3 in candidates.of(there)


def test_the_objective_decreases_in_every_iteration():
    found = two_level_kmeans([ArrayShard(unit_rows(4000, 16))], 80, seed=0)
    unsplit = [a >= b for a, b in zip(found.objective, found.objective[1:], strict=False)]
    assert sum(found.splits) == 0
    assert all(unsplit)


def test_blobs_are_recovered():
    points, truth = make_blobs(4000, 8, centers=100, cluster_std=0.1, random_state=0)
    points = points / np.abs(points).max() / 3
    found = two_level_kmeans([ArrayShard(points)], 100, seed=0, spherical=False)
    full = kmeans([ArrayShard(points)], 100, iterations=20, seed=0, spherical=False)
    scores = [adjusted_rand_score(truth, one.labels) for one in (found, full)]
    assert scores[0] > scores[1] - 0.05


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 12), st.integers(1, 8))
def test_a_cluster_is_always_among_its_own_candidates(seed, k, cells, width):
    centroids = to_grid(unit_rows(k, 3, seed))
    candidates = around(centroids, to_grid(unit_rows(cells, 3, seed + 1)), width)
    for cluster in range(k):
        own = candidates.of(candidates.group[cluster])
        assert cluster in own
        assert sorted(set(own.tolist())) == own.tolist()
        assert len(own) >= min(width, k)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=12), st.data())
def test_clusters_are_allocated_by_members(members, data):
    members = np.array(members)
    filled, total = np.count_nonzero(members), members.sum()
    if total == 0:
        return
    k = data.draw(st.integers(filled, total))
    shares = share_out(k, members)
    assert shares.sum() == k
    assert (shares <= members).all()
    assert (shares[members > 0] >= 1).all()
    exact = k * members / total
    inside = (exact >= 1) & (exact <= members)
    if (exact[members > 0] >= 1).all():
        assert (abs(shares - exact)[inside] < 1).all()


@pytest.mark.parametrize("k", [1, 2, 5])
def test_few_or_equal_rows_give_fewer_clusters(k):
    equal = np.repeat(unit_rows(1, 6), 5, axis=0)
    found = two_level_kmeans([ArrayShard(equal)], k, seed=0)
    assert len(set(found.labels.tolist())) == 1
    assert np.isfinite(found.centroids).all()
    assert two_level_kmeans([ArrayShard(equal[:1])], 1, seed=0).labels.tolist() == [0]
    five = unit_rows(5, 6)
    assert len(set(two_level_kmeans([ArrayShard(five)], 5, seed=0).labels.tolist())) == 5


def test_k_above_the_number_of_rows_is_rejected():
    with pytest.raises(ValueError, match="k is 6: give 1 to 5"):
        two_level_kmeans([ArrayShard(unit_rows(5, 4))], 6, seed=0)


def test_tree_assignment_of_new_rows_equals_a_full_search():
    fit, new = themes(8000), themes(9000)[8000:]
    found = two_level_kmeans([ArrayShard(fit)], 100, seed=0)
    shard = ArrayShard(new)
    by_tree = tree_assign([shard], found)
    shard.assign(found.centroids)
    assert np.mean(by_tree == shard.labels()) >= 0.995
