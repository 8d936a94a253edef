"""A simulated cluster agrees with what can be worked out by hand."""

import math
import statistics

import pytest

from vitw_ray.errors import ConfigError
from vitw_ray.forecast.simulation import Cluster, distribution, simulate


@pytest.mark.parametrize(("nodes", "engines", "units"), [(1, 1, 7), (3, 2, 7), (4, 8, 1000)])
def test_without_losses_equal_units_take_the_closed_formula(nodes, engines, units):
    cluster = Cluster(nodes=nodes, engines_per_node=engines, units=units, unit_s=20, start_s=90)
    found = simulate(cluster)
    wall = 90 + math.ceil(units / (nodes * engines)) * 20
    assert found.wall_s == pytest.approx(wall)
    assert (found.repeated_s, found.losses) == (0, 0)
    assert found.gpu_hours == pytest.approx(wall * nodes * engines / 3600)


@pytest.mark.parametrize("seed", range(5))
def test_without_losses_another_node_never_makes_a_run_slower(seed):
    walls = [
        simulate(Cluster(nodes=n, units=200, unit_s=30, unit_spread=0.6, start_s=60), seed).wall_s
        for n in range(1, 20)
    ]
    assert walls == sorted(walls, reverse=True)


def test_with_losses_more_nodes_are_faster_on_average():
    def mean(nodes: int) -> float:
        cluster = Cluster(nodes=nodes, units=200, unit_s=60, hours_between_losses=0.2)
        return statistics.fmean(simulate(cluster, seed).wall_s for seed in range(40))

    means = [mean(nodes) for nodes in (1, 2, 4, 8, 16)]
    assert means == sorted(means, reverse=True)


@pytest.mark.parametrize("hours", [0.05, 0.5, 5.0])
@pytest.mark.parametrize("engines", [1, 4])
def test_the_work_that_is_repeated_is_what_an_exponential_life_makes_it(hours, engines):
    """A unit of u seconds that starts anew at each loss takes (e^(u/m) - 1) m seconds."""
    unit, mean = 60.0, 3600 * hours
    units = 4_000
    cluster = Cluster(
        nodes=4,
        engines_per_node=engines,
        units=units,
        unit_s=unit,
        start_s=30,
        hours_between_losses=hours,
    )
    expected = units * (math.expm1(unit / mean) * mean - unit)
    runs = [simulate(cluster, seed).repeated_s for seed in range(30)]
    error = statistics.stdev(runs) / math.sqrt(len(runs))
    assert statistics.fmean(runs) == pytest.approx(expected, abs=4 * error)


def test_nodes_are_lost_as_often_as_was_said_and_not_paid_while_they_are_away():
    cluster = Cluster(
        nodes=10, units=10_000, unit_s=60, hours_between_losses=1, minutes_to_replace=30
    )
    found = distribution(cluster, 10)
    wall_h = statistics.fmean(found.wall_s) / 3600
    there = 10 * wall_h / 1.5  # an hour there, half an hour away
    assert found.losses == pytest.approx(there, rel=0.1)
    assert found.gpu_hours == pytest.approx(there, rel=0.1)


def test_a_seed_gives_the_same_run_and_another_another():
    cluster = Cluster(nodes=3, units=500, unit_s=60, unit_spread=0.3, hours_between_losses=1)
    assert simulate(cluster, 1) == simulate(cluster, 1)
    assert simulate(cluster, 1) != simulate(cluster, 2)


def test_a_unit_that_would_never_end_is_refused():
    with pytest.raises(ConfigError, match="--hours-between-losses"):
        Cluster(nodes=1, units=1, unit_s=36_000, hours_between_losses=0.1)
