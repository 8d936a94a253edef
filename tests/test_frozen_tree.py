"""Known clusters stay as they are: ids, names and members; what does not fit is not forced in."""

import sys
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from frozen_folder import write_frozen_run

from vitw_ray.config import LabelsConfig, RunConfig, TaxonomyConfig
from vitw_ray.errors import ConfigError
from vitw_ray.keys import Keyed
from vitw_ray.run_folder import StageFolder
from vitw_ray.storage import Storage
from vitw_ray.taxonomy.frozen.growing import counted, place_leaves
from vitw_ray.taxonomy.frozen.nodes import Nodes
from vitw_ray.taxonomy.frozen.placing import UNPLACED, label_keys, leaves_of, place, reach_of
from vitw_ray.taxonomy.frozen.source import find_frozen
from vitw_ray.taxonomy.frozen.state import FrozenTree, KnownClusters, read_state, write_state
from vitw_ray.taxonomy.frozen.tasks import place_tasks, without_hidden
from vitw_ray.taxonomy.naming.member_naming import name_clusters
from vitw_ray.taxonomy.task_shares import Here
from vitw_ray.taxonomy.task_support import Gate
from vitw_ray.taxonomy.tree import build_tree, check_tree, cluster_ids
from vitw_ray.taxonomy.vectors.vector_files import COLUMNS, Share, TextBlock, write_vectors

DIM, TOPICS, MEMBERS = 16, 6, 40
PARENTS = [np.array([0, 0, 1, 1, 2, 2], np.int32), np.array([0, 1, 1], np.int32)]
THIS = sys.modules[__name__]
THRESHOLDS = LabelsConfig(min_conversations=3, min_accounts=1)


def around(topics: np.ndarray, count: int, seed: int, noise: float = 0.15) -> np.ndarray:
    """Unit rows around each topic, topic by topic."""
    rng = np.random.default_rng(seed)
    rows = np.repeat(topics, count, axis=0)
    rows = rows + noise * rng.normal(size=(len(topics) * count, DIM))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def topics() -> np.ndarray:
    return np.eye(DIM)[:TOPICS]


@pytest.fixture(scope="module")
def known(topics) -> KnownClusters:
    """Six clusters of forty labels each, below three and two others."""
    clusters = np.repeat(np.arange(TOPICS, dtype=np.int32), MEMBERS)
    labels = [f"old {'abcdef'[c]} {n:03d}" for n, c in enumerate(clusters.tolist())]
    levels = [clusters, *PARENTS]
    names = [
        [(f"Level {level} {letter}", "Values such as these.") for letter in "abcdef"[:size]]
        for level, size in (("one", 6), ("two", 3), ("three", 2))
    ]
    vectors = around(topics, MEMBERS, seed=0)
    return KnownClusters(
        Nodes(cluster_ids("ai_values", labels, levels), names, PARENTS),
        reach_of(vectors, clusters, clusters),
        leaves_of(label_keys(labels), clusters),
    )


def placed_in(known, labels, vectors, *, grow=False, taken=()):
    def name(rows, clusters, taken):
        texts = [labels[row] for row in rows.tolist()]
        ones = np.ones(len(rows), np.int64)
        return name_clusters(texts, vectors[rows], ones, clusters, noun="values", taken=taken)

    return place_leaves(
        known,
        labels,
        label_keys(labels),
        vectors,
        facet="ai_values",
        noun="values",
        name=name if grow else None,
        config=TaxonomyConfig(embedder="hashing"),
    )


def test_a_new_member_is_placed_as_often_as_the_quantile_says(topics, known):
    nodes, _ = place(around(topics, 500, seed=1), known.reach)
    wanted = np.repeat(np.arange(TOPICS), 500)
    assert set(nodes[nodes != UNPLACED] - wanted[nodes != UNPLACED]) == {0}
    assert 0.90 < np.mean(nodes != UNPLACED) < 0.98  # 0.95 of members by their own distances


def test_what_is_far_from_all_clusters_is_placed_nowhere(known):
    elsewhere = around(np.eye(DIM)[TOPICS:], 10, seed=2)
    assert set(place(elsewhere, known.reach)[0].tolist()) == {UNPLACED}


def test_a_known_label_keeps_its_cluster_wherever_its_vector_lies(topics, known):
    labels = ["old a 000", "old a 001", "newcomer"]
    vectors = np.stack([topics[5], np.eye(DIM)[9], topics[5]]).astype(np.float32)
    assert placed_in(known, labels, vectors).at.tolist() == [0, 0, 5]


def test_clusters_of_one_member_reach_as_far_as_those_of_the_level(topics):
    vectors = np.concatenate([around(topics[:1], 30, seed=3), around(topics[1:2], 1, seed=4)])
    clusters = np.array([0] * 30 + [1], np.int32)
    reach = reach_of(vectors, clusters, clusters)
    assert reach.radii[1] == pytest.approx(reach.radii[0])
    assert reach.radii[0] > 0


@pytest.mark.parametrize("grow", [False, True])
def test_ids_and_names_of_known_clusters_stay_and_the_tree_is_sound(topics, known, grow):
    labels = [f"old {'abcdef'[n]} {n * MEMBERS:03d}" for n in range(TOPICS)]
    strangers = [f"stranger {letter}" for letter in "abcdefghijkl"]
    vectors = np.concatenate(
        [topics.astype(np.float32), around(np.eye(DIM)[TOPICS : TOPICS + 3], 4, seed=5)]
    )
    placed = placed_in(known, [*labels, *strangers], vectors, grow=grow)
    used, counts = placed.used, np.ones(18, np.int64)
    tree = build_tree(
        "ai_values", [*labels, *strangers], counts, used.levels, used.names, ids=used.ids
    )
    assert check_tree(tree) == []
    for level, ids in enumerate(known.nodes.ids):
        names = dict(zip(used.ids[level], used.names[level], strict=True))
        assert [names[one] for one in ids] == list(known.nodes.names[level])
        assert len(used.ids[level]) > len(ids)
    found = counted(placed, counts)
    assert found["known"]["leaves"] == 6
    assert found["unplaced"]["mentions"] == 12
    assert found["unplaced_share"] == 12 / 18


def test_grown_clusters_are_known_to_the_next_run_and_unplaced_labels_are_not(known):
    strangers = [f"stranger {letter}" for letter in "abcdef"]
    vectors = around(np.eye(DIM)[8:9], 6, seed=6)
    left = placed_in(known, strangers, vectors).known
    assert left.nodes is known.nodes
    assert set(left.leaves.find(label_keys(strangers)).tolist()) == {UNPLACED}
    grown = placed_in(known, strangers, vectors, grow=True).known
    again = placed_in(grown, strangers, vectors)
    assert not again.new.any()
    assert again.at.min() >= TOPICS


def test_without_known_clusters_everything_is_unplaced(topics):
    placed = placed_in(None, ["one", "two"], topics[:2].astype(np.float32))
    assert placed.new.all()
    assert [len(ids) for ids in placed.used.ids] == [1, 1, 1]


def test_the_files_of_a_tree_say_what_it_was(tmp_path, known):
    folder = StageFolder(Storage(str(tmp_path)), "4_taxonomy-0", Keyed(b"0123456789abcdef"))
    files = write_state(folder, FrozenTree({"ai_values": known}, b"key", {"a": [1.5]}))
    assert all(file.is_private for file in files)
    names = {file.path.rsplit("/", 1)[1].split(".")[0]: file for file in files}
    found = read_state(folder.storage, names)
    back = found.facets["ai_values"]
    assert found.task_key == b"key"
    assert found.reference == {"a": [1.5]}
    assert [*back.nodes.ids] == [*known.nodes.ids]
    assert np.array_equal(back.leaves.keys, known.leaves.keys)
    assert np.array_equal(back.leaves.nodes, known.leaves.nodes)
    assert all(map(np.array_equal, back.nodes.parents, known.nodes.parents))
    assert np.array_equal(back.reach.centres, known.reach.centres)
    assert np.array_equal(back.reach.radii, known.reach.radii)


@pytest.mark.parametrize("labels", [[], ["a"], ["a", "of many letters", "ab"]])
def test_leaves_of_any_length_are_read_back(tmp_path, known, labels):
    folder = StageFolder(Storage(str(tmp_path)), "4_taxonomy-0", Keyed(b"0123456789abcdef"))
    leaves = leaves_of(label_keys(labels), np.arange(len(labels), dtype=np.int32))
    facets = {"ai_values": replace(known, leaves=leaves), "human_values": known}
    files = write_state(folder, FrozenTree(facets, b"key"))
    names = {file.path.rsplit("/", 1)[1].split(".")[0]: file for file in files}
    back = read_state(folder.storage, names).facets
    assert back["ai_values"].leaves.keys.tolist() == sorted(label.encode() for label in labels)
    assert np.array_equal(back["ai_values"].leaves.nodes, leaves.nodes)
    assert np.array_equal(back["human_values"].leaves.keys, known.leaves.keys)


def tasks_near(folder, topics, known, counts, strangers, **more):
    """Two tasks of each topic with these conversations, and strangers with one each."""
    vectors = np.concatenate([around(topics, 2, seed=7, noise=0.02), strangers])
    texts = [f"task {chr(97 + n)}" for n in range(len(vectors))]
    conversations = np.array([*np.repeat(counts, 2), *[1] * len(strangers)], np.int64)
    return tasks_placed(folder, known, texts, conversations, vectors, **more)


def tasks_placed(folder, known, texts, conversations, vectors, *, accounts=None, shares=1, **asked):
    """The tasks of a run in known clusters; they lie in so many shares."""
    config = RunConfig(labels=THRESHOLDS, taxonomy=TaxonomyConfig(embedder="hashing", **asked))
    tree = FrozenTree({"tasks": known}, b"a key for tasks")
    gate, storage, blocks = Gate(THRESHOLDS, accounts is not None), Storage(str(folder)), []
    people = accounts or [[]] * len(texts)
    for number, rows in enumerate(np.array_split(np.arange(len(texts)), 3)):
        path = f"private/{len(texts)}-{number}"
        block = TextBlock("tasks", number, len(rows), f"{path}-texts", f"{path}-vectors")
        of_rows = pa.array([people[row] for row in rows], pa.list_(pa.int64()))
        columns = [[texts[row] for row in rows], conversations[rows], of_rows]
        write_vectors(storage, block.vector_path, vectors[rows])
        pq.write_table(pa.table(columns, [*COLUMNS]), f"{storage.root}/{block.text_path}")
        blocks.append(block)
    loads = [Share(storage, tuple(some)) for some in np.array_split(np.array(blocks), shares)]
    return place_tasks(config, tree, Here(loads, []), conversations, gate, b"ids")


def test_unplaced_tasks_with_too_little_support_are_in_no_cluster_and_not_counted(
    tmp_path, topics, known
):
    strangers = around(np.eye(DIM)[9:10], 2, seed=8)
    found = tasks_near(tmp_path, topics, known, [9] * 6, strangers)
    assert found.inside.tolist() == [True] * 12 + [False] * 2
    assert found.details["unplaced"]["mentions"] is None
    assert found.used is not None
    assert [*found.used.ids[2]] == [*known.nodes.ids[2]]
    enough = tasks_near(tmp_path, topics, known, [9] * 6, around(np.eye(DIM)[9:10], 3, seed=8))
    assert enough.inside.all()
    assert enough.details["unplaced"]["mentions"] == 3


def test_a_frozen_name_under_the_gate_is_not_shown(tmp_path, topics, known):
    found = tasks_near(tmp_path, topics, known, [9, 1, 9, 9, 9, 9], np.empty((0, DIM), np.float32))
    assert found.used is not None
    shown = {name for names in found.used.names for name, _ in names}
    assert "Level one b" not in shown
    assert {"Level one c", "Level two a"} <= shown
    ids = set(found.used.ids[0])
    assert known.nodes.ids[0][1] not in ids
    assert set(known.nodes.ids[0][2:]) <= ids
    assert [*found.known.nodes.ids] == [*known.nodes.ids]  # the next run may show it again


@pytest.mark.parametrize("grow", [False, True])
def test_tasks_are_placed_as_well_in_several_shares(tmp_path, topics, known, grow):
    asked = {"grow_unplaced": True, "taxonomy_from": "x"} if grow else {}
    far = around(np.eye(DIM)[9:11], 5, seed=8)
    one, *several = (
        tasks_near(tmp_path, topics, known, [9, 2, 9, 1, 9, 9], far, shares=shares, **asked)
        for shares in (1, 2, 3)
    )
    assert one.used is not None
    assert len(one.used.ids[0]) > 3
    for other in several:
        assert other.used is not None
        assert (other.used.ids, other.used.names) == (one.used.ids, one.used.names)
        assert all(map(np.array_equal, other.used.levels, one.used.levels))
        assert np.array_equal(other.inside, one.inside)
        assert np.array_equal(other.cells, one.cells)
        assert (other.quality, other.details) == (one.quality, one.details)
        assert np.array_equal(other.known.leaves.keys, one.known.leaves.keys)
        assert np.array_equal(other.known.leaves.nodes, one.known.leaves.nodes)
        assert np.array_equal(other.known.reach.centres, one.known.reach.centres)
        assert np.array_equal(other.known.reach.radii, one.known.reach.radii)


def test_unplaced_tasks_of_one_account_are_not_shown(tmp_path, topics, known, monkeypatch):
    monkeypatch.setattr(THIS, "THRESHOLDS", LabelsConfig(min_conversations=3, min_accounts=2))
    far = around(np.eye(DIM)[9:10], 6, seed=8)
    shared = [[1, 2]] * 2 * TOPICS
    alone = tasks_near(tmp_path, topics, known, [9] * 6, far, accounts=[*shared, *[[7]] * 6])
    assert not alone.inside[-6:].any()
    assert alone.details["unplaced"]["mentions"] is None
    two = tasks_near(tmp_path, topics, known, [9] * 6, far, accounts=[*shared, *[[7], [8]] * 3])
    assert two.inside.all()
    assert two.details["unplaced"]["mentions"] == 6


def test_grown_clusters_are_named_only_by_words_that_pass_in_the_whole_run(
    tmp_path, topics, known, monkeypatch
):
    monkeypatch.setattr(THIS, "THRESHOLDS", LabelsConfig(min_conversations=3, min_accounts=2))
    vectors = np.concatenate([topics.astype(np.float32), around(np.eye(DIM)[9:10], 6, seed=8)])
    texts = [f"mend a fence {n}" for n in "abcdef"] + [f"hunt the zorblax {n}" for n in "abcdef"]
    texts[7] = "mend a kettle"
    accounts = [[1, 2]] * 6 + [[7], [8], *[[7]] * 4]
    counts = np.full(12, 3, np.int64)
    asked = {"accounts": accounts, "grow_unplaced": True, "taxonomy_from": "x"}
    found = tasks_placed(tmp_path, known, texts, counts, vectors, **asked)
    assert found.inside.all()
    assert found.used is not None
    told = " ".join(word for names in found.used.names for one in names for word in one).lower()
    assert "zorblax" not in told
    assert "mend" in told


def test_a_grown_cluster_that_is_not_shown_is_not_passed_on(topics, known):
    strangers = [f"stranger {letter}" for letter in "abcdefgh"]
    grown = placed_in(known, strangers, around(np.eye(DIM)[8:10], 4, seed=9), grow=True)
    shown = grown.used
    gone = shown.ids[2].pop()
    kept = without_hidden(grown.known, grown.first_new, shown)
    assert gone not in kept.nodes.ids[2]
    assert [*kept.nodes.ids[0][:6]] == [*known.nodes.ids[0]]
    assert kept.leaves.nodes.max() < len(kept.nodes.ids[0])
    assert kept.reach is not None
    assert len(kept.reach.centres) == len(kept.nodes.ids[0])


@pytest.fixture
def finished(tmp_path, known):
    """The folder of a run, as far as a frozen tree needs it."""
    labels = LabelsConfig(min_conversations=3, min_accounts=2)
    tree = FrozenTree({"ai_values": known}, b"key")
    return write_frozen_run(tmp_path / "run", tree, {"name": "hashing", "key": "k"}, labels)


def asking(address, labels=THRESHOLDS, embedder="hashing") -> RunConfig:
    taxonomy = TaxonomyConfig(embedder=embedder, taxonomy_from=str(address))
    return RunConfig(labels=labels, taxonomy=taxonomy)


def test_a_frozen_tree_is_known_by_what_it_says(finished, tmp_path):
    found = find_frozen(asking(finished.root))
    assert found is not None
    assert set(found.read().facets) == {"ai_values"}
    (tmp_path / "run").rename(tmp_path / "moved")
    moved = find_frozen(asking(tmp_path / "moved"))
    assert moved is not None
    assert moved.digest == found.digest


@pytest.mark.parametrize(
    ("labels", "embedder", "words"),
    [
        (THRESHOLDS, "minilm", "embedder hashing"),
        (LabelsConfig(min_conversations=4, min_accounts=2), "hashing", "--min-conversations 3"),
        (LabelsConfig(min_conversations=3, min_accounts=3), "hashing", "--min-accounts 2"),
    ],
)
def test_a_tree_that_does_not_fit_is_refused(finished, labels, embedder, words):
    with pytest.raises(ConfigError, match=words):
        find_frozen(asking(finished.root, labels, embedder))


def test_a_run_without_its_private_folder_is_refused(finished):
    found = find_frozen(asking(finished.root))
    finished.delete_prefix("private")
    assert found is not None
    with pytest.raises(ConfigError, match="private/"):
        found.read()


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="--taxonomy-from"):
        find_frozen(asking(tmp_path))


def test_growing_without_a_frozen_tree_is_refused():
    with pytest.raises(ConfigError, match="--taxonomy-from"):
        TaxonomyConfig(grow_unplaced=True)
