"""What-if: a run on a cluster whose nodes come and go, simulated unit by unit.

Each engine takes the next unit of work when it is free. A node is lost after a time that is drawn
from an exponential distribution, as spot machines are; the units that its engines work on go back
to the head of the queue and are read again from their start, and another node takes its place after
a while. Each node draws from a sequence of its own, so that one more node changes nothing about the
others.
"""

import heapq
import math
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from vitw_ray.errors import ConfigError
from vitw_ray.setting_checks import at_least

QUANTILES = (0.05, 0.5, 0.95)
MOST_LOSSES = 200  # ours: of one unit; beyond, the run would hardly end


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A cluster, and the work of a run.

    Attributes:
        nodes: at once.
        engines_per_node: readers on each.
        units: of work, in all.
        unit_s: mean seconds of an engine for a unit.
        unit_spread: standard deviation over mean of a unit's seconds.
        start_s: until an engine of a new node is ready.
        hours_between_losses: of a node, on average; None: nodes are never lost.
        minutes_to_replace: until another node is there.
        gpus_per_engine: for GPU hours.
    """

    nodes: int
    engines_per_node: int = 1
    units: int = 1
    unit_s: float = 1.0
    unit_spread: float = 0.0
    start_s: float = 0.0
    hours_between_losses: float | None = None
    minutes_to_replace: float = 5.0
    gpus_per_engine: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what cannot work, by the name of the flag."""
        at_least("nodes", self.nodes, 1)
        at_least("gpus_per_node", self.engines_per_node, 1)
        at_least("hours_between_losses", self.hours_between_losses, 1e-6)
        at_least("minutes_to_replace", self.minutes_to_replace, 0)
        if self.hours_between_losses is not None:
            expected = self.unit_s / (3600 * self.hours_between_losses)
            if expected > math.log(MOST_LOSSES):
                raise ConfigError(
                    f"--hours-between-losses is {self.hours_between_losses:g}, and a unit takes"
                    f" {self.unit_s / 3600:.2g} h: it would hardly ever be read to its end",
                    "lower --unit-rows",
                )


@dataclass(frozen=True)
class Outcome:
    """One simulated run.

    Attributes:
        wall_s: seconds to its end.
        gpu_hours: that are paid.
        repeated_s: engine seconds of work that was lost and done again.
        losses: of nodes.
    """

    wall_s: float
    gpu_hours: float
    repeated_s: float
    losses: int


@dataclass(frozen=True)
class Distribution:
    """Several simulated runs: quantiles of the wall time at `QUANTILES`, means of the rest."""

    wall_s: tuple[float, ...]
    gpu_hours: float
    repeated_share: float
    losses: float
    simulations: int


class _Node:
    """When a node is there: one life after the other, drawn as they are needed."""

    def __init__(self, cluster: Cluster, draws: random.Random) -> None:
        self._cluster, self._draws = cluster, draws
        self.lives = [(0.0, self._lost(0.0))]

    def _lost(self, start: float) -> float:
        hours = self._cluster.hours_between_losses
        return math.inf if hours is None else start + self._draws.expovariate(1 / (3600 * hours))

    def ready(self, now: float) -> tuple[float, float]:
        """When an engine can work from `now` on, and when the node is lost after that."""
        while True:
            start, lost = self.lives[-1]
            ready = max(now, start + self._cluster.start_s)
            if ready < lost:
                return ready, lost
            again = lost + 60 * self._cluster.minutes_to_replace
            self.lives.append((again, self._lost(again)))

    def paid_s(self, end: float) -> float:
        """Seconds until `end` during which it was there."""
        return sum(min(lost, end) - start for start, lost in self.lives if start < end)

    def losses(self, end: float) -> int:
        """Until `end`."""
        return sum(lost < end for _, lost in self.lives)


def simulate(cluster: Cluster, seed: int = 0) -> Outcome:
    """Simulate one run."""
    draws = random.Random(f"{seed} units")
    queue = deque(_unit_seconds(cluster, draws) for _ in range(cluster.units))
    nodes = [_Node(cluster, random.Random(f"{seed} node {n}")) for n in range(cluster.nodes)]
    order = count()
    # What happens next: an engine of a node is free, or a unit comes back from a lost node.
    events: list[tuple[float, int, int | None, float]] = [
        (0.0, next(order), n, 0.0)
        for n in range(cluster.nodes)
        for _ in range(cluster.engines_per_node)
    ]
    idle: deque[int] = deque()
    left, end, repeated = cluster.units, 0.0, 0.0
    while left:
        now, _, node, seconds = heapq.heappop(events)
        if node is None:
            queue.appendleft(seconds)
            if idle:
                heapq.heappush(events, (now, next(order), idle.popleft(), 0.0))
            continue
        ready, lost = nodes[node].ready(now)
        if ready > now:
            heapq.heappush(events, (ready, next(order), node, 0.0))
            continue
        if not queue:
            idle.append(node)
            continue
        seconds = queue.popleft()
        done = now + seconds
        if done <= lost:
            left, end = left - 1, max(end, done)
        else:
            repeated += lost - now
            heapq.heappush(events, (lost, next(order), None, seconds))
        heapq.heappush(events, (min(done, lost), next(order), node, 0.0))
    paid = sum(node.paid_s(end) for node in nodes)
    return Outcome(
        wall_s=end,
        gpu_hours=paid / 3600 * cluster.engines_per_node * cluster.gpus_per_engine,
        repeated_s=repeated,
        losses=sum(node.losses(end) for node in nodes),
    )


def _unit_seconds(cluster: Cluster, draws: random.Random) -> float:
    if not cluster.unit_spread:
        return cluster.unit_s
    return cluster.unit_s * max(0.1, draws.gauss(1.0, cluster.unit_spread))


def distribution(cluster: Cluster, simulations: int, seed: int = 0) -> Distribution:
    """Simulate several runs, with seeds one after the other."""
    found = [simulate(cluster, seed + n) for n in range(simulations)]
    work = cluster.units * cluster.unit_s
    return Distribution(
        wall_s=_quantiles([one.wall_s for one in found]),
        gpu_hours=sum(one.gpu_hours for one in found) / simulations,
        repeated_share=sum(one.repeated_s for one in found) / simulations / work,
        losses=sum(one.losses for one in found) / simulations,
        simulations=simulations,
    )


def _quantiles(values: Sequence[float]) -> tuple[float, ...]:
    ordered = sorted(values)
    return tuple(ordered[min(len(ordered) - 1, int(q * len(ordered)))] for q in QUANTILES)
