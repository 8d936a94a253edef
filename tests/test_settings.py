"""Settings from a command line: presets, flags, both kinds of help, and what is refused."""

import dataclasses
import subprocess
import sys

import pytest

from vitw_ray.cli import compare_assistants
from vitw_ray.cli.run import JOB
from vitw_ray.cli.settings import STAGE_NAMES, settings_from
from vitw_ray.cli.short_help import GROUPS
from vitw_ray.config import RunConfig
from vitw_ray.errors import ConfigError
from vitw_ray.extractor_kinds import EXTRACTORS
from vitw_ray.pipeline import STAGES
from vitw_ray.presets import PRESETS


def parse(*arguments: str) -> RunConfig:
    return settings_from(arguments, JOB).config


def shown(capsys, *arguments: str, job=JOB) -> str:
    """What a job prints and ends with, status 0."""
    with pytest.raises(SystemExit) as ended:
        settings_from(arguments, job)
    assert ended.value.code in (0, None)
    return capsys.readouterr().out


def fields_of_stages() -> list[str]:
    return [
        field.name
        for stage in dataclasses.fields(RunConfig)
        for field in dataclasses.fields(stage.type)  # type: ignore[arg-type]
    ]


def test_every_flag_has_one_meaning():
    names = fields_of_stages()
    assert len(names) == len(set(names))


def flags_of(*sections: str) -> list[str]:
    defaults = RunConfig()
    fields = (f for section in sections for f in dataclasses.fields(getattr(defaults, section)))
    return [f.name.replace("_", "-") for f in fields]


def test_help_all_lists_every_setting(capsys):
    text = shown(capsys, "--help-all")
    flags = ["preset", "until", *flags_of(*(f.name for f in dataclasses.fields(RunConfig)))]
    assert not [f for f in flags if f"--{f}" not in text and f"--no-{f}" not in text]
    assert all(name in text for name in PRESETS)


def test_help_is_one_screen_with_every_preset_in_a_line_and_three_examples(capsys):
    text = shown(capsys, "--help")
    lines = text.splitlines()
    assert len(lines) <= 50
    assert max(map(len, lines)) <= 100
    for name, make in PRESETS.items():
        summary = (make.__doc__ or "").splitlines()[0]
        assert [line for line in lines if line.split()[:1] == [name] and line.endswith(summary)]
    examples = text.split("Examples")[1]
    assert examples.count("vitw run") + examples.count("python jobs/run.py") >= 3
    assert "--help-all" in text


def test_every_flag_of_the_short_help_exists_and_no_group_lacks_one():
    flags = [flag.name for group in GROUPS.values() for flag in group]
    assert set(flags) <= {*fields_of_stages(), "until"}
    assert len(flags) == len(set(flags))
    assert all(GROUPS.values())


def test_the_short_help_names_every_kind_that_a_flag_can_have(capsys):
    text = shown(capsys, "--help")
    assert not [name for name in (*EXTRACTORS, *STAGE_NAMES) if name not in text]


def test_the_short_help_shows_the_values_of_the_chosen_preset(capsys):
    line = next(x for x in shown(capsys, "--help").splitlines() if "--actors" in x)
    assert line.endswith("[2]")
    paper = shown(capsys, "--preset", "paper", "--help")
    assert next(x for x in paper.splitlines() if "--actors" in x).endswith("[8]")
    assert "\n  paper         * " in paper


@pytest.mark.parametrize("way", ["--help", "--help-all"])
def test_help_of_a_run_that_ends_early_leaves_out_flags_of_later_stages(way, capsys):
    text = shown(capsys, "--until", "extractions", way)
    assert not [flag for flag in flags_of("labels", "taxonomy", "report") if f"--{flag} " in text]
    assert "--extractor" in text
    assert "--actors" in text


def test_a_run_that_ends_early_takes_flags_of_later_stages_all_the_same():
    settings = settings_from(["--until", "extractions", "--embedder", "hashing"], JOB)
    assert (settings.until, settings.config.taxonomy.embedder) == ("extractions", "hashing")


def test_a_run_may_end_after_every_stage_but_the_first():
    assert [stage.name for stage in STAGES[1:]] == list(STAGE_NAMES)
    assert settings_from([], JOB).until == STAGES[-1].name


def test_each_job_shows_the_flags_that_concern_it(capsys):
    compared = shown(capsys, "--help", job=compare_assistants.JOB)
    assert "--balance-assistants" in compared
    assert "--until" not in compared
    assert "--balance-assistants" not in shown(capsys, "--help")


def test_help_loads_neither_ray_nor_a_table_library():
    code = (
        "import sys; from vitw_ray.cli.main import main\n"
        "try: main(['run', '--help'])\n"
        "except SystemExit: print({'ray', 'pyarrow', 'numpy', 'torch'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--min-conversation 3", "--min-conversations"),  # the near one
        ("--min-conversations many", "--min-conversations"),
        ("--extractor lex", "lexicon"),
        ("--preset", "--preset"),
        ("--until conversations", "--until"),
        ("stray", "stray"),
    ],
)
def test_a_flag_or_value_that_does_not_exist_is_told_with_what_does_and_ends_with_2(
    arguments, said, capsys
):
    with pytest.raises(SystemExit) as ended:
        parse(*arguments.split())
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "near"),
    [
        ("--preset laptp", "laptop"),
        ("--extractor vllm --model qwen3-8", "qwen3-8b"),
        ("--embedder mpnett", "mpnet"),
    ],
)
def test_a_name_that_does_not_exist_is_refused_with_the_near_one(arguments, near):
    with pytest.raises(ConfigError, match=rf"did you mean {near}\b[^?]*\?"):
        parse(*arguments.split())


def test_a_name_that_is_near_to_none_is_refused_without_a_guess():
    with pytest.raises(ConfigError, match=r"--preset bungalow does not exist\n") as refused:
        parse("--preset", "bungalow")
    assert "paper" in refused.value.fix


@pytest.mark.parametrize("model", ["Qwen/Qwen3-8", "./qwen3-8", "qwen3-8b"])
def test_a_model_that_may_exist_is_not_refused_by_its_name(model):
    assert parse("--extractor", "vllm", "--model", model).extraction.model == model


def test_the_name_of_a_folder_is_a_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "qwen3-8").mkdir()
    assert parse("--extractor", "vllm", "--model", "qwen3-8").extraction.model == "qwen3-8"


def test_a_server_may_call_its_model_what_it_likes():
    assert parse("--extractor", "openai", "--model", "qwen3-8").extraction.model == "qwen3-8"


def test_a_list_that_is_given_twice_is_refused_as_the_first_would_be_lost():
    with pytest.raises(ConfigError, match="--input is given 2 times"):
        settings_from(["--input", "a.jsonl", "--input=b.jsonl"], JOB)
    both = settings_from(["--input", "a.jsonl", "b.jsonl"], JOB).config
    assert both.conversations.input == ("a.jsonl", "b.jsonl")
    twice = settings_from(["--sample", "5", "--sample", "7"], JOB)  # the last one, as everywhere
    assert twice.config.conversations.sample == 7
