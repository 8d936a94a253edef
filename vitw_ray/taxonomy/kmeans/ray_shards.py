"""Rows for k-means that lie in Ray actors, on as many nodes as there are.

An actor loads its own rows; what travels is one copy of the centroids to each node and the totals
of each actor back, whatever the number of rows. A lost actor is started anew, loads its rows again
and repeats the calls since the last search among all centroids, which is all that its state depends
on (see `shards`).
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vitw_ray.taxonomy.kmeans.grid import Basis, Rows
from vitw_ray.taxonomy.kmeans.shards import ArrayShard, Candidates, ClusterSums, Shard

Load = Callable[[], tuple[ArrayLike, ArrayLike | None]]
"""Points (n, d) and weights (or None) of one shard; pickled to its actor, and called again, with
the same result, when the actor is lost."""

STARTS = 3  # ours: what kills an actor that often in one call is not bad luck

log = logging.getLogger(__name__)


class RayShards:
    """Many shards, each in an actor of its own, that work at once and count as one.

    Args:
        loads: one per shard, in the order in which rows are numbered.
        make: the shard that holds the rows of a load within its actor.
        num_cpus: of each actor.
        num_gpus: of each actor.

    Raises:
        ray.exceptions.RayActorError: an actor died `STARTS` times in one call.
        ValueError: there are no loads, or what one returned is refused (see `ArrayShard`).
    """

    def __init__(
        self,
        loads: Sequence[Load],
        *,
        make: Callable[[ArrayLike, ArrayLike | None], Shard] = ArrayShard,
        num_cpus: float = 1.0,
        num_gpus: float = 0.0,
    ) -> None:
        import ray

        if not loads:
            raise ValueError("there are no shards: give at least one load")
        options = {"num_cpus": num_cpus, "num_gpus": num_gpus, "scheduling_strategy": "SPREAD"}
        self._actor: Any = ray.remote(_Holder).options(**options)
        self._starts = [(make, load) for load in loads]
        self._calls: list[Any] = []  # references to arguments of `assign`, since the last full one
        self._holders = [self._actor.remote(*start) for start in self._starts]
        self._ends = np.cumsum(list(self._each("count")))

    def count(self) -> int:
        """Number of rows of all shards."""
        return int(self._ends[-1])

    def sample(self, rows: NDArray[np.int64]) -> Rows:
        """The rows with these numbers, in the order asked for."""
        shard_of = np.searchsorted(self._ends, rows, side="right")
        starts = np.concatenate([[0], self._ends[:-1]])
        asked = [rows[shard_of == i] - start for i, start in enumerate(starts)]
        parts = list(self._each("sample", [(wanted,) for wanted in asked]))
        found = np.empty((len(rows), parts[0].shape[1]), np.float32)
        for i, part in enumerate(parts):
            found[shard_of == i] = part
        return found

    def assign(
        self, centroids: Rows, candidates: Candidates | None = None, basis: Basis | None = None
    ) -> ClusterSums:
        """Every row to its nearest centroid; totals of all shards."""
        import ray

        if candidates is None:
            self._calls = []  # what came before it no longer matters
        call = ray.put((centroids, candidates, basis))
        totals = reduce(add, self._each("assign", [(call,)] * len(self._holders)))
        self._calls.append(call)
        return totals

    def labels(self) -> NDArray[np.int32]:
        """The cluster of each row."""
        return np.concatenate(list(self._each("labels")))

    def close(self) -> None:
        """End the actors and free what they hold."""
        import ray

        for holder in self._holders:
            ray.kill(holder)
        self._calls = []

    def _each(self, method: str, arguments: Sequence[tuple[Any, ...]] | None = None) -> Iterator:
        """What a method returns on each shard, in order, all at work at once."""
        given = arguments or [()] * len(self._holders)
        pending = [
            getattr(holder, method).remote(*arg)
            for holder, arg in zip(self._holders, given, strict=True)
        ]
        for i, result in enumerate(pending):
            yield self._wait(i, result, method, given[i])

    def _wait(self, i: int, result: Any, method: str, arguments: tuple[Any, ...]) -> Any:
        import ray
        from ray.exceptions import RayActorError

        for start in range(STARTS):
            try:
                return ray.get(result)
            except RayActorError:
                if start == STARTS - 1:
                    raise
                log.warning("shard %d of %d was lost: starting it again", i, len(self._holders))
                self._holders[i] = self._actor.remote(*self._starts[i])
                for call in self._calls:
                    self._holders[i].assign.remote(call)
                result = getattr(self._holders[i], method).remote(*arguments)


class _Holder:
    """The actor: a shard, and calls by reference."""

    def __init__(self, make: Callable[..., Shard], load: Load) -> None:
        self._make, self._load = make, load

    @cached_property
    def _shard(self) -> Shard:
        # Not in the constructor: there Ray would hide a refused load behind a dead actor.
        return self._make(*self._load())

    def count(self) -> int:
        return self._shard.count()

    def sample(self, rows: NDArray[np.int64]) -> Rows:
        return self._shard.sample(rows)

    def assign(self, call: tuple[Rows, Candidates | None, Basis | None]) -> ClusterSums:
        return self._shard.assign(*call)

    def labels(self) -> NDArray[np.int32]:
        return self._shard.labels()
