"""What decides an answer is in the extractor's key, and nothing else."""

import json
import shutil
from pathlib import Path

import pytest

from vitw_ray.config import Execution, ExtractionConfig, RunConfig
from vitw_ray.errors import ConfigError
from vitw_ray.extraction.extractors import extractor_key
from vitw_ray.inference.weights import refuse_incomplete_reader, resolve_revision
from vitw_ray.profiles import profile_of

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def model(tmp_path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "weights.safetensors").write_bytes(b"weights")
    resolve_revision.cache_clear()
    return folder


def key(model: str | Path, execution: Execution | None = None, **extraction) -> str:
    resolve_revision.cache_clear()
    config = ExtractionConfig(**{"extractor": "vllm", "model": str(model)} | extraction)
    return extractor_key(RunConfig(extraction=config, execution=execution or Execution()))


@pytest.mark.parametrize(
    "change",
    [
        {"questions": "separate"},
        {"explicit_only": True},
        {"salience": True},
        {"evidence": True},
        {"subjective_from": 2},
        {"temperature": 0.2},
        {"max_output_tokens": 500},
        {"transcript_tokens": 2048},
        {"engine_kwargs": '{"dtype": "float16"}'},
        {"sampling_kwargs": '{"top_p": 0.9}'},
        {"extractor": "openai"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_setting_that_can_change_an_answer_changes_the_key(model, change):
    assert key(model, **change) != key(model)


def test_another_byte_of_weights_is_another_key(model):
    before = key(model)
    (model / "weights.safetensors").write_bytes(b"Weights")
    assert key(model) != before


def test_a_folder_that_moves_keeps_its_answers(model, tmp_path):
    moved = shutil.copytree(model, tmp_path / "elsewhere")
    assert key(moved) == key(model)


def test_another_revision_of_a_model_is_another_key():
    assert key("qwen3-8b", revision=COMMIT) != key("qwen3-8b", revision=COMMIT[::-1])


def test_a_profile_and_its_model_by_id_differ_by_what_the_profile_sets():
    assert key("qwen3-8b", revision=COMMIT) != key("Qwen/Qwen3-8B", revision=COMMIT)


def test_how_fast_is_no_part_of_the_key(model):
    fast = Execution(actors=7, max_num_seqs=512, max_num_batched_tokens=16384, unit_rows=7)
    assert key(model, fast) == key(model)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda folder: (folder / "config.json").unlink(), "config.json"),
        (lambda folder: (folder / "weights.safetensors").unlink(), "safetensors"),
        (
            lambda folder: (folder / "config.json").write_text(json.dumps({"auto_map": {}})),
            "auto_map",
        ),
    ],
)
def test_a_folder_that_is_no_safe_model_is_refused_by_what_it_lacks(model, change, named):
    change(model)
    with pytest.raises(ConfigError, match=named):
        resolve_revision(str(model), None)


@pytest.mark.parametrize(
    ("file", "fix"),
    [
        ("weights/x.gguf", "llama-server -m FILE, and use --extractor openai --server-url"),
        ("weights/model.safetensors", "give its folder, weights"),
        ("weights/pytorch_model.bin", "converted to safetensors"),
    ],
)
def test_a_file_of_weights_is_refused_with_what_to_give_instead(file, fix):
    with pytest.raises(ConfigError, match=f"--model {file} is a") as caught:
        ExtractionConfig(extractor="vllm", model=file)
    assert fix in caught.value.fix
    assert ExtractionConfig(extractor="openai", model=file).model == file  # a server's own name


def test_a_readers_folder_is_refused_by_all_that_it_lacks(model):
    with pytest.raises(ConfigError) as caught:
        refuse_incomplete_reader(str(model))
    assert "lacks a tokenizer (tokenizer.json), a chat template" in caught.value.problem
    assert "config.json" not in caught.value.problem
    (model / "tokenizer.json").write_text("{}")
    (model / "tokenizer_config.json").write_text('{"chat_template": "{{ messages }}"}')
    refuse_incomplete_reader(str(model))
    (model / "config.json").unlink()
    (model / "weights.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"lacks config.json, weights \(\*.safetensors\)"):
        refuse_incomplete_reader(str(model))
    refuse_incomplete_reader("org/name")


def test_a_model_that_nobody_knows_is_refused_with_its_name(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    resolve_revision.cache_clear()
    with pytest.raises(ConfigError, match="no-such-profile"):
        resolve_revision("no-such-profile", None)
    with pytest.raises(ConfigError, match="not a folder on this machine"):
        resolve_revision(str(tmp_path / "nothing"), None)


def test_a_commit_needs_no_look_at_the_hub():
    assert resolve_revision("org/name", COMMIT) == COMMIT


def test_a_model_over_two_gpus_needs_two_an_actor():
    extraction = ExtractionConfig(extractor="vllm", model="llama-3.3-70b")
    with pytest.raises(ConfigError, match="--gpus-per-actor"):
        RunConfig(extraction=extraction, execution=Execution(device="gpu", gpus_per_actor=1))
    RunConfig(extraction=extraction, execution=Execution(device="gpu", gpus_per_actor=2))


def test_an_extractor_with_a_model_needs_its_name():
    for extractor in ("vllm", "openai"):
        with pytest.raises(ConfigError, match="--model"):
            ExtractionConfig(extractor=extractor)


def test_settings_in_json_are_named_when_they_are_none():
    for setting in ("engine_kwargs", "sampling_kwargs"):
        for text in ("{", "[]", "3"):
            with pytest.raises(ConfigError, match=f"--{setting.replace('_', '-')}"):
                ExtractionConfig(**{setting: text})


def test_any_other_model_runs_without_a_profile():
    assert profile_of("org/name").model == "org/name"
