"""The tree of tasks does not depend on where the tasks are clustered."""

from functools import reduce
from operator import add

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vitw_ray import cluster
from vitw_ray.config import Execution, LabelsConfig, RunConfig, TaxonomyConfig
from vitw_ray.keys import Keyed
from vitw_ray.storage import Storage
from vitw_ray.taxonomy import hierarchy, task_shares
from vitw_ray.taxonomy.tasks import TaskGrower
from vitw_ray.taxonomy.vectors.vector_files import TextBlock, write_vectors

BLOCKS, TEXTS, DIM = 4, 60, 90  # more dimensions than a shard holds
NODES = 40
NO_ACCOUNTS = pa.array([[]] * TEXTS, pa.list_(pa.int64()))


@pytest.fixture
def storage(tmp_path) -> Storage:
    (tmp_path / "private").mkdir()
    return Storage(str(tmp_path))


@pytest.fixture
def blocks(storage):
    """Texts around a few topics."""
    rng = np.random.default_rng(0)
    topics = rng.normal(size=(12, DIM))
    found = []
    for number in range(BLOCKS):
        rows = topics[rng.integers(12, size=TEXTS)] + 0.5 * rng.normal(size=(TEXTS, DIM))
        rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        block = TextBlock("tasks", number, TEXTS, f"private/t{number}", f"private/v{number}")
        texts = [f"task {number} {i:02d}" for i in range(TEXTS)]
        conversations = rng.integers(1, 9, TEXTS)
        pq.write_table(
            pa.table({"text": texts, "conversations": conversations, "accounts": NO_ACCOUNTS}),
            f"{storage.root}/{block.text_path}",
        )
        write_vectors(storage, block.vector_path, rows)
        found.append(block)
    return found


CONFIG = RunConfig(
    labels=LabelsConfig(min_conversations=2),
    taxonomy=TaxonomyConfig(embedder="hashing", task_levels=(50, 12, 3)),
    execution=Execution(actors=3),
)


def grown(storage, blocks, rows_per_shard):
    keyed = Keyed(b"a secret of sixteen bytes")
    tree = TaskGrower(CONFIG, storage, keyed, blocks, "private", rows_per_shard)()
    return tree, pq.read_table(f"{storage.root}/{tree.clusters}")


class InTurn:
    """Shards as in actors, one after the other in this process."""

    def __init__(self, loads, *, make, **_):
        self.loads = loads
        self.shards = [make(*load()) for load in loads]
        self.ends = np.cumsum([shard.count() for shard in self.shards])

    def count(self):
        return int(self.ends[-1])

    def sample(self, rows):
        starts = [0, *self.ends[:-1].tolist()]
        cuts = np.split(rows, np.searchsorted(rows, self.ends[:-1]))
        parts = zip(self.shards, cuts, starts, strict=True)
        return np.concatenate([shard.sample(cut - start) for shard, cut, start in parts])

    def assign(self, *given):
        return reduce(add, [shard.assign(*given) for shard in self.shards])

    def labels(self):
        return np.concatenate([shard.labels() for shard in self.shards])

    def run(self, function, arguments):
        for load, given in zip(self.loads, arguments, strict=True):
            yield function(load, *given)

    def close(self):
        self.loads = []


def test_tasks_in_several_shares_give_the_tree_of_one(storage, blocks, monkeypatch):
    monkeypatch.setattr(hierarchy, "NODES", NODES)
    monkeypatch.setattr(task_shares, "RayShards", InTurn)
    monkeypatch.setattr(cluster, "memory_to_ask", lambda *_, **__: 0)
    first, *others = (grown(storage, blocks, rows) for rows in (10**6, 2 * TEXTS))
    assert first[0].tree.num_rows > NODES
    for tree, clusters in others:
        assert tree.tree == first[0].tree
        assert tree.ids == first[0].ids
        assert tree.quality == first[0].quality
        assert clusters == first[1]
        assert_same_known(tree.known, first[0].known)


def assert_same_known(one, other):
    """What later runs go on from is the same, to the last bit."""
    assert (one.nodes.ids, one.nodes.names) == (other.nodes.ids, other.nodes.names)
    for name in ("centres", "radii", "nodes"):
        assert np.array_equal(getattr(one.reach, name), getattr(other.reach, name)), name
    assert np.array_equal(one.leaves.keys, other.leaves.keys)
    assert np.array_equal(one.leaves.nodes, other.leaves.nodes)


@pytest.mark.ray
def test_tasks_in_several_actors_give_the_tree_of_one_worker(
    storage, blocks, local_ray, monkeypatch
):
    monkeypatch.setattr(hierarchy, "NODES", NODES)
    made: list[int] = []

    class Counted(task_shares.RayShards):
        def __init__(self, loads, **options):
            made.append(len(loads))
            super().__init__(loads, **options)

    monkeypatch.setattr(task_shares, "RayShards", Counted)
    trees, tables = zip(
        *[grown(storage, blocks, rows) for rows in (10**6, 2 * TEXTS, TEXTS)], strict=True
    )
    assert made == [2, 2]  # never more shards than extractor actors
    assert trees[0].tree.num_rows > NODES
    assert trees[1].tree == trees[2].tree == trees[0].tree
    assert trees[1].quality == trees[2].quality == trees[0].quality
    assert tables[1] == tables[2] == tables[0]
    for tree in trees[1:]:
        assert_same_known(tree.known, trees[0].known)
