"""One percent more conversations beside a frozen tree: all ids and names stay, in every facet."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from whole_runs import plant_files, small_config

from vitw_ray.opened_run import open_run
from vitw_ray.pipeline import run

ROOT = Path(__file__).resolve().parents[1]

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def clusters(address: Path) -> dict[str, str]:
    rows = open_run(address).table("taxonomy").arrow.to_pylist()
    return {row["cluster_id"]: row["name"] for row in rows if row["level"] > 0}


def test_added_rows_beside_a_frozen_tree_change_no_id_and_no_name(tmp_path, local_ray):
    rows = 400
    inputs = plant_files(tmp_path / "input", rows - 4, files=1)
    config = small_config(inputs, tmp_path / "run", tmp_path / "secret")
    run(config, announce=lambda _: None)
    before = clusters(tmp_path / "run")
    shutil.copytree(tmp_path / "run", tmp_path / "same")
    more = (*inputs, *plant_files(tmp_path / "more", rows, files=1))
    for output, frozen in (("same", "same"), ("other", "run")):
        again = replace(
            config,
            conversations=replace(config.conversations, input=more),
            taxonomy=replace(config.taxonomy, taxonomy_from=str(tmp_path / frozen)),
            execution=replace(config.execution, output=str(tmp_path / output)),
        )
        made = run(again, announce=lambda _: None)
        after = clusters(tmp_path / output)
        assert before.items() <= after.items()
        assert not any("Unplaced" not in after[one] for one in after.keys() - before.keys())
        (found,) = (stage for stage in made["stages"] if stage["name"] == "taxonomy")
        drift = found["details"]["frozen"]["drift"]
        assert set(drift) == {"ai_values", "human_values", "tasks"}
        assert not any(one["alarm"] for one in drift.values())
        assert run(again, announce=lambda _: None)["stages"] == made["stages"]  # nothing is redone
        command = [sys.executable, str(ROOT / "jobs" / "check.py"), str(tmp_path / output)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert json.loads(done.stdout.splitlines()[-1])["failed"] == []
        assert "Clusters of an earlier run" in (tmp_path / output / "report.html").read_text()
