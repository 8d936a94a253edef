"""Profiles: open-weight readers and embedders by name, and what each needs.

A reader's profile says how it is asked well and what fits its GPUs. `--model qwen3-8b` takes all of
it; any other `--model org/name` or folder runs without a profile, on vLLM's own reading of the
model's files. An embedder's profile says what its model was trained for.

Weights are safetensors, and no code that comes with a model is run. Keys take of a profile what
decides a result, by value: a new profile, a licence or a source re-keys nothing.
"""

from dataclasses import dataclass
from pathlib import Path

from vitw_ray.errors import ConfigError
from vitw_ray.reader_profiles import READER_PROFILES, ReaderProfile
from vitw_ray.setting_checks import did_you_mean


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
