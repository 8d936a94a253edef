"""Planted conversations tell little of one more person, and much where nothing is protected."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

import bench_planting as bench
import numpy as np

from vitw_ray.evaluation import planting
from vitw_ray.evaluation.planting import Planting, points_above_guessing, population

FEW = Planting(4, 14)


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(planting, "REHEARSALS", 60)
    monkeypatch.setattr(planting, "BACKGROUND", 100)


def test_the_coin_changes_one_conversation_and_nothing_else(short):
    people = [population(FEW, coin, np.random.default_rng(1)) for coin in (False, True)]
    for facet, labels in planting.ATTACKERS.items():
        without, with_it = (one.facets[facet] for one in people)
        assert with_it.rows.size - without.rows.size == len(labels)
        assert set(with_it.rows[~np.isin(with_it.rows, without.rows)]) <= {100 + 50}
    assert people[0].accounts.tolist() == people[1].accounts.tolist()


def test_exact_counts_give_the_victim_away(short):
    assert points_above_guessing(bench.exact(0), FEW, 20) == 50
    assert points_above_guessing(bench.exact(15), FEW, 20) == 50


def test_four_accounts_learn_nothing_from_a_threshold_release(short):
    people = population(FEW, True, np.random.default_rng(1))
    planted = {name for names in planting.ATTACKERS.values() for name in names}
    assert not planted & {name for _, name in bench.threshold_release(people, 0)}


@pytest.mark.slow
def test_fifty_accounts_learn_little_from_a_release():
    pytest.importorskip("opendp")
    strict = bench.strict_release()
    assert points_above_guessing(strict, Planting(50, 50), 200) <= 10
    for each in (14, 50):
        assert points_above_guessing(bench.threshold_release, Planting(50, each), 200) <= 18
