"""Starting a run from Python: keywords are the flags of the command line."""

import inspect
from dataclasses import fields, replace
from datetime import date
from pathlib import Path

import pytest

from vitw_ray import run
from vitw_ray.cli.run import JOB
from vitw_ray.cli.settings import settings_from
from vitw_ray.config import RunConfig
from vitw_ray.errors import ConfigError
from vitw_ray.presets import laptop, paper
from vitw_ray.start import configure


def test_no_two_sections_share_a_setting_and_none_has_the_name_of_an_argument():
    sections = [getattr(RunConfig(), section.name) for section in fields(RunConfig)]
    names = [field.name for section in sections for field in fields(section)]
    arguments = [*inspect.signature(run).parameters][:-1]
    assert len({*names, *arguments}) == len(names) + len(arguments)


@pytest.mark.parametrize(
    ("settings", "flags"),
    [
        ({"input": "logs/*.gz", "sample": 1000}, "--input logs/*.gz --sample 1000"),
        ({"input": ["a.jsonl", Path("b.jsonl")]}, "--input a.jsonl b.jsonl"),
        ({"output": Path("runs/mine"), "created_from": "2025-02-18"},
         "--output runs/mine --created-from 2025-02-18"),
        ({"created_from": date(2025, 2, 18)}, "--created-from 2025-02-18"),
        ({"ai_value_levels": [266, 26, 5]}, "--ai-value-levels 266 26 5"),
        ({"engine_kwargs": {"seed": 1}}, '--engine-kwargs {"seed":1}'),
        ({"preset": "paper", "model": "gemma-3-12b"}, "--preset paper --model gemma-3-12b"),
        ({"merge_plurals": False}, "--no-merge-plurals"),
    ],
)  # fmt: skip
def test_keywords_give_the_configuration_that_flags_give(settings, flags):
    preset = settings.pop("preset", None)
    made = configure(None, preset, settings)
    kwargs = made.extraction.engine_kwargs.replace(" ", "")
    made = replace(made, extraction=replace(made.extraction, engine_kwargs=kwargs))
    assert made == settings_from(flags.split(), JOB).config


def test_keywords_change_a_configuration_that_is_given():
    made = configure(paper(), None, {"actors": 2})
    assert made == replace(paper(), execution=replace(paper().execution, actors=2))


def test_without_anything_the_laptop_preset_is_run():
    assert configure(None, None, {}) == laptop()


@pytest.mark.parametrize(
    ("settings", "problem", "fix"),
    [
        ({"min_conversation": 5}, "min_conversation is no setting", "min_conversations"),
        ({"zzz": 5}, "zzz is no setting", "vitw_ray/config.py"),
        ({"sample": "many"}, "sample is 'many'", "valid integer"),
        ({"device": "tpu"}, "device is 'tpu'", "'cpu' or 'gpu'"),
        ({"actors": 1.5}, "actors is 1.5", "valid integer"),
        ({"created_from": "yesterday"}, "created_from is 'yesterday'", "valid date"),
        ({"sample": 0}, "--sample is 0", "at least 1"),
        ({"extractor": "vllm"}, "--extractor vllm names no --model", "add --model"),
        ({"naming": "model"}, "--extractor lexicon has none", "--naming members"),
    ],
)
def test_a_keyword_that_cannot_work_names_itself_and_what_to_give(settings, problem, fix):
    with pytest.raises(ConfigError) as caught:
        run(**settings)
    assert problem in caught.value.problem
    assert fix in caught.value.fix


def test_settings_that_only_work_together_are_set_together():
    made = configure(None, None, {"extractor": "openai", "model": "m", "naming": "model"})
    assert made.taxonomy.naming == "model"


def test_a_preset_a_stage_or_a_start_that_does_not_exist_is_refused():
    with pytest.raises(ConfigError, match="preset 'big' does not exist"):
        run(preset="big")
    with pytest.raises(ConfigError, match="until is 'tables'"):
        run(until="tables")
    with pytest.raises(ConfigError, match="both a configuration and a preset"):
        run(laptop(), preset="paper")


@pytest.mark.ray
def test_a_run_from_python_ends_where_it_is_told_and_comes_back_opened(local_ray, tmp_path):
    settings = {"preset": "smoke", "output": tmp_path / "run", "sample": 50}
    first = run(until="extractions", **settings)
    assert first.address == str(tmp_path / "run")
    assert [*first.stages] == ["conversations", "extractions"]
    assert first.report is None
    assert len(first.table("extractions")) == 50
    again = run(until="labels", **settings)
    assert again.stages["extractions"] == first.stages["extractions"]
    assert again.stages["labels"]["rows_in"] == 50
