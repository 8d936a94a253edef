"""What earlier attempts have left in a run folder: damage is found, rubbish is swept.

A stage whose files are damaged or gone is withdrawn: its manifest and the damaged files are
deleted, and it is made again, as are later stages only if the bytes come out differently. What a
finished stage does not name, the scratch files of other keys, and files that were never completed
are deleted.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from vitw_ray.errors import OutputError
from vitw_ray.keys import Keyed, LostSecret
from vitw_ray.progress import log
from vitw_ray.run_folder import SUCCESS, FileEntry, read_manifest
from vitw_ray.sealed_files import Damage, damage_of, find_damage
from vitw_ray.stages import Stage, StageContext
from vitw_ray.storage import PRIVATE, Storage

MOST_ATTEMPTS = 2  # ours: a disk that damages a file again and again is for people to look at
_STAGE_FOLDER = re.compile(r"\d_[a-z]+-[0-9a-f]{16}")


class Damaged(Exception):
    """Stages that were finished and are to be made again."""

    def __init__(self, stages: Mapping[str, list[Damage]]) -> None:
        super().__init__(", ".join(stages))
        self.stages = stages


def check_inputs(stage: Stage, context: StageContext) -> None:
    """See that the tables which a stage reads are as their stages wrote them.

    Raises:
        Damaged: they are not.
    """
    tables = [context.tables[name] for name in stage.reads]
    read = tables if stage.reads_private else [table.public for table in tables]
    _check(context, [file for table in read for file in table.files], stage.distributed)


def check_finished(
    context: StageContext, manifest: Mapping[str, Any], unread: Collection[str]
) -> None:
    """See that what a finished stage shows, and what no stage will check, is as it was written.

    Args:
        context: of the stage.
        manifest: of the stage.
        unread: tables that no stage reads.

    Raises:
        Damaged: it is not.
    """
    files = [FileEntry(**entry) for entry in manifest["files"]]
    shown = [file for file in files if not file.is_private]
    if context.storage.children(f"{PRIVATE}/{context.folder.name}"):  # else it was purged
        shown += [file for file in files if file.is_private and file.table in unread]
    _check(context, shown, distributed=False)


def _check(context: StageContext, files: Sequence[FileEntry], distributed: bool) -> None:
    storage, keyed = context.storage, context.keyed
    if isinstance(keyed, LostSecret):
        files = [file for file in files if not file.is_private]
    damaged: dict[str, list[Damage]] = {}
    for one in find_damage(storage, keyed, files, distributed=distributed):
        folder = one.file.path.removeprefix(f"{PRIVATE}/").split("/")[0]
        damaged.setdefault(folder, []).append(one)
        for earlier in _shared(storage, keyed, folder, one.file):
            damaged.setdefault(earlier.file.path.split("/")[1], []).append(earlier)
    if damaged:
        raise Damaged(damaged)


def _shared(storage: Storage, keyed: Keyed, folder: str, file: FileEntry) -> list[Damage]:
    """The same file in the folders that it was carried from, as far as it is damaged there too.

    They may be names of the same bytes (`--keep-parts`), with which the part would be made again.
    """
    found: list[Damage] = []
    while folder:
        manifest = read_manifest(storage, folder) or {"details": {}, "files": []}
        folder = manifest["details"].get("kept_parts", {}).get("from")
        earlier = (read_manifest(storage, folder) if folder else None) or {"files": []}
        for entry in earlier["files"]:
            if (entry["table"], entry["sha256"]) == (file.table, file.sha256):
                damage = damage_of(storage, keyed, FileEntry(**entry))
                found += [damage] if damage else []
    return found


def withdraw(storage: Storage, found: Damaged, attempts: dict[str, int]) -> None:
    """Have damaged stages made again.

    Args:
        storage: of the run folder.
        found: what is damaged.
        attempts: how often each was withdrawn by this run; counted here.

    Raises:
        OutputError: one of them was withdrawn too often.
    """
    for folder, damages in found.stages.items():
        for one in damages:
            log.warning("damage: %s %s", storage.address(one.file.path), one.what)
        attempts[folder] = attempts.get(folder, 0) + 1
        if attempts[folder] > MOST_ATTEMPTS:
            raise OutputError(
                f"{storage.address(damages[0].file.path)} {damages[0].what}, and was made"
                f" {MOST_ATTEMPTS} times",
                "look at the disk or the bucket: what is written there does not stay",
            )
        log.warning("damage: %s is made again", folder)
        # Damaged files first: a manifest without its files is found again after a kill.
        for one in damages:
            storage.delete(one.file.path)
        storage.delete(f"{folder}/{SUCCESS}")


def sweep(storage: Storage, wanted: Collection[str], *, keep_scratch: bool = False) -> None:
    """Delete what killed attempts have left.

    Args:
        storage: of the run folder.
        wanted: folders of the stages that the run is about to make; their scratch files stay.
        keep_scratch: leave scratch files of other keys, with which their runs would go on.
    """
    for folder in (*storage.children(""), *storage.children(PRIVATE)):
        if _STAGE_FOLDER.fullmatch(folder):
            manifest = read_manifest(storage, folder)
            if manifest is not None:
                sweep_stage(storage, folder, manifest)
            elif folder not in wanted and not keep_scratch:
                storage.delete_prefix(folder)
                storage.delete_prefix(f"{PRIVATE}/{folder}")
    for path in storage.incomplete():
        storage.delete(path)


def sweep_stage(storage: Storage, folder: str, manifest: Mapping[str, Any]) -> None:
    """Delete what a finished stage does not name: scratch files, and parts that came late."""
    named = {entry["path"] for entry in manifest["files"]} | {f"{folder}/{SUCCESS}"}
    for place in (folder, f"{PRIVATE}/{folder}"):
        below = set(storage.children(place))
        of_place = [path[len(place) + 1 :] for path in named if path.startswith(f"{place}/")]
        kept = {path.split("/")[0] for path in of_place}
        for name in sorted(below - kept):
            storage.delete_prefix(f"{place}/{name}")
        if below & kept:
            for stat in storage.list(place):
                if stat.path not in named:
                    storage.delete(stat.path)
