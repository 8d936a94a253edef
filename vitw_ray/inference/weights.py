"""Resolve a model's revision before a run starts.

A branch of a model can move and a folder can change, but results of different weights must not mix.
So the revision is resolved to a commit on the hub, or to a hash of the folder's files. It is part
of the key of the results.
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
        model: a model id on the hub, or a folder.
        revision: commit, branch or tag on the hub; None: the newest.
        flag: the command-line flag that names the model, for messages.

    Raises:
        ConfigError: the model does not exist, its weights are not safetensors, it needs custom
            code, or the hub is unreachable and the cache has no copy.
    """
    if Path(model).is_dir():
        return _digest(check_folder(Path(model), flag))
    if model.startswith(("/", ".", "~")):
        raise ConfigError(
            f"{flag} {model} is not a folder on this machine",
            "give a folder that all nodes can read",
        )
    if revision and _COMMIT.fullmatch(revision):
        return revision
    return _commit_on_hub(model, revision, flag)


def check_folder(folder: Path, flag: str = "--model") -> list[tuple[str, Path]]:
    """Check that a model's folder has only data, and list its files by relative name.

    These are the files of the folder itself and, for a sentence embedder, of its modules.

    Raises:
        ConfigError: there is no configuration, weights are not safetensors, or the model needs
            custom code.
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
        raise ConfigError(f"{flag} {folder} has no config.json", "give a model's folder")
    needs_code = "auto_map" in config or any(
        not module["type"].startswith("sentence_transformers.") for module in modules
    )
    if needs_code:
        raise ConfigError(
            f"{flag} {folder} needs custom code (auto_map or modules), which is never run",
            "choose a model without custom code",
        )
    safe = {name.rpartition("/")[0] for name, _ in files if name.endswith(".safetensors")}
    pickled = {name.rpartition("/")[0] for name, _ in files if name.endswith((".bin", ".pt"))}
    if "" not in safe or pickled - safe:
        raise ConfigError(
            f"{flag} {folder} has no .safetensors file, or a module without one",
            "convert its weights to safetensors",
        )
    return files


_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "tekken.json")
_TEMPLATES = ("chat_template.jinja", "chat_template.json", "tekken.json")


def refuse_incomplete_reader(model: str) -> None:
    """See that a reader's folder has all that is needed to ask it; not for a model of the hub.

    Raises:
        ConfigError: what is missing, all of it.
    """
    folder = Path(model)
    if not folder.is_dir():
        return
    settings = _json(folder / "tokenizer_config.json") or {}
    there = {file.name for file in folder.iterdir()}
    needed = {
        "config.json": "config.json" in there,
        "a tokenizer (tokenizer.json)": there.intersection(_TOKENIZERS),
        "a chat template (chat_template.jinja)": "chat_template" in settings
        or there.intersection(_TEMPLATES),
        "weights (*.safetensors)": any(name.endswith(".safetensors") for name in there),
    }
    missing = [name for name, found in needed.items() if not found]
    if missing:
        raise ConfigError(
            f"--model {model} lacks {', '.join(missing)}",
            "copy it from where the model is published; a base model has no chat template: choose"
            " its instruct version",
        )


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
    except Exception as error:  # the type depends on the HTTP library; offline, use the cache
        cached = None
        if "/" in model:
            cached = try_to_load_from_cache(model, "config.json", revision=revision)
        found = Path(cached).parent.name if isinstance(cached, str) else None
        why = type(error).__name__
    if found is None:
        raise ConfigError(
            f"{flag} {model} (revision {revision or 'main'}): the hub does not return it"
            f" ({why}), and it is not in this machine's cache",
            "check the id, set HF_TOKEN for a gated model, or give a profile or a folder",
        )
    return found
