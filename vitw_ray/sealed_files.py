"""Files of finished stages, compared with the size and hash that their manifest states.

A stage checks what it reads before it starts, once: a flipped bit in a table would otherwise be
counted, and published, without an error.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from vitw_ray import cluster
from vitw_ray.keys import Keyed
from vitw_ray.run_folder import FileEntry, seal
from vitw_ray.storage import Storage

UNIT_BYTES = 256 << 20  # ours: about a second of hashing
MOST_UNITS = 1024  # ours: units grow with the files, so that the driver's work is bounded


@dataclass(frozen=True)
class Damage:
    """A file that is not as its manifest says, and why."""

    file: FileEntry
    what: str


def damage_of(storage: Storage, keyed: Keyed, file: FileEntry) -> Damage | None:
    """What is wrong with a file, or None."""
    try:
        data = storage.read(file.path)
    except FileNotFoundError:
        return Damage(file, "is gone")
    if len(data) != file.bytes:
        return Damage(file, f"has {len(data):,} bytes, not {file.bytes:,}")
    # A folder without a secret of its own has plain hashes of private files too.
    sealed = file.sha256 == seal(file.path, data, keyed)
    if not sealed and file.sha256 != hashlib.sha256(data).hexdigest():
        return Damage(file, "has other bytes than were written")
    return None


def find_damage(
    storage: Storage, keyed: Keyed, files: Sequence[FileEntry], *, distributed: bool
) -> list[Damage]:
    """Read files and compare them with their manifests.

    Args:
        storage: of the run folder.
        keyed: of the run.
        files: of finished stages.
        distributed: by workers; else in this process, for few and small files.
    """

    def check(unit: cluster.Unit) -> list[Damage]:
        found = (damage_of(storage, keyed, file) for file in files[unit["first"] : unit["stop"]])
        return [damage for damage in found if damage is not None]

    units = _units(files)
    results = cluster.stream(units, check) if distributed else map(check, units)
    return sorted((one for found in results for one in found), key=lambda one: one.file.path)


def _units(files: Sequence[FileEntry]) -> list[cluster.Unit]:
    most = max(UNIT_BYTES, sum(file.bytes for file in files) // MOST_UNITS)
    units, first, held = list[cluster.Unit](), 0, 0
    for number, file in enumerate(files, 1):
        held += file.bytes
        if held >= most or number == len(files):
            units.append({"first": first, "stop": number})
            first, held = number, 0
    return units
