"""A finished run opened again: its settings come back as they were, whatever they name."""

import json
from dataclasses import asdict

import pytest

from vitw_ray.cli.run import JOB
from vitw_ray.cli.settings import settings_from
from vitw_ray.errors import OutputError
from vitw_ray.finished_run import read_finished
from vitw_ray.run_folder import pretty_json
from vitw_ray.storage import Storage


def record(config) -> dict:
    source = {"url": "/logs/a.jsonl", "name": "a.jsonl", "size_bytes": 7, "version": "1"}
    return {
        "vitw_ray": "0.1.0",
        "secret_fingerprint": "00",
        "config": asdict(config),
        "inputs": [source | {"shape": "vitw"}, source | {"name": "b.jsonl", "shape": None}],
        "stages": [],
    }


@pytest.mark.parametrize(
    "flags",
    [
        "",
        "--preset paper",
        "--created-from 2025-02-18 --period month --max-per-account 5",
        "--input a b --ai-value-levels 20 5 --no-merge-case --temperature 0.5",
    ],
)
def test_settings_come_back_as_they_were(flags, tmp_path):
    config = settings_from(flags.split(), JOB).config
    storage = Storage(str(tmp_path))
    storage.write("run.json", pretty_json(record(config)))
    finished = read_finished(storage)
    assert finished.config == config


def test_a_run_with_a_model_that_lies_elsewhere_can_be_opened(tmp_path, monkeypatch):
    (tmp_path / "tiny").mkdir()
    monkeypatch.chdir(tmp_path)
    config = settings_from(["--extractor", "vllm", "--model", "tiny"], JOB).config
    storage = Storage(str(tmp_path / "run"))
    storage.write("run.json", pretty_json(record(config)))
    (tmp_path / "tiny").rmdir()
    assert read_finished(storage).config == config


@pytest.mark.parametrize(
    "damage",
    [
        lambda found: found["config"]["report"].pop("top"),
        lambda found: found["config"]["report"].update(top="many"),
        lambda found: found.pop("secret_fingerprint"),
    ],
)
def test_a_record_of_another_form_is_refused_with_the_version_that_wrote_it(damage, tmp_path):
    found = json.loads(pretty_json(record(settings_from([], JOB).config)))
    damage(found)
    storage = Storage(str(tmp_path))
    storage.write("run.json", pretty_json(found))
    with pytest.raises(OutputError, match=r"0\.1\.0"):
        read_finished(storage)


def test_a_folder_without_a_record_is_refused(tmp_path):
    with pytest.raises(OutputError, match=r"holds no run\.json"):
        read_finished(Storage(str(tmp_path)))
    assert not [*tmp_path.iterdir()]
