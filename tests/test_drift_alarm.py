"""The drift alarm: rarely false however often it is looked at, quick when something has changed."""

from collections import Counter

import numpy as np
import pytest

from vitw_ray.known_clusters import frozen_lines
from vitw_ray.taxonomy.frozen.drift import ALPHA, Interval, interval_of, watch
from vitw_ray.taxonomy.frozen.watching import EVER, NEVER, Cells, LabelCodes, shares_of

BEFORE = (0.40, 0.25, 0.15, 0.10, 0.07, 0.03)
UNKNOWN = 5
PATHS = 2_000


def accounts(rng: np.random.Generator, count: int, shares=BEFORE) -> np.ndarray:
    """Accounts with tastes of their own and 1 to 11 mentions each; their mean is `shares`."""
    tastes = rng.dirichlet(3 * np.array(shares), count)
    mentions = rng.multinomial(rng.integers(1, 12, count), tastes)
    return mentions / mentions.sum(axis=1, keepdims=True)


@pytest.mark.slow
def test_without_a_change_the_alarm_is_rarely_raised_though_it_is_looked_at_all_the_time():
    rng = np.random.default_rng(1)
    false = 0
    for _ in range(PATHS):
        before = interval_of(accounts(rng, 300))
        false += watch(accounts(rng, 300), before, only_above=UNKNOWN).crossed is not None
    assert false / PATHS <= ALPHA


def test_the_bets_keep_their_promise_against_the_true_means_too():
    """Without the room of the intervals, which makes the whole alarm cautious."""
    rng, means = np.random.default_rng(2), np.array(BEFORE)
    truth = Interval(means, means, means)
    crossed = sum(watch(accounts(rng, 300), truth).crossed is not None for _ in range(PATHS))
    assert 0 < crossed / PATHS <= ALPHA / 2


def test_a_rise_of_the_unknown_from_three_to_eight_percent_is_found_within_a_thousand_accounts():
    rng, after = np.random.default_rng(3), (0.35, 0.25, 0.15, 0.10, 0.07, 0.08)
    found = [
        watch(accounts(rng, 1000, after), interval_of(accounts(rng, 2000)), only_above=UNKNOWN)
        for _ in range(40)
    ]
    assert sum(one.crossed is not None for one in found) >= 38
    assert sum(one.moved[UNKNOWN] == 1 for one in found) >= 38
    assert not any((one.moved[1:UNKNOWN] != 0).any() for one in found)


def test_fewer_unknown_mentions_are_no_drift():
    rng = np.random.default_rng(4)
    before = interval_of(accounts(rng, 4000, (0.6, 0.4)))
    known = np.tile([1.0, 0.0], (500, 1))
    assert watch(known, Interval(before.mean, before.low, np.ones(2)), only_above=1).moved[1] == 0


def test_the_intervals_hold_the_true_shares_of_all_cells():
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(300):
        found = interval_of(accounts(rng, 200))
        held += bool(((found.low <= BEFORE) & (np.array(BEFORE) <= found.high)).all())
    assert held / 300 >= 1 - ALPHA / 2


@pytest.mark.parametrize("count", [0, 1])
def test_a_frozen_run_without_accounts_raises_no_alarm(count):
    before = interval_of(accounts(np.random.default_rng(6), count))
    assert watch(accounts(np.random.default_rng(7), 500), before).crossed is None


def test_nothing_seen_is_no_evidence():
    found = watch(np.empty((0, 6)), interval_of(accounts(np.random.default_rng(8), 50)))
    assert (found.e_value, found.crossed) == (1.0, None)


CELLS = Cells(
    ids={"ai_values": ["top one", "top two"], "tasks": ["only"]},
    labels={
        "ai_values": LabelCodes(
            {"care": 0, "craft": 1}, np.array([0, 1]), np.array([2, EVER], np.int64)
        )
    },
    task_keys=np.empty(0, "S16"),
    task_cells=np.empty(0, np.int64),
)


def test_an_account_is_one_observation_however_much_it_says():
    series = {
        9: (3, Counter({("ai_values", 1): 1000})),
        7: (3, Counter({("ai_values", 0): 1, ("ai_values", 1): 1})),
        8: (2, Counter({("ai_values", NEVER): 1, ("tasks", 0): 5})),
    }
    shares, months = shares_of(series, CELLS, "ai_values")
    assert months == [2, 3, 3]
    assert shares.tolist() == [[0, 0, 1], [0.5, 0.5, 0], [0, 1, 0]]
    assert shares_of(series, CELLS, "tasks")[0].tolist() == [[1, 0]]


def test_a_label_that_one_account_alone_keeps_is_unknown_to_that_account():
    series = {1: (0, Counter({("ai_values", 0): 3})), 2: (0, Counter({("ai_values", 0): 2}))}
    assert shares_of(series, CELLS, "ai_values")[0].tolist() == [[0, 0, 1], [1, 0, 0]]


def test_the_alarm_is_told_in_words():
    said = {
        "accounts": 900, "e_value": 61.2, "alarm_from": 40.0, "alarm": True,
        "first_crossed": {"accounts": 310, "month": "2026-03"},
        "unknown": {"before": 0.03, "now": 0.08, "moved": 1},
        "moved": [{"cluster_id": "x", "name": "Care", "before": 0.4, "now": 0.3}],
        "moved_and_not_shown": 0,
    }  # fmt: skip
    placed = {"unplaced_share": 0.02, "unplaced": {"mentions": 40}}
    lines = frozen_lines({"facets": {"ai_values": placed}, "drift": {"ai_values": said}})
    assert "2.0% of mentions (40)" in lines[0]
    assert "first after 310 accounts, in 2026-03" in lines[1]
    assert "rose from 3.0% to 8.0%" in lines[2]
    assert "the share of Care went from 40.0% to 30.0%" in lines[3]
    calm = said | {"alarm": False, "e_value": 1.0}
    assert "no drift found in 900 accounts" in frozen_lines({"facets": {}, "drift": {"t": calm}})[0]
    assert frozen_lines(None) == []
