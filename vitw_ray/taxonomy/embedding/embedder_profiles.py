"""Sentence embedders by name: what each needs beside the files it is published with.

`--embedder mpnet` takes all of it; any other `--embedder org/name` or folder runs without a
profile, as its own files say. All of these are English or multilingual sentence-transformers models
with weights in safetensors, under a licence that allows any use, and bring no code of their own.
"""

from dataclasses import dataclass

from vitw_ray.errors import ConfigError

HASHING = "hashing"
"""The name of the one embedder that is no model."""
# Source files that, with a profile and a revision, decide a vector; relative to the package.
EMBEDDER_CODE = ("taxonomy/embedding/embed.py", "taxonomy/embedding/sentence_model.py")
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


PROFILES: dict[str, EmbedderProfile] = {
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
    if name in PROFILES:
        return PROFILES[name]
    if "/" not in name:
        raise ConfigError(
            f"--embedder {name} is no profile ({', '.join(PROFILES)}, {HASHING})",
            "give one of these, a model id of the hub (owner/name), or a folder (./name)",
        )
    return EmbedderProfile(model=name)
