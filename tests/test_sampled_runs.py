"""Samples, caps and date ranges in the real stage 1 are exact and independent of the layout."""

from collections import Counter
from dataclasses import replace
from datetime import date

import pyarrow.parquet as pq
import pytest
from whole_runs import plant_files, small_config

from vitw_ray.pipeline import run

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sampled")
    return plant_files(folder / "in", rows=240, files=3), folder


def read(planted, tmp_path, shuffle=None, rows_per_part=4096, **conversations):
    """Kept rows, and the number of rejected rows by reason."""
    inputs, folder = planted
    if shuffle is not None:
        inputs = plant_files(tmp_path / "in", rows=240, files=2, shuffle=shuffle)
    config = small_config(inputs, tmp_path / "out", folder / "secret", rows_per_part=rows_per_part)
    config = replace(config, conversations=replace(config.conversations, **conversations))
    result = run(config, announce=lambda line: None, until="conversations")
    files = result["tables"]["conversations"]["files"]
    kept = [row for f in files for row in pq.read_table(tmp_path / "out" / f).to_pylist()]
    assert result["totals"]["rows_read"] == len(kept) + result["totals"]["rejected"] == 240
    return kept, result["stages"][0]["rejected"]


def test_a_sample_has_exactly_its_size_and_does_not_depend_on_the_layout(
    planted, tmp_path, local_ray
):
    kept, rejected = read(planted, tmp_path / "a", sample=50)
    other, _ = read(planted, tmp_path / "b", sample=50, shuffle=7, rows_per_part=20)
    assert len(kept) == 50
    assert rejected == {"not_sampled": 190}
    assert [row["conversation_id"] for row in kept] == [row["conversation_id"] for row in other]


def test_a_balanced_sample_draws_the_models_evenly(planted, tmp_path, local_ray):
    kept, _ = read(planted, tmp_path, sample=30, balance_assistants=True)
    per_model = Counter(row["model"] for row in kept)
    assert sum(per_model.values()) == 30
    assert max(per_model.values()) - min(per_model.values()) <= 1


def test_no_account_has_more_conversations_than_the_cap(planted, tmp_path, local_ray):
    everything, _ = read(planted, tmp_path / "all")
    kept, rejected = read(planted, tmp_path / "capped", max_per_account=1)
    accounts = Counter(row["account_id"] for row in kept if row["account_id"])
    assert max(accounts.values()) == 1
    assert set(accounts) == {row["account_id"] for row in everything if row["account_id"]}
    assert rejected == {"over_account_cap": 240 - len(kept)}


def test_a_date_range_includes_both_days_and_rejects_the_others(planted, tmp_path, local_ray):
    everything, _ = read(planted, tmp_path / "all")
    days = sorted({row["created_at"].date() for row in everything})
    first, last = days[1], days[3]
    kept, rejected = read(planted, tmp_path / "few", created_from=first, created_until=last)
    wanted = [row for row in everything if first <= row["created_at"].date() <= last]
    assert {r["conversation_id"] for r in kept} == {r["conversation_id"] for r in wanted}
    assert rejected == {"outside_dates": 240 - len(wanted)}
    assert isinstance(first, date)
