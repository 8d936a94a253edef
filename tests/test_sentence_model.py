"""Sentence-transformers models give the library's own vectors, only faster, and only safe files."""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_embedder import DIM, make_tiny_embedder, texts

from vitw_ray.cli.run import JOB
from vitw_ray.cli.settings import settings_from
from vitw_ray.config import RunConfig, TaxonomyConfig
from vitw_ray.errors import ConfigError, StageFailed
from vitw_ray.inference.embedder import embed_unique, load_embedder
from vitw_ray.inference.embedder_files import describe_embedder, find_embedder
from vitw_ray.inference.sentence_model import SentenceModel
from vitw_ray.inference.weights import resolve_revision
from vitw_ray.pipeline import STAGES, run
from vitw_ray.profiles import EMBEDDER_PROFILES, EmbedderProfile

MIN_COSINE = 0.9999
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def _clear_caches():
    resolve_revision.cache_clear()
    find_embedder.cache_clear()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    pytest.importorskip("sentence_transformers")
    return make_tiny_embedder(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="module")
def loaded(tiny):
    return load_embedder(str(tiny))


@pytest.fixture
def copy(tiny, tmp_path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "copy"))


@pytest.mark.parametrize(
    ("made", "prompt"),
    [
        ({}, ""),
        ({"pooling": "cls", "normalize": False, "prompts": {"query": "the "}}, ""),
        ({"pooling": "lasttoken", "decoder": True, "normalize": False}, ""),
        (
            {"prompts": {"a": "truth of ", "b": "work of "}, "default_prompt": "a"},
            "truth of ",
        ),
        ({"prompts": {"Clustering": "care for "}}, "care for "),
    ],
    ids=["mean", "cls", "last token", "its default prompt", "its prompt for clustering"],
)
def test_the_vectors_equal_those_of_the_librarys_own_loop(tmp_path, made, prompt):
    transformers = pytest.importorskip("sentence_transformers")
    folder = make_tiny_embedder(tmp_path / "model", **made)
    sample = texts(70)
    rows = load_embedder(str(folder)).encode(sample)
    stock = transformers.SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    expected = stock.encode(sample, prompt=prompt, normalize_embeddings=True)
    assert rows.dtype == np.float32
    assert (rows * expected).sum(axis=1).min() > MIN_COSINE
    other = stock.encode(sample, prompt=prompt + "honesty ", normalize_embeddings=True)
    assert (rows * other).sum(axis=1).min() < MIN_COSINE


def test_a_profiles_prompt_takes_precedence_over_the_models_prompt(tmp_path):
    folder = make_tiny_embedder(tmp_path / "model", prompts={"clustering": "work of "})
    profile = EmbedderProfile(model=str(folder), prompt="truth of ")
    files = find_embedder(str(folder))
    ours = SentenceModel(type(files)("mine", profile, files.revision))
    plain = SentenceModel(
        type(files)("plain", EmbedderProfile(model=str(folder), prompt=""), files.revision)
    )
    assert np.allclose(ours.encode(["care"]), plain.encode(["truth of care"]), atol=1e-6)


@settings(max_examples=30)
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=200), min_size=1, max_size=12))
def test_any_text_in_any_script_and_of_any_length_gets_a_unit_row(loaded, some):
    rows = embed_unique(loaded, some)
    assert rows.shape == (len(some), DIM)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert (embed_unique(loaded, some[::-1])[::-1] == rows).all()


def test_a_text_longer_than_the_models_limit_is_truncated(loaded):
    long = "kindness " * 500
    assert np.allclose(loaded.encode([long])[0], loaded.encode([long + "truth"])[0], atol=1e-6)


def test_two_threads_that_encode_at_once_get_the_vectors_of_one(loaded):
    samples = [texts(60, seed) for seed in range(6)]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(loaded.encode, samples))
    assert all((loaded.encode(x) == y).all() for x, y in zip(samples, together, strict=True))


def test_few_shapes_change_vectors_by_no_more_than_rounding(tiny, loaded):
    few = SentenceModel(find_embedder(str(tiny)), compiled=True)
    sample = texts(300)
    assert (few.encode(sample) * loaded.encode(sample)).sum(axis=1).min() > MIN_COSINE


def test_texts_without_a_finite_vector_are_counted_but_not_shown(copy):
    from safetensors.torch import load_file, save_file

    weights = load_file(copy / "model.safetensors")
    pieces = json.loads((copy / "tokenizer.json").read_text())["model"]["vocab"]
    weights["embeddings.word_embeddings.weight"][pieces["kindness"]] = float("nan")
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    sample = ["honesty", "kindness", "truth", "patience and kindness"]
    with pytest.raises(StageFailed, match="no finite vector for 2 of 4 texts") as failed:
        load_embedder(str(copy)).encode(sample)
    assert str(copy) in failed.value.problem
    assert "kindness" not in str(failed.value)


def weights_as_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def module_as_pickle(folder: Path) -> None:
    (folder / "1_Pooling" / "pytorch_model.bin").write_bytes(b"pickled")


def custom_code(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "modeling.Model"}
    (folder / "config.json").write_text(json.dumps(config))


def custom_module(folder: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["type"] = "modeling.Model"
    (folder / "modules.json").write_text(json.dumps(modules))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (weights_as_pickle, "safetensors"),
        (module_as_pickle, "safetensors"),
        (custom_code, "custom code"),
        (custom_module, "custom code"),
        (lambda folder: (folder / "config.json").unlink(), "config.json"),
    ],
)
def test_pickles_and_code_are_rejected_before_anything_is_loaded(copy, damage, said):
    damage(copy)
    with pytest.raises(ConfigError, match=rf"--embedder .*{said}"):
        find_embedder(str(copy))


def key(folder: Path) -> str:
    resolve_revision.cache_clear()
    find_embedder.cache_clear()
    return describe_embedder(RunConfig(taxonomy=TaxonomyConfig(embedder=str(folder))))["key"]


def test_moving_a_folder_changes_no_key(copy, tiny):
    assert key(copy) == key(tiny)
    stage = next(stage for stage in STAGES if stage.name == "taxonomy")
    trees = {
        stage.key(RunConfig(taxonomy=TaxonomyConfig(embedder=name)), {})
        for name in (str(copy), str(tiny), "minilm", "hashing")
    }
    assert len(trees) == 3


@pytest.mark.parametrize("file", ["model.safetensors", "1_Pooling/config.json", "tokenizer.json"])
def test_a_changed_byte_in_any_file_that_decides_a_vector_changes_the_key(copy, tiny, file):
    with (copy / file).open("ab") as handle:
        handle.write(b" ")
    assert key(copy) != key(tiny)


def test_a_folder_that_changed_after_planning_is_rejected(copy):
    revision = find_embedder(str(copy)).revision
    with (copy / "tokenizer.json").open("ab") as handle:
        handle.write(b" ")
    resolve_revision.cache_clear()
    find_embedder.cache_clear()
    with pytest.raises(ConfigError, match="not revision"):
        load_embedder(str(copy), revision=revision)


def test_only_data_files_of_the_given_commit_are_fetched_from_the_hub(tiny, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    fetched = []

    def snapshot_download(model, *, revision, allow_patterns):
        fetched.append((model, revision))
        assert not [name for name in allow_patterns if name.endswith((".py", ".bin", ".pt", "*"))]
        return str(tiny)

    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    embedder = load_embedder("owner/name", revision=COMMIT)
    assert embedder.encode(["honesty"]).shape == (1, DIM)
    assert fetched == [("owner/name", COMMIT)]


FROM_CACHE = """
from vitw_ray.inference.embedder import load_embedder
from vitw_ray.inference.embedder_files import find_embedder
files = find_embedder("owner/name")
print(files.revision, load_embedder("owner/name", revision=files.revision).encode(["care"]).shape)
"""


@pytest.mark.slow
def test_without_the_hub_a_cached_model_is_found_and_loaded(tiny, tmp_path):
    place = tmp_path / "models--owner--name"
    shutil.copytree(tiny, place / "snapshots" / COMMIT)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(COMMIT)
    environment = {**os.environ, "HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", FROM_CACHE], env=environment, capture_output=True, text=True
    )
    assert done.stdout == f"{COMMIT} (1, {DIM})\n", done.stderr[-2000:]


def test_an_unreachable_hub_is_reported_with_a_fix(monkeypatch):
    hub = pytest.importorskip("huggingface_hub")

    def snapshot_download(*_, **__):
        raise OSError("no route")

    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    with pytest.raises(ConfigError, match="cannot be fetched") as refused:
        load_embedder("mpnet", revision=COMMIT)
    assert "folder" in refused.value.fix


def test_an_unknown_embedder_is_rejected_with_a_list_of_profiles():
    with pytest.raises(ConfigError, match="--embedder mpnett") as refused:
        settings_from(["--embedder", "mpnett"], JOB)
    assert "did you mean mpnet?" in refused.value.problem
    assert all(name in refused.value.fix for name in (*EMBEDDER_PROFILES, "hashing"))


def test_a_missing_embedder_fails_before_the_run_starts(tmp_path):
    flags = ["--embedder", str(tmp_path / "gone"), "--output", str(tmp_path / "out")]
    config = settings_from(flags, JOB).config
    with pytest.raises(ConfigError, match=r"--embedder .*gone is not a folder"):
        run(config)
    assert not (tmp_path / "out").exists()


def test_a_revision_of_the_hashing_embedder_is_rejected():
    with pytest.raises(ConfigError, match="--embedder-revision"):
        TaxonomyConfig(embedder="hashing", embedder_revision="main")


def test_another_revision_of_the_packaged_model_is_rejected():
    assert find_embedder("minilm", EMBEDDER_PROFILES["minilm"].revision) == find_embedder("minilm")
    with pytest.raises(ConfigError, match="--embedder-revision"):
        find_embedder("minilm", COMMIT)


def test_every_profile_names_a_model_id_on_the_hub():
    assert all(profile.model.count("/") == 1 for profile in EMBEDDER_PROFILES.values())
    assert [name for name, profile in EMBEDDER_PROFILES.items() if profile.packaged] == ["minilm"]
