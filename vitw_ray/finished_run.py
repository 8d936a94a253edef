"""A finished run, opened again by what it says of itself: its settings, inputs and manifests."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from vitw_ray.config import RunConfig
from vitw_ray.errors import OutputError
from vitw_ray.keys import LostSecret
from vitw_ray.run_folder import RUN_FILE, SUCCESS, read_run_file
from vitw_ray.stages import RunSetup, SourceFile
from vitw_ray.storage import Storage


@dataclass(frozen=True)
class FinishedRun:
    """What `run.json` names, as the pipeline works with it."""

    config: RunConfig
    secret_fingerprint: str
    manifests: Mapping[str, dict[str, Any]]
    """Stage -> manifest, in order."""


def read_record(storage: Storage) -> dict[str, Any]:
    """What `run.json` says.

    Raises:
        OutputError: there is none.
    """
    record = read_run_file(storage)
    if record is None:
        raise OutputError(
            f"{storage.root} holds no {RUN_FILE}: it is not the folder of a finished run",
            "give the --output of a run",
        )
    return record


def read_finished(storage: Storage) -> FinishedRun:
    """Open a run folder.

    Raises:
        OutputError: it holds no `run.json`, or one that another version has written.
    """
    record = read_record(storage)
    try:
        return FinishedRun(
            config=_recorded(RunConfig, record["config"]),
            secret_fingerprint=record["secret_fingerprint"],
            manifests={
                stage["name"]: json.loads(storage.read(f"{stage['folder']}/{SUCCESS}"))
                for stage in record["stages"]
            },
        )
    except (KeyError, ValidationError) as error:
        raise OutputError(
            f"{storage.address(RUN_FILE)} was written by another version of vitw_ray"
            f" ({record.get('vitw_ray')}), and lacks or misstates a field",
            "use that version, or run again with the same settings",
        ) from error


def setup_of(
    storage: Storage,
    record: Mapping[str, Any],
    finished: FinishedRun,
    config: RunConfig,
    epoch: int = 0,
) -> RunSetup:
    """The setup of a finished run for what reads its public tables only: it can hash nothing.

    Of the input it knows what `run.json` says: how many files, their sizes and shapes, no names.
    """
    files = list(enumerate(record.get("inputs", ())))
    inputs = tuple(SourceFile("", str(n), f["size_bytes"], "", f["content"]) for n, f in files)
    passed = record.get("passed_over", {})
    return RunSetup(
        config,
        storage,
        LostSecret(finished.secret_fingerprint),
        epoch,
        inputs=inputs,
        shapes={str(n): file["shape"] for n, file in files},
        passed_over={f"{why} {n}": why for why, times in passed.items() for n in range(times)},
    )


def _recorded(kind: Any, record: Mapping[str, Any]) -> Any:
    """A dataclass as it was recorded in JSON.

    It is not checked again: it was when the run was made, and what it names, such as a folder with
    a model, need not be on this machine.
    """
    made = object.__new__(kind)
    types = get_type_hints(kind)
    for field in fields(kind):
        value, expected = record[field.name], types[field.name]
        restored = (
            _recorded(expected, value)
            if is_dataclass(expected)
            else TypeAdapter(expected).validate_python(value)
        )
        object.__setattr__(made, field.name, restored)
    return made
