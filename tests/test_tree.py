"""The taxonomy table is valid for any tree, and problems are found."""

import uuid
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitw_ray.records import TAXONOMY
from vitw_ray.taxonomy.tree import build_tree, check_tree, cluster_id
from vitw_ray.trees import ancestors


@st.composite
def trees(draw):
    """Labels, counts and levels of parents without empty nodes."""
    labels = draw(st.lists(st.from_regex(r"[a-z]{1,6}", fullmatch=True), unique=True, max_size=25))
    counts = draw(st.lists(st.integers(1, 10**9), min_size=len(labels), max_size=len(labels)))
    levels, below = [], len(labels)
    for _ in range(draw(st.integers(1, 4)) if labels else 0):
        raw = draw(st.lists(st.integers(0, 5), min_size=below, max_size=below))
        levels.append(np.unique(raw, return_inverse=True)[1].astype(np.int32))
        below = int(levels[-1].max()) + 1
    return labels, np.array(counts, np.int64), levels


def names_for(levels):
    return [
        [(f"Node {'x' * i}", f"Number {i} of level {level}.") for i in range(1, parents.max() + 2)]
        for level, parents in enumerate(levels, 1)
    ]


def small(facet="ai_values"):
    labels, counts = ["honesty", "candour", "thrift", "care"], np.array([50, 10, 30, 10])
    levels = [np.array([0, 0, 1, 2], np.int32), np.array([0, 1, 1], np.int32)]
    names = [
        [("Honesty", "a"), ("Thrift", "b"), ("Care", "c")],
        [("Epistemic", "d"), ("Practical", "e")],
    ]
    return build_tree(facet, labels, counts, levels, names)


def changed(table, row, **cells):
    rows = table.to_pylist()
    rows[row].update(cells)
    return pa.Table.from_pylist(rows, schema=TAXONOMY)


@settings(deadline=None)
@given(trees(), st.sampled_from(["ai_values", "human_values", "tasks"]))
def test_any_tree_is_valid_and_follows_the_schema(tree, facet):
    labels, counts, levels = tree
    table = build_tree(facet, labels, counts, levels, names_for(levels))
    table.validate(full=True)
    assert table.schema == TAXONOMY
    assert check_tree(table) == []


@settings(deadline=None)
@given(trees(), st.randoms(use_true_random=False))
def test_the_order_of_labels_does_not_change_the_table(tree, random):
    labels, counts, levels = tree
    order = list(range(len(labels)))
    random.shuffle(order)
    shuffled = [levels[0][order], *levels[1:]] if levels else []
    names = names_for(levels)
    one = build_tree("ai_values", labels, counts, levels, names)
    other = build_tree("ai_values", [labels[i] for i in order], counts[order], shuffled, names)
    assert one.equals(other)


@settings(deadline=None)
@given(trees())
def test_the_count_of_every_node_is_the_sum_of_its_leaves(tree):
    labels, counts, levels = tree
    table = build_tree("ai_values", labels, counts, levels, names_for(levels))
    paths = ancestors(table, "ai_values")
    assert set(paths) == set(labels)
    totals = Counter()
    for label, count in zip(labels, counts.tolist(), strict=True):
        assert len(paths[label]) == len(levels) + 1
        assert paths[label][0] == label
        totals.update(dict.fromkeys(paths[label], count))
    nodes = zip(table["cluster_id"].to_pylist(), table["conversations"].to_pylist(), strict=True)
    assert totals == Counter(dict(nodes))


def test_a_small_tree_has_the_published_form():
    rows = {row["name"]: row for row in small().to_pylist() if row["level"]}
    leaves = {row["cluster_id"]: row for row in small().to_pylist() if not row["level"]}
    assert leaves["candour"] == {
        "facet": "ai_values",
        "cluster_id": "candour",
        "level": 0,
        "parent_cluster_id": rows["Honesty"]["cluster_id"],
        "name": "candour",
        "description": "",
        "conversations": 10,
        "pct_total_occurrences": 10.0,
    }
    assert rows["Honesty"]["conversations"] == 60
    assert rows["Thrift"]["parent_cluster_id"] == rows["Practical"]["cluster_id"]
    assert rows["Practical"]["parent_cluster_id"] is None
    assert rows["Practical"]["pct_total_occurrences"] == 40.0
    facet, level, code = rows["Care"]["cluster_id"].split(":")
    assert (facet, level, uuid.UUID(code).version) == ("ai_values", "l1", 4)


def test_the_tree_of_tasks_starts_at_level_one_without_leaves():
    table = small("tasks")
    assert sorted(set(table["level"].to_pylist())) == [1, 2]
    assert not {"honesty", "candour"} & set(table["name"].to_pylist())
    assert all(len(path) == 2 for path in ancestors(table, "tasks").values())


def test_cluster_ids_depend_on_members_facet_level_and_key():
    one = cluster_id("tasks", 1, ["b", "a"])
    assert one == cluster_id("tasks", 1, iter(["a", "b"]))
    others = [
        cluster_id("tasks", 2, ["a", "b"]),
        cluster_id("ai_values", 1, ["a", "b"]),
        cluster_id("tasks", 1, ["a"]),
        cluster_id("tasks", 1, ["ab"]),
        cluster_id("tasks", 1, ["a", "b"], key=b"secret"),
    ]
    assert len({one, *others}) == 6


def test_facets_can_share_labels_and_are_checked_separately():
    both = pa.concat_tables([small("ai_values"), small("human_values")])
    assert check_tree(both) == []
    assert ancestors(both, "human_values")["care"][1].startswith("human_values:l1:")
    assert ancestors(both, "tasks") == {}


# Rows of the small tree: 0-3 are labels, 4-6 level 1, 7-8 level 2.
@pytest.mark.parametrize(
    ("row", "cells", "problem"),
    [
        (0, {"cluster_id": "honesty"}, "1 ids are not unique"),
        (4, {"name": " "}, "1 names are empty"),
        (4, {"name": "Honesty 2"}, "1 cluster names are not plain"),
        (4, {"name": "=SUM"}, "1 cluster names are not plain"),
        (4, {"name": "Honesty\n"}, "1 cluster names are not plain"),
        (7, {"name": "a b c d e f g h i j k"}, "have more than 10 words"),
        (0, {"parent_cluster_id": None}, "1 nodes have no parent one level up"),
        (0, {"parent_cluster_id": "ai_values:l1:nobody"}, "1 nodes have no parent one level up"),
        (0, {"parent_cluster_id": "thrift"}, "1 nodes have no parent one level up"),
        (8, {"parent_cluster_id": "care"}, "1 nodes of the top level have a parent"),
        (8, {"conversations": 41}, "41 conversations, children"),
        (1, {"conversations": 11}, "children"),
        (2, {"pct_total_occurrences": 29.0}, "shares of level 0 add up to"),
        (2, {"pct_total_occurrences": float("nan")}, "shares of level 0 add up to nan"),
        (8, {"level": 3}, "3 nodes have no parent one level up"),
        (8, {"level": 4}, "levels are [0, 1, 2, 4]: expected 0 to 4"),
    ],
)
def test_every_violated_rule_is_found(row, cells, problem):
    problems = check_tree(changed(small(), row, **cells))
    assert any(problem in found for found in problems), problems


@pytest.mark.parametrize(
    ("name", "other", "siblings"),
    [("Thrift", "CARE", True), ("Honesty", "Care", False), ("Epistemic", "practical", True)],
)
def test_cousins_may_have_the_same_name_and_siblings_may_not(name, other, siblings):
    row = small()["name"].to_pylist().index(name)
    problems = check_tree(changed(small(), row, name=other))
    assert problems == ["ai_values: 1 clusters have the name of a sibling"] * siblings


def test_a_cluster_without_children_is_found():
    problems = check_tree(changed(small(), 4, parent_cluster_id="nobody", cluster_id="orphan"))
    assert any("orphan" in found and "children None" in found for found in problems)


def test_without_labels_the_table_is_empty():
    table = build_tree("ai_values", [], np.array([], np.int64), [], [])
    assert table.schema == TAXONOMY
    assert (table.num_rows, check_tree(table), ancestors(table, "ai_values")) == (0, [], {})
