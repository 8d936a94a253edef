import dataclasses

import pytest

from vitw_ray.command_line import config_from, run_job
from vitw_ray.config import RunConfig
from vitw_ray.errors import ConfigError
from vitw_ray.presets import PRESETS


def parse(*arguments: str) -> RunConfig:
    return config_from(arguments, "a job")


def fields_of_stages() -> list[str]:
    return [
        field.name
        for stage in dataclasses.fields(RunConfig)
        for field in dataclasses.fields(stage.type)  # type: ignore[arg-type]
    ]


def test_every_flag_has_one_meaning():
    names = fields_of_stages()
    assert len(names) == len(set(names))


def test_help_lists_every_setting_and_every_preset(capsys):
    with pytest.raises(SystemExit):
        parse("--help")
    shown = capsys.readouterr().out
    flags = [name.replace("_", "-") for name in fields_of_stages()]
    assert not [f for f in flags if f"--{f}" not in shown and f"--no-{f}" not in shown]
    assert all(name in shown for name in PRESETS)


def test_no_flag_means_the_laptop_and_a_flag_changes_its_field_alone():
    changed = parse("--min-conversations", "7")
    assert changed.labels.min_conversations == 7
    assert dataclasses.replace(changed, labels=parse().labels) == parse() == PRESETS["laptop"]()


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_valid_configuration_that_names_its_device(name):
    config = parse("--preset", name)
    assert config == PRESETS[name]()
    assert (config.execution.device == "gpu") == (config.execution.gpus_per_actor > 0)


def test_the_laptop_uses_the_cpu_and_the_clusters_presets_the_gpu():
    devices = {name: make().execution.device for name, make in PRESETS.items()}
    assert devices == {"laptop": "cpu", "smoke": "cpu", "paper": "gpu", "full_traffic": "gpu"}


def test_the_paper_preset_has_the_papers_thresholds_sizes_and_embedder():
    config = PRESETS["paper"]()
    assert config.taxonomy.embedder == "mpnet"
    assert config.taxonomy.ai_value_levels == (266, 26, 5)
    assert (config.labels.min_conversations, config.labels.min_accounts) == (15, 5)
    assert config.extraction.subjective_from == 3


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (["--preset", "palace"], "--preset"),
        (["--sample", "0"], "--sample"),
        (["--balance-assistants"], "--sample"),
        (["--subjective-from", "5"], "--subjective-from"),
        (["--max-error-share", "1.5"], "--max-error-share"),
        (["--ai-value-levels", "5", "26"], "--ai-value-levels"),
        (["--min-conversations", "0"], "--min-conversations"),
        (["--actors", "0"], "--actors"),
        (["--alpha", "0"], "--alpha"),
        (["--created-from", "2025-02-25", "--created-until", "2025-02-18"], "--created-from"),
        (["--device", "gpu"], "--gpus-per-actor"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_by_its_name_with_a_fix(arguments, field):
    with pytest.raises(ConfigError, match=field) as refused:
        parse(*arguments)
    assert "what to do" in str(refused.value)


def test_a_flag_that_does_not_exist_ends_the_job():
    with pytest.raises(SystemExit):
        parse("--no-such-flag", "1")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--input", "no/such/folder/*.jsonl"], "no/such/folder"),
        (["--output", "/proc/none/run"], "/proc/none"),
        (["--output", "ftp://host/run"], "ftp://host/run"),
        (["--secret-file", "no-such-secret"], "--secret-file"),
    ],
)
def test_what_a_job_cannot_do_is_said_in_two_sentences_and_no_traceback(
    arguments, named, capsys, tmp_path
):
    output = [] if "--output" in arguments else ["--output", str(tmp_path / "out")]
    assert run_job([*arguments, *output], "a job") == 1
    shown = capsys.readouterr()
    assert named in shown.err
    assert "what to do" in shown.err
    assert "Traceback" not in shown.err


def test_an_empty_input_is_named_and_not_run(tmp_path, capsys):
    (tmp_path / "empty.jsonl").touch()
    arguments = ["--input", str(tmp_path / "empty.jsonl"), "--output", str(tmp_path / "out")]
    assert run_job(arguments, "a job") == 1
    assert "none holds a row" in capsys.readouterr().err
