"""Profiles: open-weight readers and embedders by name, and what each needs.

A reader's profile says how it is asked well and what fits its GPUs. `--model qwen3-8b` takes all of
it; any other `--model org/name` or folder runs without a profile, on vLLM's own reading of the
model's files. An embedder's profile says what its model was trained for.

Weights are safetensors, and no code that comes with a model is run. Keys take profiles by their
values, so a new one re-keys nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vitw_ray.errors import ConfigError
from vitw_ray.setting_checks import did_you_mean


@dataclass(frozen=True, kw_only=True)
class ReaderProfile:
    """One model. `gpu_memory_gib` is what weights and a full batch ask for, over all its GPUs."""

    model: str
    revision: str | None = None
    context_tokens: int | None = None  # trained for; None: as the model's files say
    engine: Mapping[str, Any] = field(default_factory=dict)  # vLLM's own names
    template: Mapping[str, Any] = field(default_factory=dict)  # variables of the chat template
    answer_prefix: str = ""  # stands at the head of the model's turn: what skips its reasoning
    gpu_memory_gib: int | None = None
    tensor_parallel: int = 1


# Weights in fp8 halve the memory and raise the speed by a third at no measured loss; vLLM converts
# at load ("fp8"), unless the published weights are quantised already.
READER_PROFILES: dict[str, ReaderProfile] = {
    "qwen3-8b": ReaderProfile(
        model="Qwen/Qwen3-8B",
        context_tokens=32_768,
        engine={"dtype": "bfloat16", "quantization": "fp8"},
        template={"enable_thinking": False},
        gpu_memory_gib=40,
    ),
    "qwen3-30b-a3b": ReaderProfile(  # never thinks; 3 of 30 billion weights a token
        model="Qwen/Qwen3-30B-A3B-Instruct-2507",
        context_tokens=262_144,
        engine={"dtype": "bfloat16", "quantization": "fp8"},
        gpu_memory_gib=70,
    ),
    "llama-3.1-8b": ReaderProfile(
        model="meta-llama/Llama-3.1-8B-Instruct",
        context_tokens=131_072,
        engine={"dtype": "bfloat16", "quantization": "fp8"},
        gpu_memory_gib=40,
    ),
    "gemma-3-12b": ReaderProfile(  # reads pictures too; none are sent
        model="google/gemma-3-12b-it",
        context_tokens=131_072,
        engine={"dtype": "bfloat16", "limit_mm_per_prompt": {"image": 0}},
        gpu_memory_gib=60,
    ),
    "mistral-small-24b": ReaderProfile(
        model="mistralai/Mistral-Small-24B-Instruct-2501",
        context_tokens=32_768,
        engine={"dtype": "bfloat16", "quantization": "fp8", "tokenizer_mode": "hf"},
        gpu_memory_gib=70,
    ),
    "gpt-oss-20b": ReaderProfile(  # published in MXFP4; its final channel is opened for it
        model="openai/gpt-oss-20b",
        context_tokens=131_072,
        template={"reasoning_effort": "low"},
        answer_prefix="<|channel|>final<|message|>",
        gpu_memory_gib=40,
    ),
    "llama-3.3-70b": ReaderProfile(  # for comparison, where two GPUs of 80 GB are at hand
        model="meta-llama/Llama-3.3-70B-Instruct",
        context_tokens=131_072,
        engine={"dtype": "bfloat16", "quantization": "fp8"},
        gpu_memory_gib=150,
        tensor_parallel=2,
    ),
}


def refuse_unknown_reader(model: str) -> None:
    """Refuse a bare name that is neither a profile nor a folder: models of the hub have an owner.

    Raises:
        ConfigError: such a name, or a file.
    """
    _refuse_file(model)
    if model not in READER_PROFILES and "/" not in model and not Path(model).is_dir():
        raise ConfigError(
            f"--model {model} is no profile and no folder{did_you_mean(model, READER_PROFILES)}",
            f"give a profile ({', '.join(READER_PROFILES)}), a model id of the hub (owner/name),"
            " or a folder",
        )


def _refuse_file(model: str) -> None:
    path = Path(model)
    if path.suffix == ".gguf":
        raise ConfigError(
            f"--model {model} is a GGUF file, which --extractor vllm does not read",
            "give a folder with the model's safetensors (transformers converts: from_pretrained"
            "(FOLDER, gguf_file=NAME), then save_pretrained); or serve it with llama-server -m"
            " FILE, and use --extractor openai --server-url http://localhost:8080/v1",
        )
    if path.is_file() or path.suffix in (".safetensors", ".bin", ".pt", ".pth"):
        pickled = path.suffix in (".bin", ".pt", ".pth")
        raise ConfigError(
            f"--model {model} is a file, and a model is a folder",
            f"give its folder, {path.parent}"
            + (", with the weights converted to safetensors" if pickled else ""),
        )


def profile_of(model: str) -> ReaderProfile:
    """The profile of this name, or one that knows only the model's id or folder."""
    return READER_PROFILES.get(model) or ReaderProfile(model=model)


HASHING = "hashing"
"""The name of the one embedder that is no model."""
MAX_TOKENS = 512  # ours: labels and task phrases have under 40; most encoders learnt no further


@dataclass(frozen=True, kw_only=True)
class EmbedderProfile:
    """One embedder.

    Attributes:
        model: id on the hub, or a folder.
        revision: what is read when a run names none; None: the newest.
        prompt: stands before each text. Values are compared with values and tasks with tasks, so it
            is one for all. None: what the model's own files name for clustering, or by default.
        max_tokens: of a text; what is longer is cut. The model's own limit holds where it is lower.
        packaged: the weights come from a Python package and not from the hub.
    """

    model: str
    revision: str | None = None
    prompt: str | None = None
    max_tokens: int = MAX_TOKENS
    packaged: bool = False


EMBEDDER_PROFILES: dict[str, EmbedderProfile] = {
    # 23 million weights, 384 dimensions, Apache-2.0: for machines without a hub.
    "minilm": EmbedderProfile(
        model="sentence-transformers/all-MiniLM-L6-v2",
        revision="1110a243fdf4706b3f48f1d95db1a4f5529b4d41",
        prompt="",
        max_tokens=256,  # its own files; learnt on half of that
        packaged=True,
    ),
    # 109 million, 768 dimensions, Apache-2.0: the paper's (1.5).
    "mpnet": EmbedderProfile(
        model="sentence-transformers/all-mpnet-base-v2",
        prompt="",
        max_tokens=384,  # its own files
    ),
    # 33 million, 384 dimensions, MIT: small and newer. Its query instruction is for search alone.
    "bge-small": EmbedderProfile(model="BAAI/bge-small-en-v1.5", prompt=""),
    # 596 million, 1024 dimensions, Apache-2.0, over 100 languages: strong, and wants a GPU.
    "qwen3-embedding": EmbedderProfile(
        model="Qwen/Qwen3-Embedding-0.6B",
        # The form is the model card's, the task is ours.
        prompt="Instruct: Identify the main theme of the given phrase\nQuery:",
    ),
}


def embedder_profile(name: str) -> EmbedderProfile:
    """The profile of this name, or one that knows only the model's id or folder.

    Raises:
        ConfigError: neither a profile nor an id with an owner nor a path.
    """
    if name in EMBEDDER_PROFILES:
        return EMBEDDER_PROFILES[name]
    if "/" not in name:
        known = (*EMBEDDER_PROFILES, HASHING)
        raise ConfigError(
            f"--embedder {name} is no profile{did_you_mean(name, known)}",
            f"give a profile ({', '.join(known)}), a model id of the hub (owner/name), or a folder"
            " (./name)",
        )
    return EmbedderProfile(model=name)
