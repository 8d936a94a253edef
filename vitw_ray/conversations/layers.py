"""What `--keep-parts` goes on from: a finished stage 1 that read some of today's input files.

It is sought among all finished ones of the run folder, not only the one that `run.json` names: a
stage that is withdrawn because a file is damaged is then made again from where it came from.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vitw_ray.conversations.reading_units import joined_files
from vitw_ray.keys import content_key
from vitw_ray.run_folder import FileEntry, read_manifest
from vitw_ray.source_code import code_digest
from vitw_ray.stages import RunSetup, without
from vitw_ray.storage import PRIVATE

DETAILS = "kept_parts"
"""What a manifest says of it."""
OPENINGS_KEPT, KNOWN_ROWS, FILES_READ = "openings", "known_rows", "files_read"
"""Kinds of private files that a next run goes on from: see `histories`, `known_rows`."""
CARRIED = ("conversations", "rejects", OPENINGS_KEPT, KNOWN_ROWS)
_FOLDER = re.compile(r"1_conversations-[0-9a-f]{16}")


@dataclass(frozen=True)
class Base:
    """A finished stage 1 whose input files are some of today's."""

    folder: str
    manifest: Mapping[str, Any]
    read: Mapping[str, int]
    """Name of an input file -> rows that were read of it."""
    opening_size: float
    """Of its openings, in full runs."""
    known: int
    """How many of its rows a next run has to know."""

    def files(self, kind: str) -> list[FileEntry]:
        """Its files of one table or kind."""
        named = (FileEntry(**entry) for entry in self.manifest["files"])
        return sorted((f for f in named if f.table == kind), key=lambda file: file.path)

    @property
    def layers(self) -> int:
        """How many passes its parts come from."""
        return self.manifest["details"][DETAILS]["layers"]


def rules(setup: RunSetup) -> str:
    """Hash of what decides the fate of a row beside the other rows: settings, code, secret."""
    settings = without(setup.config.conversations, "input")
    code = code_digest("conversations.read")
    return content_key({"settings": settings, "code": code, "secret": setup.keyed.fingerprint})


def files_read(setup: RunSetup) -> list[list[Any]]:
    """The input files, as a next run compares them."""
    return [[f.name, f.size_bytes, f.version, setup.shapes.get(f.name)] for f in setup.inputs]


def finished_folder(setup: RunSetup) -> str | None:
    """The folder of a finished stage 1 that read the input files as they are now."""
    wanted = {"rules": rules(setup), "read": content_key({"files": files_read(setup)})}
    for folder, manifest in _finished(setup):
        said = manifest["details"].get(DETAILS, {})
        if all(said.get(name) == value for name, value in wanted.items()):
            return folder
    return None


def base_of(setup: RunSetup) -> Base | None:
    """The finished stage 1 that read most of today's input files, and no other file."""
    if not setup.config.conversations.keep_parts:
        return None
    today = {tuple(file) for file in files_read(setup)}
    found: list[tuple[int, Base]] = []
    rule = rules(setup)
    for folder, manifest in _finished(setup):
        if manifest["details"].get(DETAILS, {}).get("rules") != rule:
            continue
        path = f"{PRIVATE}/{folder}/{FILES_READ}/{FILES_READ}.json"
        try:
            note = json.loads(setup.storage.read(path))
        except (FileNotFoundError, ValueError):  # purged or damaged
            continue
        before = {tuple(file) for file in note["files"]}
        if before < today and not _joined(setup, {file[0] for file in before}):
            names = (file[0] for file in note["files"])
            rows = dict(zip(names, manifest["details"]["rows_by_file"], strict=True))
            size, known = note["opening_size"], note["known_rows"]
            found.append((len(before), Base(folder, manifest, rows, size, known)))
    return max(found, key=lambda one: (one[0], one[1].folder))[1] if found else None


def _finished(setup: RunSetup) -> list[tuple[str, dict[str, Any]]]:
    names = filter(_FOLDER.fullmatch, setup.storage.children(""))
    found = ((name, read_manifest(setup.storage, name)) for name in names)
    return [(name, manifest) for name, manifest in found if manifest is not None]


def _joined(setup: RunSetup, before: set[str]) -> bool:
    """Whether rows of a new file and of an earlier one may be of one conversation."""
    together, _ = joined_files(setup.inputs, setup.shapes)
    names = ({setup.inputs[n].name in before for n in places} for places in together)
    return any(len(kinds) > 1 for kinds in names)
