"""A shard that reads its rows from storage has the clusters of one that holds them."""

import tracemalloc
from dataclasses import dataclass, field

import numpy as np
import pytest

from vitw_ray.taxonomy import task_shares
from vitw_ray.taxonomy.kmeans import shards, stored_shard
from vitw_ray.taxonomy.kmeans.grid import principal_basis
from vitw_ray.taxonomy.kmeans.lloyd import kmeans
from vitw_ray.taxonomy.kmeans.shards import ArrayShard
from vitw_ray.taxonomy.kmeans.stored_shard import StoredShard, shard_of
from vitw_ray.taxonomy.kmeans.two_level import two_level_kmeans

ROWS, DIM, BLOCK = 600, 100, 70


@dataclass
class Stored:
    """Rows in blocks, with a log of what was read."""

    rows: np.ndarray
    read: list[list[int]] = field(default_factory=list)

    def sizes(self):
        return [len(self.rows[start : start + BLOCK]) for start in range(0, len(self.rows), BLOCK)]

    def vectors(self, numbers):
        self.read.append(list(numbers))
        return self.rows[numbers[0] * BLOCK : (numbers[-1] + 1) * BLOCK].copy()


@pytest.fixture
def rows():
    found = np.random.default_rng(0).standard_normal((ROWS, DIM))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def weights():
    return np.random.default_rng(1).integers(1, 9, ROWS)


@pytest.fixture(autouse=True)
def _short_steps(monkeypatch):
    monkeypatch.setattr(stored_shard, "STEP_ROWS", 2 * BLOCK)


@pytest.mark.parametrize("fit", [two_level_kmeans, kmeans])
def test_clusters_are_those_of_rows_in_memory(rows, weights, fit):
    here = fit([ArrayShard(rows, weights)], 40, iterations=8, seed=0)
    there = fit([StoredShard(Stored(rows), weights)], 40, iterations=8, seed=0)
    for name in ("centroids", "labels", "counts"):
        assert np.array_equal(getattr(here, name), getattr(there, name))
    assert here.objective == there.objective


def test_iterations_along_a_basis_read_no_rows(rows, weights):
    stored = Stored(rows)
    shard = StoredShard(stored, weights)
    basis = principal_basis(rows, 80, np.random.default_rng(0))
    centroids = ArrayShard(rows[:9] @ basis).rows
    shard.assign(centroids, None, basis)
    before = len(stored.read)
    for _ in range(3):
        shard.assign(centroids, None, basis)
    assert len(stored.read) == before
    assert max(map(len, stored.read)) <= 2


def test_rows_with_few_dimensions_are_held(rows, weights):
    assert isinstance(shard_of(Stored(rows), weights), StoredShard)
    assert isinstance(shard_of(Stored(rows[:, :80]), weights), ArrayShard)


def test_a_row_that_is_not_finite_is_refused(rows, weights):
    rows[-1, 3] = np.nan
    with pytest.raises(ValueError, match="NaN or infinity"):
        two_level_kmeans([StoredShard(Stored(rows), weights)], 40, iterations=2, seed=0)


def test_a_row_takes_no_more_memory_than_a_shard_asks_for(monkeypatch):
    monkeypatch.setattr(stored_shard, "STEP_ROWS", BLOCK)
    monkeypatch.setattr(shards, "SUMMED", 2**14)  # what does not grow is small, too
    peaks = []
    for count in (4_000, 12_000):
        rows = np.random.default_rng(0).standard_normal((count, 200), np.float32)
        stored = Stored(rows / np.linalg.norm(rows, axis=1, keepdims=True))
        tracemalloc.start()
        two_level_kmeans([StoredShard(stored)], 20, iterations=4, seed=0)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    per_row = (peaks[1] - peaks[0]) / 8_000
    monkeypatch.setattr(task_shares, "LEVEL_1_CLUSTERS", 20)
    asked = [task_shares.shard_bytes(count, 200, on_gpu=False) for count in (4_000, 12_000)]
    assert per_row <= (asked[1] - asked[0]) / 8_000
    assert per_row < 200 * 4  # the row itself
