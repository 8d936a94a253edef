"""Whole runs without Ray: units run in this process, those of actors in threads."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from vitw_ray import cluster


def run_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the functions of `cluster` work here from now on."""

    def through_actors(
        units: Any, actor: Any, *, arguments: Any, concurrent_units: int, **_: Any
    ) -> Iterator[Any]:
        if units:
            made = actor(**arguments)
            with ThreadPoolExecutor(concurrent_units) as pool:
                yield from pool.map(made, units)

    for name, value in {
        "stream": lambda units, function: map(function, units),
        "stream_through_actors": through_actors,
        "connect": lambda _: None,
        "disconnect": lambda: None,
        "node_resources": lambda: [{"CPU": 1.0, "memory": 2.0**36}],
        "Tally": lambda: None,
    }.items():
        monkeypatch.setattr(cluster, name, value)
