"""Carry the files of an earlier stage 1 into the folder of a new one, without reading them.

A file gets a second name, so that the new folder is whole: a purge, a sweep or a check of it needs
no other folder. Only a part of `conversations` that holds a row which does not stay any more is
read, and written without it.
"""

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from vitw_ray import cluster
from vitw_ray.conversations.layers import CARRIED, Base
from vitw_ray.errors import StageFailed, VitwRayError
from vitw_ray.healing import Damaged
from vitw_ray.run_folder import FileEntry, StageFolder, part_number, read_part
from vitw_ray.sealed_files import UNIT_BYTES, Damage, damage_of, find_damage
from vitw_ray.stages import StageContext

_THREADS = 16  # ours: a second name is mostly storage latency


@dataclass(frozen=True)
class Carried:
    """The files of an earlier stage, in the new folder."""

    files: list[FileEntry]
    rewritten: int
    """Parts of `conversations` with other bytes than before."""


def check_base(context: StageContext, base: Base, kinds: Sequence[str]) -> None:
    """See that the files which are read of an earlier stage are as they were written.

    Raises:
        Damaged: they are not; without that stage, all input files are read.
    """
    files = [file for kind in kinds for file in base.files(kind)]
    many = sum(file.bytes for file in files) > UNIT_BYTES
    damaged = find_damage(context.storage, context.keyed, files, distributed=many)
    if damaged:
        raise Damaged({base.folder: damaged})


def carry(context: StageContext, base: Base, gone: Collection[str]) -> Carried:
    """Give all files of an earlier stage a name in the new folder.

    Args:
        context: of the stage.
        base: the earlier stage.
        gone: ids of conversations that do not stay.

    Raises:
        Damaged: a file of the earlier stage is gone or damaged.
    """
    rewritten = _rewrite(context, base, gone) if gone else {}
    left = [file for kind in CARRIED for file in base.files(kind) if file.path not in rewritten]
    with ThreadPoolExecutor(_THREADS) as pool:
        named = list(pool.map(lambda file: _named(context, file), left))
    if damaged := [one for one in named if isinstance(one, Damage)]:
        raise Damaged({base.folder: damaged})
    files = [one for one in named if isinstance(one, FileEntry)]
    return Carried([*files, *rewritten.values()], len(rewritten))


def _named(context: StageContext, file: FileEntry) -> FileEntry | Damage:
    storage = context.storage
    name = f"part-{part_number(file):05d}"
    for suffix in ("", f"-{file.sha256[:8]}"):  # as `StageFolder.write_table` names attempts
        path = context.folder.path(file.table, f"{name}{suffix}.parquet", private=True)
        there = storage.local and storage.exists(path)
        try:
            storage.copy(file.path, path)
        except FileNotFoundError:
            return Damage(file, "is gone")
        entry = replace(file, path=path)
        if not there or damage_of(storage, context.keyed, entry) is None:
            return entry
    return Damage(file, "cannot be given another name")


def _rewrite(context: StageContext, base: Base, gone: Collection[str]) -> dict[str, FileEntry]:
    """Parts without the rows that are gone, by the path of the earlier file."""
    parts = base.files("conversations")
    rewriter = _Rewriter(context.folder, context, parts, pa.array(sorted(gone), pa.string()))
    found: dict[str, FileEntry] = {}
    removed = 0
    damaged: list[Damage] = []
    units = [{"part": number} for number in range(len(parts))]
    for result in cluster.stream(units, rewriter):
        damaged += result["damaged"]
        removed += result["removed"]
        found |= result["files"]
    if damaged:
        raise Damaged({base.folder: damaged})
    if removed != len(gone):
        raise StageFailed(
            f"{len(gone)} conversations of earlier files are superseded, and {removed} were found",
            "run without --keep-parts, which reads all files",
        )
    return found


@dataclass(frozen=True)
class _Rewriter:
    """Writes a part without some rows, if it holds any of them."""

    folder: StageFolder
    context: StageContext
    parts: Sequence[FileEntry]
    gone: pa.Array

    def __call__(self, unit: cluster.Unit) -> cluster.Unit:
        part, storage = self.parts[unit["part"]], self.context.storage
        nothing = {"damaged": [], "removed": 0, "files": {}}
        try:
            ids = read_part(storage, part, ["conversation_id"])
        except (pa.ArrowException, OSError, VitwRayError):
            damage = damage_of(storage, self.context.keyed, part)
            if damage is None:
                raise
            return {**nothing, "damaged": [damage]}
        stays = ~pc.field("conversation_id").isin(self.gone)
        if ids.filter(stays).num_rows == part.rows:
            return nothing
        if damage := damage_of(storage, self.context.keyed, part):
            return {**nothing, "damaged": [damage]}
        table = read_part(storage, part).filter(stays)
        number = part_number(part)
        written = self.folder.write_table("conversations", table, number, private=True)
        return {**nothing, "removed": part.rows - table.num_rows, "files": {part.path: written}}


def next_part(files: Sequence[FileEntry]) -> int:
    """The first number that no part has."""
    return max((part_number(file) for file in files), default=-1) + 1
