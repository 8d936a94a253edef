"""Find the run whose tree is frozen, and see that it fits.

The key of the stage holds what the files of the frozen tree say, so another tree is another stage.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from vitw_ray.config import RunConfig
from vitw_ray.errors import ConfigError, OutputError
from vitw_ray.inference.embedder_files import describe_embedder
from vitw_ray.keys import content_key
from vitw_ray.opened_run import OpenedRun, open_run
from vitw_ray.run_folder import FileEntry, read_manifest
from vitw_ray.storage import Storage
from vitw_ray.taxonomy.frozen.state import KIND, FrozenTree, read_state

_FIX = "give the folder of a finished run"


@dataclass(frozen=True)
class FrozenRun:
    """Where a frozen tree lies: the run, the stage folder, and its files by name."""

    storage: Storage
    folder: str
    files: Mapping[str, FileEntry]
    details: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """Hash of the tree, wherever it lies."""
        return content_key({name: file.sha256 for name, file in sorted(self.files.items())})

    def read(self) -> FrozenTree:
        """The tree itself."""
        return read_state(self.storage, self.files)


def find_frozen(config: RunConfig) -> FrozenRun | None:
    """The frozen tree of a run, None without one.

    Raises:
        ConfigError: there is no such tree; or its embedder is another one, or its names were made
            public with less support than this run asks for.
    """
    address = config.taxonomy.taxonomy_from
    if address is None:
        return None
    where = f"--taxonomy-from {address}"
    try:
        run = open_run(address)
    except OutputError as error:
        raise ConfigError(f"{where}: {error.problem}", _FIX) from None
    if "taxonomy" not in run.stages:
        raise ConfigError(f"{where}: its stage taxonomy has not run", _FIX)
    folder = run.stages["taxonomy"]["folder"]
    frozen = run.stages["taxonomy"]["details"].get("frozen")
    if frozen and run.storage.root == Storage(config.execution.output).root:
        folder = frozen["folder"] or folder  # its own folder: the tree that it started from
    manifest = read_manifest(run.storage, folder)
    if manifest is None:
        raise ConfigError(f"{where}: {folder} is gone", "restore it, or make that run again")
    files = [FileEntry(**entry) for entry in manifest["files"] if entry["table"] == KIND]
    if not files:
        raise ConfigError(
            f"{where}: vitw_ray {run.version} wrote no tree to go on from", "make that run again"
        )
    _see_that_it_fits(config, where, run, manifest["details"]["embedder"])
    names = {PurePath(file.path).stem: file for file in files}
    return FrozenRun(run.storage, folder, names, manifest["details"])


def frozen_digest(config: RunConfig) -> str | None:
    """Hash of the frozen tree, for the key of the stage; None without one."""
    found = find_frozen(config)
    return None if found is None else found.digest


def _see_that_it_fits(
    config: RunConfig, where: str, run: OpenedRun, embedder: Mapping[str, Any]
) -> None:
    mine = describe_embedder(config)
    if _identity(mine) != _identity(embedder):
        raise ConfigError(
            f"{where} was made with the embedder {' '.join(_identity(embedder))}, and --embedder is"
            f" {' '.join(_identity(mine))}: their distances cannot be compared",
            f"give --embedder {embedder['name']}"
            + (f" --embedder-revision {embedder['revision']}" if embedder.get("revision") else ""),
        )
    for name in ("min_conversations", "min_accounts"):
        asked, had = getattr(config.labels, name), run.config["labels"][name]
        if had < asked:
            flag = name.replace("_", "-")
            raise ConfigError(
                f"{where} shows names from --{flag} {had}, and this run asks for {asked}",
                f"give --{flag} {had} or less, or freeze a run that was made with {asked} or more",
            )


def _identity(embedder: Mapping[str, Any]) -> list[str]:
    """What tells embedders apart: a folder is known by its content, so it can be moved."""
    revision = str(embedder.get("revision") or "")
    name = embedder.get("model") or embedder["name"]
    return [revision] if revision.startswith("sha256:") else [name, *filter(None, [revision])]
