"""A profile of a reader says what it needs and where that is from; only settings are in keys."""

import importlib.util
import math
import subprocess
import sys
from dataclasses import fields, replace

import pytest

from vitw_ray.config import ExtractionConfig, RunConfig
from vitw_ray.errors import ConfigError
from vitw_ray.extraction.extractors import extractor_key
from vitw_ray.inference import vllm_model
from vitw_ray.profiles import READER_PROFILES, ReaderProfile, profile_of, refuse_unknown_reader

COMMIT = "0123456789abcdef0123456789abcdef01234567"
GPU_GIB = 80
ROUNDED_BY_HAND = list(READER_PROFILES)[:7]
TOLD = {  # another value of each field that no answer depends on
    "context_tokens": 8192,
    "gpu_memory_gib": 1,
    "architecture": "Other",
    "billions": 1.0,
    "precision": "MXFP4",
    "licence": "other",
    "sources": ("https://example.org",),
    "seen": "2027-01-01",
    "tried": "2027-01-01, one H100",
}
DECIDING = {
    "engine": {"dtype": "float16"},
    "template": {"enable_thinking": True},
    "answer_prefix": "{",
    "tensor_parallel": 2,
}


def key_of(profile: ReaderProfile, monkeypatch) -> str:
    monkeypatch.setitem(READER_PROFILES, "qwen3-8b", profile)
    extraction = ExtractionConfig(extractor="vllm", model="qwen3-8b", revision=COMMIT)
    return extractor_key(RunConfig(extraction=extraction))


def test_every_field_of_a_profile_either_decides_an_answer_or_only_informs():
    named = {"model", "revision"}  # in the key by themselves
    assert {f.name for f in fields(ReaderProfile)} == named | TOLD.keys() | DECIDING.keys()
    assert ReaderProfile(model="org/name").deciding().keys() == DECIDING.keys()


@pytest.mark.parametrize("name", TOLD)
def test_what_a_profile_only_tells_people_is_not_in_the_key(name, monkeypatch):
    profile = READER_PROFILES["qwen3-8b"]
    before = key_of(profile, monkeypatch)
    assert key_of(replace(profile, **{name: TOLD[name]}), monkeypatch) == before


@pytest.mark.parametrize("name", DECIDING)
def test_what_a_profile_decides_is_in_the_key(name, monkeypatch):
    profile = READER_PROFILES["qwen3-8b"]
    before = key_of(profile, monkeypatch)
    assert key_of(replace(profile, **{name: DECIDING[name]}), monkeypatch) != before


@pytest.mark.parametrize("name", READER_PROFILES)
def test_a_profile_says_its_licence_its_sources_and_when_they_were_read(name):
    profile = profile_of(name)
    assert profile.model.count("/") == 1
    assert profile.licence
    assert profile.sources
    assert all(source.startswith("https://") for source in profile.sources)
    assert profile.seen


@pytest.mark.parametrize("name", READER_PROFILES)
def test_a_profile_leaves_room_for_the_default_prompt(name):
    profile = profile_of(name)
    assert profile.context_tokens is not None
    needed = ExtractionConfig().transcript_tokens + 2 * ExtractionConfig().max_output_tokens + 2048
    assert profile.context_tokens >= needed


@pytest.mark.parametrize("name", READER_PROFILES)
def test_the_memory_of_a_profile_is_that_of_its_weights_and_a_full_batch(name):
    profile = profile_of(name)
    weights, stated, gpus = profile.weights_gib, profile.gpu_memory_gib, profile.tensor_parallel
    assert weights is not None
    assert stated is not None
    assert profile.billions is not None
    room = (32 if profile.billions >= 7 else 12) * gpus
    assert stated <= GPU_GIB * gpus
    if name in ROUNDED_BY_HAND:
        assert abs(stated - weights - room) < 16
    else:
        assert stated == math.ceil((weights + room) / 10) * 10


@pytest.mark.parametrize("name", READER_PROFILES)
def test_the_precision_of_a_profile_is_what_its_engine_loads(name):
    profile = profile_of(name)
    if profile.engine.get("quantization"):
        assert profile.precision == profile.engine["quantization"]
    if profile.model.endswith("-FP8"):
        assert profile.precision == "fp8"


@pytest.mark.skipif(not importlib.util.find_spec("vllm"), reason="no vLLM")
@pytest.mark.slow
def test_the_installed_vllm_knows_the_architecture_and_the_arguments_of_every_profile():
    code = (
        "from vllm import ModelRegistry; from vllm.engine.arg_utils import AsyncEngineArgs as A;"
        "from dataclasses import fields;"
        "print(*ModelRegistry.get_supported_archs(), *('--' + f.name for f in fields(A)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    known = set(shown.stdout.split())
    for profile in READER_PROFILES.values():
        assert profile.architecture in known
        assert not {f"--{name}" for name in profile.engine} - known


@pytest.mark.parametrize(
    ("asked", "suggested"),
    [
        ("qwen3.5-8b", "qwen3.5-9b"),
        ("gemma4", "gemma-4-12b"),
        ("Qwen3.5-9B", "qwen3.5-9b"),
        ("gpt-oss", "gpt-oss-20b"),
        ("ministral", "ministral-3-8b"),
        ("qwen4-9b", "qwen3.5-9b"),
        ("smollm", "smollm3-3b"),
    ],
)
def test_a_name_that_people_may_try_is_refused_with_one_that_exists(asked, suggested):
    with pytest.raises(ConfigError, match="did you mean") as refused:
        refuse_unknown_reader(asked)
    assert suggested in refused.value.problem.split("did you mean")[1]


def test_a_tokenizer_is_that_of_the_hugging_face_files(monkeypatch):
    transformers = pytest.importorskip("transformers")
    asked = {}
    monkeypatch.setattr(
        transformers.AutoTokenizer, "from_pretrained", lambda model, **kwargs: asked.update(kwargs)
    )
    vllm_model._tokenizer(profile_of("ministral-3-8b"), COMMIT)
    assert asked == {"trust_remote_code": False, "mistral_format": False, "revision": COMMIT}
