"""A finished run whose `private/` was deleted: what still works, and how the rest is refused."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from whole_runs import plant_files, run_quietly, small_config

from vitw_ray.comparison.compare import compare_assistants
from vitw_ray.errors import OutputError

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def without_private(tmp_path_factory, local_ray):
    """The settings of a finished run, and its result."""
    folder = tmp_path_factory.mktemp("public")
    inputs = plant_files(folder / "in", rows=60, files=1)
    config = small_config(inputs, folder / "out", folder / "secret")
    result = run_quietly(config)
    shutil.rmtree(folder / "out" / "private")
    return config, result


def test_the_same_command_finds_everything_done(without_private):
    config, result = without_private
    assert run_quietly(config) == result
    assert (Path(config.execution.output) / "report.html").exists()


@pytest.mark.parametrize(
    ("stage", "changes", "table"),
    [
        ("extraction", {"transcript_tokens": 99}, "conversations"),
        ("labels", {"min_conversations": 4}, "extractions"),
        ("taxonomy", {"taxonomy_seed": 1}, "labels"),
        ("statistics", {"alpha": 0.01}, "labels"),
        ("release", {"release_name": "other"}, "labels"),
    ],
)
def test_a_stage_that_needs_a_private_table_names_it_and_what_still_works(
    without_private, stage, changes, table
):
    config, _ = without_private
    changed = replace(config, **{stage: replace(getattr(config, stage), **changes)})
    with pytest.raises(OutputError) as refused:
        run_quietly(changed)
    assert re.search(rf"needs .*\b{table}\b.*, and private/ was purged", refused.value.problem)
    assert "vitw report needs none of it" in refused.value.fix


def test_a_longer_page_needs_no_private_file_and_leaves_the_release_as_it_is(without_private):
    config, result = without_private
    longer = run_quietly(replace(config, report=replace(config.report, top=3)))
    folders = [{s["name"]: s["folder"] for s in run["stages"]} for run in (result, longer)]
    assert {name for name in folders[0] if folders[0][name] != folders[1][name]} == {"report"}


def test_models_cannot_be_compared_again_and_the_table_is_named(without_private):
    config, result = without_private
    with pytest.raises(OutputError, match="the table labels is needed"):
        list(compare_assistants(config, result))
