"""Where the tasks are: one share in this process, or many in actors.

What a worker holds for each task is stated here, so that memory can be asked of Ray.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vitw_ray import cluster
from vitw_ray.execution import Execution
from vitw_ray.storage import Storage
from vitw_ray.taxonomy.hierarchy import LEVEL_1_CLUSTERS
from vitw_ray.taxonomy.kmeans.gpu_shard import GpuShard
from vitw_ray.taxonomy.kmeans.ray_shards import RayShards
from vitw_ray.taxonomy.kmeans.shards import Shard
from vitw_ray.taxonomy.kmeans.stored_shard import shard_of
from vitw_ray.taxonomy.kmeans.two_level import FIT_DIM
from vitw_ray.taxonomy.vectors.vector_files import Share, TextBlock, read_vectors, shares

ROWS_PER_SHARD = 250_000  # ours: 0.1 GB of projections on 80 axes
SHARD_CPUS = 0.1  # ours: the worker that waits reserves a whole CPU, and all shards must fit beside
PROCESS_BYTES = 400 << 20  # ours: a worker with its libraries, a step of rows and its texts
TASK_BYTES = 60  # ours: of a task in a shard, beside its coordinates
GROWER_BYTES = 260  # ours: of a task where the tree is built, with the counts of its words
KNOWN_BYTES = 70  # ours: of a known task: its hash and cluster, and a copy while others are added
SUMS = 4  # ours: so many sums of all clusters are there at once


def shard_bytes(rows: int, dim: int, *, on_gpu: bool) -> int:
    """Memory of an actor with so many tasks."""
    clusters = SUMS * min(rows, LEVEL_1_CLUSTERS) * dim * np.dtype(np.int64).itemsize
    held = dim if on_gpu else min(dim, FIT_DIM)
    return PROCESS_BYTES + clusters + rows * (held * np.dtype(np.float32).itemsize + TASK_BYTES)


def grower_bytes(rows: int, known: int = 0) -> int:
    """Memory of the worker that builds the tree of so many tasks; `known`: of an earlier run."""
    return PROCESS_BYTES + GROWER_BYTES * rows + KNOWN_BYTES * known


class Shares(Protocol):
    """All tasks, in the order of their shares."""

    @property
    def loads(self) -> Sequence[Share]:
        """The shares."""
        ...

    @property
    def shards(self) -> Sequence[Shard]:
        """Their vectors, for k-means."""
        ...

    def run(
        self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]
    ) -> Iterator[Any]:
        """Results of a function of each share and the arguments for it, in order."""
        ...


@dataclass
class Here:
    """Shares in this process."""

    loads: Sequence[Share]
    shards: Sequence[Shard]

    def run(
        self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]
    ) -> Iterator[Any]:
        """Call the function for each share."""
        for load, given in zip(self.loads, arguments, strict=True):
            yield function(load, *given)


@dataclass
class _InActors:
    loads: Sequence[Share]
    actors: RayShards

    @property
    def shards(self) -> Sequence[Shard]:
        return [self.actors]

    def run(
        self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]
    ) -> Iterator[Any]:
        return self.actors.run(_of_share, [(function, *given) for given in arguments])


@dataclass(frozen=True)
class _Load:
    """Rows that a shard holds, or that it reads again when it needs them."""

    share: Share
    held: bool

    def __call__(self) -> tuple[Any, np.ndarray]:
        vectors = self.share.vectors(range(len(self.share.blocks))) if self.held else self.share
        return vectors, self.share.conversations()


def _of_share(load: _Load, function: Callable[..., Any], *arguments: Any) -> Any:
    return function(load.share, *arguments)


def divided(shares: Shares, of_tasks: np.ndarray) -> list[np.ndarray]:
    """What belongs to the tasks of each share."""
    ends = np.cumsum([sum(load.sizes()) for load in shares.loads])
    return np.split(of_tasks, ends[:-1])


def places(shares: Shares, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Some tasks, in order, as places in each share."""
    ends = np.cumsum([sum(load.sizes()) for load in shares.loads])
    cuts = np.split(rows, np.searchsorted(rows, ends[:-1]))
    return [cut - start for cut, start in zip(cuts, [0, *ends[:-1].tolist()], strict=True)]


@contextmanager
def opened(
    storage: Storage,
    blocks: Sequence[TextBlock],
    execution: Execution,
    rows_per_shard: int,
    known: int = 0,
) -> Iterator[Shares]:
    """Shards in actors, if the tasks fill at least two; else one in this process.

    `known`: how many tasks of an earlier run the worker that opens them holds.
    """
    total = sum(block.texts for block in blocks)
    rows = max(rows_per_shard, -(-total // execution.actors))  # at most one per extractor
    loads = shares(storage, blocks, rows)
    if len(loads) < 2:
        yield Here(loads, [shard_of(loads[0], loads[0].conversations())])
        return
    on_gpu = execution.device == "gpu"
    dim = read_vectors(storage, blocks[0]).shape[1]
    largest = max(sum(load.sizes()) for load in loads)
    actors = RayShards(
        [_Load(load, held=on_gpu) for load in loads],
        make=GpuShard if on_gpu else shard_of,
        num_cpus=SHARD_CPUS,
        num_gpus=min(1.0, execution.gpus_per_actor) if on_gpu else 0.0,
        memory=cluster.memory_to_ask(
            shard_bytes(largest, dim, on_gpu=on_gpu),
            workers=len(loads),
            beside=2 * grower_bytes(total, known),
        ),
    )
    try:
        yield _InActors(loads, actors)
    finally:
        actors.close()
