"""Rows that meet through buckets, written by workers of Ray, give the tables of direct reads."""

import pytest
from whole_runs import plant_files, run_quietly, small_config, table_bytes

from vitw_ray import hash_buckets

pytestmark = pytest.mark.ray


@pytest.mark.slow
def test_a_run_that_merges_its_runs_has_the_bytes_of_one_that_does_not(
    tmp_path, local_ray, monkeypatch
):
    inputs = plant_files(tmp_path / "in", rows=120)
    for name, direct in (("one", hash_buckets.DIRECT_RUNS), ("two", 0)):
        monkeypatch.setattr(hash_buckets, "DIRECT_RUNS", direct)
        config = small_config(inputs, tmp_path / name, tmp_path / "secret", rows_per_part=20)
        run_quietly(config, until="labels")
    one, two = (table_bytes(tmp_path / name) for name in ("one", "two"))
    assert one == two
    assert len(one["conversations"]) == 8
