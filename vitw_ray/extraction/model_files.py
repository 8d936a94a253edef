"""Which weights exactly: a model's id and revision made definite before a run starts.

A branch of a model can move, and a folder can change; answers of two sets of weights must not mix.
So the revision is resolved to a commit of the hub, or to a hash of the folder's files, and becomes
part of the extractor's key.
"""

import hashlib
import json
import re
from functools import cache
from pathlib import Path

from vitw_ray.errors import ConfigError

_COMMIT = re.compile(r"[0-9a-f]{40}")


@cache
def resolve_revision(model: str, revision: str | None) -> str:
    """Commit of a model on the hub, or `sha256:` and a hash of a folder's files.

    Raises:
        ConfigError: no such model or folder, weights that are not safetensors, a model that brings
            code of its own, or a hub out of reach and nothing in its cache.
    """
    if Path(model).is_dir():
        return _digest_of_folder(Path(model))
    if model.startswith(("/", ".", "~")):
        raise ConfigError(
            f"--model {model} is no folder on this machine", "give a folder that all nodes see"
        )
    if revision and _COMMIT.fullmatch(revision):
        return revision
    return _commit_on_hub(model, revision)


def _digest_of_folder(folder: Path) -> str:
    files = sorted(file for file in folder.iterdir() if file.is_file())
    names = {file.name for file in files}
    if "config.json" not in names:
        raise ConfigError(f"--model {folder} holds no config.json", "give a model's folder")
    if "auto_map" in json.loads((folder / "config.json").read_text(encoding="utf-8")):
        raise ConfigError(
            f"--model {folder} brings code of its own (auto_map), which is never run",
            "choose a model that vLLM knows",
        )
    if not any(name.endswith(".safetensors") for name in names):
        raise ConfigError(
            f"--model {folder} holds no .safetensors file", "convert its weights to safetensors"
        )
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as handle:
            content = hashlib.file_digest(handle, "sha256").digest()
        digest.update(f"{file.name}\0".encode() + content)
    return f"sha256:{digest.hexdigest()}"


def _commit_on_hub(model: str, revision: str | None) -> str:
    from huggingface_hub import HfApi, try_to_load_from_cache

    try:
        found = HfApi().model_info(model, revision=revision).sha
        why = "not found"
    except Exception as error:  # of whichever HTTP library the client uses; offline is no failure
        cached = None
        if "/" in model:
            cached = try_to_load_from_cache(model, "config.json", revision=revision)
        found = Path(cached).parent.name if isinstance(cached, str) else None
        why = type(error).__name__
    if found is None:
        raise ConfigError(
            f"--model {model} (revision {revision or 'main'}): the hub does not answer for it"
            f" ({why}), and it is not in this machine's cache",
            "check the id, set HF_TOKEN for a gated model, or give a profile or a folder",
        )
    return found
