"""What the plan says of stages that are finished, by this version or another one."""

import json

import pytest
from whole_runs import plant_files, run_quietly, small_config

import vitw_ray
from vitw_ray.pipeline import STAGES, run
from vitw_ray.planning import Planned


@pytest.mark.parametrize(
    ("made_by", "state"),
    [
        (None, "to do"),
        (vitw_ray.__version__, "done"),
        ("0.0.9", "done by vitw_ray 0.0.9"),
    ],
)
def test_a_stage_is_done_by_the_version_that_finished_it(made_by, state):
    assert Planned(STAGES[0], "1_conversations-0", made_by).state == state


@pytest.mark.ray
def test_a_folder_of_another_version_is_planned_as_such_and_kept(tmp_path, local_ray):
    inputs = plant_files(tmp_path / "in", rows=60, files=1)
    config = small_config(inputs, tmp_path / "out", tmp_path / "secret")
    result = run_quietly(config)
    for stage in result["stages"]:
        file = tmp_path / "out" / stage["folder"] / "_SUCCESS.json"
        manifest = json.loads(file.read_text())
        manifest["versions"]["vitw_ray"] = "0.0.9"
        del manifest["finished"]  # which that version did not note
        file.write_text(json.dumps(manifest))
    lines: list[str] = []
    again = run(config, announce=lines.append)
    planned = zip(lines[-len(STAGES) :], result["stages"], strict=True)
    states = [line.split(stage["folder"])[1].strip() for line, stage in planned]
    assert states == ["done by vitw_ray 0.0.9"] * len(STAGES)
    assert [stage["key"] for stage in again["stages"]] == [s["key"] for s in result["stages"]]
