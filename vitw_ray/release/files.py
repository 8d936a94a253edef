"""The folder of a release: its files, `release.json`, which describes them, and their checksums."""

import hashlib
import io
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vitw_ray.errors import OutputError
from vitw_ray.run_folder import pretty_json
from vitw_ray.storage import Storage

ABOUT = "release.json"
CHECKSUMS = "checksums.sha256"


def parquet(table: pa.Table) -> bytes:
    """A table as a file; the same rows give the same bytes."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def complete(files: Mapping[str, bytes], about: Mapping[str, Any]) -> dict[str, bytes]:
    """The files with `release.json`, and with checksums in the form of `sha256sum`."""
    found = {**files, ABOUT: pretty_json(about)}
    lines = [
        f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(found.items())
    ]
    return {**found, CHECKSUMS: "".join(lines).encode()}


def write_files(storage: Storage, files: Mapping[str, bytes]) -> None:
    """Write a release, its checksums last; the same release may be written again.

    Raises:
        OutputError: the folder holds something else.
    """
    other = sorted({file.path for file in storage.list()} - set(files))
    if storage.exists(CHECKSUMS) and storage.read(CHECKSUMS) != files[CHECKSUMS]:
        other = other or [CHECKSUMS]
    if other:
        raise OutputError(
            f"{storage.root} holds files that are not of this release, such as {other[0]}",
            "name another folder with --to",
        )
    for name in sorted(files, key=lambda name: name == CHECKSUMS):
        storage.write(name, files[name])
