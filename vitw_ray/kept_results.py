"""Results of finished units, kept while a stage is not finished, so that a next attempt goes on.

A worker keeps the result of a unit once the files that it names are written. The next attempt of
the same stage (same key, so same code, settings and input) takes it in place of doing the unit
again, if those files are still there. A kept result is a pickle behind an HMAC with the run's
secret: what is damaged, or was not written by this run, is passed over, and the unit done again.
"""

import pickle
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from vitw_ray import cluster
from vitw_ray.keys import Keyed
from vitw_ray.storage import PRIVATE, Storage

_MAC_BYTES = 32
_THREADS = 16  # ours: reading a small file is mostly storage latency
Result = TypeVar("Result")
Names = Callable[[Any], Iterable[str]]
"""The files that a result names."""


@dataclass(frozen=True)
class KeptResults:
    """The kept results of one stage. Small, and can be sent to workers."""

    storage: Storage
    stage: str
    """Name of the stage's folder."""
    keyed: Keyed

    def stream(
        self,
        step: str,
        units: Sequence[cluster.Unit],
        function: Callable[[cluster.Unit], Any],
        files: Names,
        anew: Collection[int] = (),
    ) -> Iterator[Any]:
        """As `cluster.stream`: first what is kept, then what is left to do.

        Args:
            step: of the stage; the units of one step differ.
            units: of work.
            function: done for each unit.
            files: that a result names, by path.
            anew: positions of units that are done again in any case.
        """
        paths = [self._path(step, unit) for unit in units]
        left = list[cluster.Unit]()
        results = zip(units, self._found(paths, files), strict=True)
        for number, (unit, found) in enumerate(results):
            if found is None or number in anew:
                left.append(unit)
            else:
                yield found[0]
        yield from cluster.stream(left, _Keeping(self, step, function))

    def once(self, step: str, function: Callable[[], Result], files: Names) -> Result:
        """The result of a step that the driver does, kept or new."""
        path = self._path(step, {})
        found = self._found([path], files)[0]
        if found is not None:
            return found[0]
        result = function()
        self.keep(path, result)
        return result

    def has(self, step: str, files: Names) -> bool:
        """Whether the result of a step of the driver is kept."""
        return self._found([self._path(step, {})], files)[0] is not None

    def keep(self, path: str, result: Any) -> None:
        """Write a result."""
        data = pickle.dumps(result, protocol=pickle.HIGHEST_PROTOCOL)
        self.storage.write(path, self._mac(path, data) + data)

    def _path(self, step: str, unit: cluster.Unit) -> str:
        name = self.keyed.hex("unit", repr(sorted(unit.items())).encode())
        return f"{PRIVATE}/{self.stage}/kept/{step}/{name}"

    def _found(self, paths: Sequence[str], files: Names) -> list[tuple[Any] | None]:
        """Each result in a tuple, or None."""
        there = {stat.path for stat in self.storage.list(f"{PRIVATE}/{self.stage}")}
        there |= {stat.path for stat in self.storage.list(self.stage)}

        def read(path: str) -> tuple[Any] | None:
            data = self.storage.read(path) if path in there else b""
            if not data or self._mac(path, data[_MAC_BYTES:]) != data[:_MAC_BYTES]:
                return None
            result = pickle.loads(data[_MAC_BYTES:])  # trusted: its HMAC is of this run
            return (result,) if there.issuperset(files(result)) else None

        with ThreadPoolExecutor(_THREADS) as pool:
            return list(pool.map(read, paths))

    def _mac(self, path: str, data: bytes) -> bytes:
        return self.keyed.digest("kept", path.encode() + b"\0" + data, _MAC_BYTES)


class _Keeping:
    """Does a unit and keeps its result."""

    def __init__(
        self, kept: KeptResults, step: str, function: Callable[[cluster.Unit], Any]
    ) -> None:
        self._kept, self._step, self._function = kept, step, function

    def __call__(self, unit: cluster.Unit) -> Any:
        result = self._function(unit)
        self._kept.keep(self._kept._path(self._step, unit), result)
        return result
