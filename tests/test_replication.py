"""Half-split replication of differences between assistants."""

import numpy as np
import pytest

from vitw_ray.statistics.compared_groups import groups_of_assistants
from vitw_ray.statistics.contingency import Axis, CodedFacet, GroupCounts, deduplicate
from vitw_ray.statistics.replication import groups_in_halves, replicated_differences

ROWS, LABELS, TASKS = 8_000, 30, 4
LABEL = Axis("ai_values", [f"value {n}" for n in range(LABELS)])


def block(seed, apart):
    """Two assistants; of the first ten values the first shows more by `apart`."""
    rng = np.random.default_rng(seed)
    model, task = rng.integers(0, 2, ROWS), rng.integers(0, TASKS, ROWS)
    rate = np.full((ROWS, LABELS), 0.1)
    rate[:, :10] += apart * (model == 0)[:, None]
    values = CodedFacet(*deduplicate(*np.nonzero(rng.random((ROWS, LABELS)) < rate)), LABELS)
    groups = CodedFacet(np.arange(ROWS), (model * TASKS + task).astype(np.int32), 2 * TASKS)
    return values, groups, rng.random(ROWS) < 0.5


def replicated(values, columns, is_in):
    whole, half = groups_in_halves(values, columns, is_in)
    groups = groups_of_assistants(whole.columns, TASKS, ["first", "second"])
    return replicated_differences(whole, half, TASKS, groups, LABEL)


def test_both_halves_find_the_differences_that_are_planted():
    found = replicated(*block(0, 0.1))
    assert found["in_both"] >= 10
    assert found["listed"] < 15


def test_differences_that_are_not_there_do_not_come_again():
    found = [replicated(*block(seed, 0.0)) for seed in range(5)]
    assert sum(one["in_both"] for one in found) <= 1


def test_a_difference_that_turns_is_not_the_same_in_both_halves():
    values, groups, is_in = block(1, 0.1)
    turned = np.where(is_in, groups.codes, (groups.codes + TASKS) % (2 * TASKS))
    found = replicated(values, CodedFacet(groups.rows, turned.astype(np.int32), 2 * TASKS), is_in)
    assert found["listed"] >= 10
    assert found["in_both"] == 0


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_counting_in_halves_gives_the_same_whole(share):
    values, groups, _ = block(2, 0.1)
    is_in = np.random.default_rng(3).random(ROWS) < share
    whole, half = groups_in_halves(values, groups, is_in)
    plain = GroupCounts.of(values, groups, ROWS)
    for name in ("columns", "both"):
        found, wanted = getattr(whole, name), getattr(plain, name)
        assert np.array_equal(found.keys, wanted.keys)
        assert np.array_equal(found.counts, wanted.counts)
    assert half.columns.counts.sum() == is_in.sum()
