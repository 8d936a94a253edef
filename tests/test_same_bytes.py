"""The same input gives the same page and the same release, whenever and wherever it is read."""

import json
import re
from pathlib import Path

import pytest
from whole_runs import plant_files, run_quietly, small_config

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def twice(tmp_path_factory, local_ray):
    """Two runs of the same input with the same secret, one slower than the other."""
    folder = tmp_path_factory.mktemp("twice")
    inputs = plant_files(folder / "in", rows=120)
    configs = [
        small_config(
            inputs, folder / name, folder / "secret", actors=actors, simulated_seconds_per_row=s
        )
        for name, actors, s in (("one", 1, 0.0), ("two", 2, 0.01))
    ]
    return [(Path(config.execution.output), run_quietly(config)) for config in configs]


def released(output: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in output.glob("7_release-*/*.*")}


def test_the_page_has_the_same_bytes(twice):
    (one, first), (two, second) = twice
    assert (one / "report.html").read_bytes() == (two / "report.html").read_bytes()
    assert (one / first["report"]).read_bytes() == (two / second["report"]).read_bytes()


def test_every_file_of_the_release_has_the_same_bytes(twice):
    (one, _), (two, _) = twice
    first, second = released(one), released(two)
    for files in (first, second):
        files.pop("_SUCCESS.json")  # says when
    assert first == second
    assert {"README.md", "values_frequencies.csv", "values_tree.csv"} <= first.keys()


def test_run_json_says_when_each_stage_finished_and_how_long_it_took(twice):
    for output, _ in twice:
        for stage in json.loads((output / "run.json").read_text())["stages"]:
            assert stage["seconds"] > 0
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", stage["finished"])


def test_the_page_shows_the_days_that_the_conversations_cover(twice):
    ((output, result), _) = twice
    first, last = result["stages"][2]["details"]["days"]
    assert f"{first} to {last}" in (output / "report.html").read_text()
