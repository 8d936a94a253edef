"""Log odds with an informative prior, and lists that two halves of the accounts make."""

import math

import numpy as np
import pytest

from vitw_ray.statistics.contingency import CodedFacet, Counts
from vitw_ray.statistics.replication import count_half, replicated, strongest
from vitw_ray.statistics.shrunken import PRIOR, log_odds


def of(observed, row, column, n=100_000):
    return [float(x[0]) for x in log_odds(*(np.array([x]) for x in (observed, row, column)), n)]


def test_two_observed_of_0_03_expected_have_no_place_in_a_ranking():
    assert all(math.isnan(x) for x in of(2, 3, 1_000))


def test_few_observed_are_drawn_to_0_and_many_are_not():
    middle, low, _ = of(6, 8, 1_000)
    assert low < middle < 2 < math.log(6 / 994 / (2 / 98_998))
    many = of(6_000, 8_000, 20_000)[0]
    assert many == pytest.approx(math.log(6_000 / 14_000 / (2_000 / 78_000)), abs=0.01)


def test_the_log_odds_are_those_of_the_counts_and_the_prior_added():
    middle, low, high = of(30, 200, 1_000)
    without = PRIOR * (100_000 / 200 - 1)
    cells = [30 + PRIOR, 970 + without, 170 + PRIOR, 98_830 + without]
    assert middle == pytest.approx(math.log(cells[0] * cells[3] / cells[1] / cells[2]))
    assert high - middle == pytest.approx(1.959964 * math.sqrt(sum(1 / x for x in cells)))
    assert middle - low == pytest.approx(high - middle)


def test_as_many_as_expected_are_0():
    assert of(20, 2_000, 1_000)[0] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("margins", [(0, 0, 10), (10, 100_000, 10), (0, 10, 0)])
def test_an_empty_margin_has_no_log_odds(margins):
    assert all(math.isnan(x) for x in of(*margins))


def block(seed: int) -> tuple[CodedFacet, CodedFacet, np.ndarray]:
    """Values 0 to 4 each go with the task of the same number; the others with none."""
    rng = np.random.default_rng(seed)
    task = rng.integers(0, 8, 4_000)
    shares = np.full((8, 20), 0.05)
    shares[np.arange(5), np.arange(5)] = 0.4
    rows, codes = np.nonzero(rng.random((4_000, 20)) < shares[task])
    tasks = CodedFacet(np.arange(4_000), task.astype(np.int32), 8)
    return CodedFacet(rows, codes.astype(np.int32), 20), tasks, rng.random(4_000) < 0.5


def test_both_halves_find_what_is_planted():
    values, tasks, is_in = block(0)
    whole, half = Counts.of(values, tasks, 4_000), count_half(values, tasks, is_in)
    planted = {value * 8 + value for value in range(5)}
    assert set(strongest(whole)[:5].tolist()) == planted
    assert half.conversations == is_in.sum()
    found = replicated(whole, half)
    assert found["listed"] >= found["in_both"] >= 5


def test_halves_add_up_to_the_whole():
    values, tasks, is_in = block(1)
    whole = Counts.of(values, tasks, 4_000)
    both = count_half(values, tasks, is_in).add(count_half(values, tasks, ~is_in))
    assert both.conversations == whole.conversations
    assert np.array_equal(both.both, whole.both)


def test_halves_without_any_strong_pair_list_none():
    nothing = Counts.zero(3, 2)
    assert replicated(nothing, nothing) == {"listed": 0, "in_both": 0}
