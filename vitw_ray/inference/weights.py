"""Which weights exactly: a model's id and revision made definite before a run starts.

A branch of a model can move, and a folder can change; answers of two sets of weights must not mix.
So the revision is resolved to a commit of the hub, or to a hash of the folder's files, and becomes
part of the key of what it makes.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from vitw_ray.errors import ConfigError

_COMMIT = re.compile(r"[0-9a-f]{40}")


@cache
def resolve_revision(model: str, revision: str | None, flag: str = "--model") -> str:
    """Commit of a model on the hub, or `sha256:` and a hash of a folder's files.

    Args:
        model: an id of the hub, or a folder.
        revision: commit, branch or tag on the hub; None: the newest.
        flag: the setting that names the model, for messages.

    Raises:
        ConfigError: no such model or folder, weights that are not safetensors, a model that brings
            code of its own, or a hub out of reach and nothing in its cache.
    """
    if Path(model).is_dir():
        return _digest(check_folder(Path(model), flag))
    if model.startswith(("/", ".", "~")):
        raise ConfigError(
            f"{flag} {model} is no folder on this machine", "give a folder that all nodes see"
        )
    if revision and _COMMIT.fullmatch(revision):
        return revision
    return _commit_on_hub(model, revision, flag)


def check_folder(folder: Path, flag: str = "--model") -> list[tuple[str, Path]]:
    """The files of a model by their names within its folder, once it is seen to be data alone.

    These are the files of the folder itself and, of a sentence embedder, those of its modules.

    Raises:
        ConfigError: no configuration, weights that are not safetensors, or code of its own.
    """
    modules = _json(folder / "modules.json") or []
    files = sorted(
        (file.relative_to(folder).as_posix(), file)
        for place in {folder, *(folder / module["path"] for module in modules)}
        if place.is_dir()
        for file in place.iterdir()
        if file.is_file()
    )
    config = _json(folder / "config.json")
    if config is None:
        raise ConfigError(f"{flag} {folder} holds no config.json", "give a model's folder")
    own = "auto_map" in config or any(
        not module["type"].startswith("sentence_transformers.") for module in modules
    )
    if own:
        raise ConfigError(
            f"{flag} {folder} brings code of its own (auto_map or modules), which is never run",
            "choose a model that needs none",
        )
    safe = {name.rpartition("/")[0] for name, _ in files if name.endswith(".safetensors")}
    pickled = {name.rpartition("/")[0] for name, _ in files if name.endswith((".bin", ".pt"))}
    if "" not in safe or pickled - safe:
        raise ConfigError(
            f"{flag} {folder} holds no .safetensors file, or a module without one",
            "convert its weights to safetensors",
        )
    return files


def _json(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def _digest(files: Iterable[tuple[str, Path]]) -> str:
    digest = hashlib.sha256()
    for name, file in files:
        with file.open("rb") as handle:
            content = hashlib.file_digest(handle, "sha256").digest()
        digest.update(f"{name}\0".encode() + content)
    return f"sha256:{digest.hexdigest()}"


def _commit_on_hub(model: str, revision: str | None, flag: str) -> str:
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
            f"{flag} {model} (revision {revision or 'main'}): the hub does not answer for it"
            f" ({why}), and it is not in this machine's cache",
            "check the id, set HF_TOKEN for a gated model, or give a profile or a folder",
        )
    return found
