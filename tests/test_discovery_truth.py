"""The benchmark of discoveries in small: what is planted is found, and little else."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

from bench_discovery import one_seed, summary


def test_planted_pairs_are_found_and_at_most_5_percent_are_false():
    shares = 1 / np.arange(10, 310)
    shares *= 4 / shares.sum()
    seeds = [one_seed(seed, shares, 30_000, 40, (40, 10, 5)) for seed in range(2)]
    found = summary(seeds, quick=True)
    assert found.work["tree_planted_found"][0] > 100
    assert found.ratios["false_share_worst_level"] <= 0.05
    assert found.ratios["power_over_bonferroni"] > 1
    assert found.ratios["top_20_in_both_halves"] > 0.5
