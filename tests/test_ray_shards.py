"""Shards in Ray actors give the labels of one array, even if actors die, with few bytes moved."""

import os
import pickle
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from vitw_ray.taxonomy.kmeans.grid import to_grid
from vitw_ray.taxonomy.kmeans.lloyd import kmeans
from vitw_ray.taxonomy.kmeans.shards import ArrayShard
from vitw_ray.taxonomy.kmeans.two_level import around, two_level_kmeans

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.ray


def unit_rows(n, dim, seed=0):
    rows = np.random.default_rng(seed).standard_normal((n, dim))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def load_part(path, part, parts):
    """Load the rows of one shard from a file."""
    return np.array_split(np.load(path), parts)[part], None


def loads_of(points, path, parts):
    np.save(path, points)
    return [partial(load_part, path, part, parts) for part in range(parts)]


class MortalShard(ArrayShard):
    """A shard whose process is killed during the fit, once per marker file."""

    def __init__(self, points, weights, marker, call):
        super().__init__(points, weights)
        self.marker, self.calls_left = Path(marker), call

    def assign(self, centroids, candidates=None, basis=None):
        self.calls_left -= 1
        if self.calls_left == 0 and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().assign(centroids, candidates, basis)


def mortal(points, weights, marker, call):
    return MortalShard(points, weights, marker, call)


@pytest.fixture
def ray_shards(local_ray, tmp_path):
    from ray import cloudpickle

    from vitw_ray.taxonomy.kmeans.ray_shards import RayShards

    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not see tests
    made = []

    def make(points, parts, **options):
        loads = loads_of(points, tmp_path / "rows.npy", parts)
        made.append(RayShards(loads, num_cpus=0.5, **options))
        return made[-1]

    yield make
    for shards in made:
        shards.close()


def test_actors_give_the_labels_of_one_array(ray_shards):
    points = unit_rows(3000, 120)  # more dimensions than are fitted along
    there, here = ray_shards(points, 3), ArrayShard(points)
    for fit in (
        partial(kmeans, k=30, iterations=5, seed=0),
        partial(two_level_kmeans, k=60, seed=0),
    ):
        ours, theirs = fit([there]), fit([here])
        assert ours.labels.tolist() == theirs.labels.tolist()
        assert ours.centroids.tobytes() == theirs.centroids.tobytes()
        assert ours.objective == theirs.objective


@pytest.mark.parametrize("call", [1, 4])
def test_a_killed_actor_is_restarted_and_no_label_changes(ray_shards, tmp_path, call):
    points = unit_rows(2000, 16)
    marker = tmp_path / "killed"
    there = ray_shards(points, 2, make=partial(mortal, marker=str(marker), call=call))
    found = two_level_kmeans([there], 40, seed=0)
    assert marker.exists()
    expected = two_level_kmeans([ArrayShard(points)], 40, seed=0)
    assert found.labels.tolist() == expected.labels.tolist()
    assert found.objective == expected.objective


def test_an_actor_lost_before_the_labels_are_fetched_restores_them(ray_shards):
    import ray

    points = unit_rows(1000, 16)
    there = ray_shards(points, 2)
    centroids = to_grid(unit_rows(20, 16, 1))
    there.assign(centroids)
    there.assign(centroids, around(centroids, centroids[:4], 6))
    ray.kill(there._holders[1])
    here = ArrayShard(points)
    here.assign(centroids)
    here.assign(centroids, around(centroids, centroids[:4], 6))
    assert there.labels().tolist() == here.labels().tolist()


def test_rows_are_sampled_by_index_in_the_given_order(ray_shards):
    points = unit_rows(100, 4)
    asked = np.array([99, 0, 50, 51, 49, 0])
    assert ray_shards(points, 3).sample(asked).tobytes() == to_grid(points)[asked].tobytes()


def test_invalid_rows_in_an_actor_are_reported_to_the_caller(ray_shards):
    points = unit_rows(100, 4)
    points[70, 2] = np.nan
    with pytest.raises(ValueError, match="point 20 has NaN or infinity"):
        ray_shards(points, 2)


class WeighedShard(ArrayShard):
    """Records the sizes of all data sent to and returned from an actor."""

    def __init__(self, points):
        super().__init__(points)
        self.sent, self.returned = [], []

    def assign(self, *call):
        totals = super().assign(*call)
        self.sent.append(len(pickle.dumps(call, 5)))
        self.returned.append(len(pickle.dumps(totals, 5)))
        return totals


def test_only_centroids_are_sent_and_only_totals_are_returned():
    dim, k = 384, 400
    shard = WeighedShard(unit_rows(4000, dim))
    kmeans([shard], k, iterations=2, seed=0)
    two_level_kmeans([shard], k, seed=0)
    assert max(shard.sent) <= 1.1 * k * 4 * dim
    assert max(shard.returned) <= 1.1 * k * (8 * dim + 8)


CLUSTER = """
import os, sys
from functools import partial
import numpy as np, ray
from ray.cluster_utils import Cluster

sys.path.insert(0, sys.argv[2])
from test_ray_shards import load_part, unit_rows
from vitw_ray.taxonomy.kmeans.ray_shards import RayShards
from vitw_ray.taxonomy.kmeans.shards import ArrayShard
from vitw_ray.taxonomy.kmeans.two_level import two_level_kmeans

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
nodes = [cluster.add_node(num_cpus=2, object_store_memory=100 * 2**20) for _ in range(2)]
cluster.wait_for_nodes()
ray.init(address=cluster.address, log_to_driver=False,
         runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(sys.path)}})
shards = RayShards([partial(load_part, sys.argv[1], part, 3) for part in range(3)])
where = {ray.get(h.__ray_call__.remote(lambda _: ray.get_runtime_context().get_node_id()))
         for h in shards._holders}
assert len(where) == 2, where
expected = two_level_kmeans([ArrayShard(np.load(sys.argv[1]))], 60, seed=0)
assert two_level_kmeans([shards], 60, seed=0).labels.tolist() == expected.labels.tolist()
cluster.remove_node(nodes[1], allow_graceful=False)  # with its actors
cluster.add_node(num_cpus=2, object_store_memory=100 * 2**20)
assert two_level_kmeans([shards], 60, seed=0).labels.tolist() == expected.labels.tolist()
ray.shutdown()
cluster.shutdown()
"""


@pytest.mark.slow
def test_two_nodes_give_the_labels_of_one_array_even_if_one_dies(tmp_path):
    path = tmp_path / "rows.npy"
    np.save(path, unit_rows(3000, 24))
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
    environment["PYTHONPATH"] = str(ROOT)
    environment.pop("RAY_ADDRESS", None)
    done = subprocess.run(
        [sys.executable, "-c", CLUSTER, str(path), str(ROOT / "tests")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
