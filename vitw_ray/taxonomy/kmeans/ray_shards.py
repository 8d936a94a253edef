"""k-means shards in Ray actors, on any number of nodes.

Each actor loads its own rows. Only the centroids (one copy per node) and the totals of each actor
are transferred, independent of the number of rows. A lost actor is restarted, loads its rows again,
and repeats the calls since the last search over all centroids; its state depends on nothing else
(see `shards`).
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

Load = Callable[[], tuple[Any, ArrayLike | None]]
"""Returns points (n, d), or what `make` takes for them, and weights (or None) of one shard. It is
pickled to the actor, and called again if the actor is lost; it must return the same data."""

STARTS = 3  # ours: an actor that dies this often in one call does not die by chance

log = logging.getLogger(__name__)


class RayShards:
    """Many shards, one per actor, that work in parallel behind the interface of one `Shard`.

    Args:
        loads: one per shard, in the order in which rows are numbered.
        make: creates the shard from loaded rows, inside the actor.
        num_cpus: of each actor.
        num_gpus: of each actor.
        memory: bytes that each actor asks of Ray; 0: none.

    Raises:
        ray.exceptions.RayActorError: an actor died `STARTS` times in one call.
        ValueError: there are no loads, or one returned invalid data (see `ArrayShard`).
    """

    def __init__(
        self,
        loads: Sequence[Load],
        *,
        make: Callable[[Any, ArrayLike | None], Shard] = ArrayShard,
        num_cpus: float = 1.0,
        num_gpus: float = 0.0,
        memory: int = 0,
    ) -> None:
        import ray

        if not loads:
            raise ValueError("there are no shards: give at least one load")
        options: dict[str, Any] = {"num_cpus": num_cpus, "num_gpus": num_gpus}
        options |= {"memory": memory} if memory else {}
        options["scheduling_strategy"] = "SPREAD"
        self._actor: Any = ray.remote(_Holder).options(**options)
        self._starts = [(make, load) for load in loads]
        self._calls: list[Any] = []  # arguments of `assign` calls since the last full search
        self._holders = [self._actor.remote(*start) for start in self._starts]
        self._ends = np.cumsum(list(self._each("count")))

    def count(self) -> int:
        """Total number of rows."""
        return int(self._ends[-1])

    def sample(self, rows: NDArray[np.int64]) -> Rows:
        """The rows at these indices, in the given order."""
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
        """Assign every row to its nearest centroid; return the totals of all shards."""
        import ray

        if candidates is None:
            self._calls = []  # a full search does not depend on earlier calls
        call = ray.put((centroids, candidates, basis))
        totals = reduce(add, self._each("assign", [(call,)] * len(self._holders)))
        self._calls.append(call)
        return totals

    def labels(self) -> NDArray[np.int32]:
        """The cluster of each row."""
        return np.concatenate(list(self._each("labels")))

    def run(
        self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]
    ) -> Iterator[Any]:
        """Call a function where each shard is, with its load and the arguments for it, in order.

        The loads are given as they are, not called.
        """
        yield from self._each("run", [(function, *given) for given in arguments])

    def close(self) -> None:
        """End the actors and free their memory."""
        import ray

        for holder in self._holders:
            ray.kill(holder)
        self._calls = []

    def _each(self, method: str, arguments: Sequence[tuple[Any, ...]] | None = None) -> Iterator:
        """Call a method on all shards in parallel; yield the results in order."""
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
                log.warning("shard %d of %d was lost: restarting it", i, len(self._holders))
                self._holders[i] = self._actor.remote(*self._starts[i])
                for call in self._calls:
                    self._holders[i].assign.remote(call)
                result = getattr(self._holders[i], method).remote(*arguments)


class _Holder:
    """The actor: holds one shard; arguments of `assign` are passed by object reference."""

    def __init__(self, make: Callable[..., Shard], load: Load) -> None:
        self._make, self._load = make, load

    @cached_property
    def _shard(self) -> Shard:
        # Not in the constructor: Ray would report invalid data there as a dead actor.
        return self._make(*self._load())

    def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(self._load, *arguments)

    def count(self) -> int:
        return self._shard.count()

    def sample(self, rows: NDArray[np.int64]) -> Rows:
        return self._shard.sample(rows)

    def assign(self, call: tuple[Rows, Candidates | None, Basis | None]) -> ClusterSums:
        return self._shard.assign(*call)

    def labels(self) -> NDArray[np.int32]:
        return self._shard.labels()
