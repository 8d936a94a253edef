"""What is read for each row is the same at any size, in every place where rows meet by hash."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

import bench_sort_growth as growth
from bench_sort_growth import compare_openings, count_pairs, every_run, pair_prompts, sort_rows

from vitw_ray.storage import Storage


def at_two_sizes(monkeypatch, tmp_path, measure):
    monkeypatch.setattr(growth, "RUN_ROWS", 32)
    monkeypatch.setattr(growth, "PART_ROWS", 16)
    found = []
    for rows in (32 * 40, 32 * 160):
        with growth.in_this_process():
            found.append(measure(Storage(str(tmp_path / str(rows))), rows))
    return found


@pytest.mark.parametrize(
    "measure",
    [pytest.param(sort_rows, marks=pytest.mark.slow), compare_openings, count_pairs, pair_prompts],
)
def test_opens_bytes_and_rows_read_per_row_do_not_grow(monkeypatch, tmp_path, measure):
    small, large = at_two_sizes(monkeypatch, tmp_path, measure)
    assert large.opens <= 1.1 * small.opens
    assert large.bytes <= 1.1 * small.bytes
    assert large.rows <= 1.1 * small.rows
    assert large.rows <= 2.0


def test_the_count_sees_growth_where_each_range_is_read_from_every_run(monkeypatch, tmp_path):
    small, large = at_two_sizes(monkeypatch, tmp_path, every_run)
    assert large.opens > 3 * small.opens


def test_a_hundred_million_rows_open_few_files():
    for rows in (10_000_000, 100_000_000):
        opens, before = growth.computed(rows)
        assert opens <= rows / 200
        assert before > 50 * opens
