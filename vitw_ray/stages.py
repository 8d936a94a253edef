"""What a stage is: a function of tables and settings, and all that decides its content."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vitw_ray.config import RunConfig
from vitw_ray.conversations.sources import SourceFile
from vitw_ray.keys import Keyed, code_digest, content_key
from vitw_ray.run_folder import StageFolder, StageReport, TableRef
from vitw_ray.storage import Storage


@dataclass(frozen=True)
class StageContext:
    """What a stage's function is given."""

    config: RunConfig
    storage: Storage
    folder: StageFolder
    keyed: Keyed
    epoch: int  # of the driver's lease; goes into the names of what is written before the manifest
    inputs: tuple[SourceFile, ...]
    shapes: Mapping[str, str]  # input file name -> shape of its rows
    tables: Mapping[str, TableRef]
    manifests: tuple[Mapping[str, Any], ...]  # of the stages before, in order


@dataclass(frozen=True)
class Stage:
    """One step of the pipeline."""

    number: int
    name: str
    run: Callable[[StageContext], StageReport]
    settings: Callable[[RunConfig], Any]  # the part of the configuration that decides the content
    code: tuple[str, ...]  # source and data files, relative to the package
    reads: tuple[str, ...] = ()
    after: bool = field(
        default=False
    )  # tells of the stages before, so their keys are part of its own

    def inputs(self, tables: Mapping[str, TableRef]) -> dict[str, str]:
        """Digest of each table it reads."""
        return {name: tables[name].digest for name in self.reads}

    def key(self, config: RunConfig, inputs: Any) -> str:
        """Hash of all that decides what this stage writes."""
        return content_key(
            {
                "stage": self.name,
                "settings": self.settings(config),
                "code": code_digest("records.py", "keys.py", "run_folder.py", *self.code),
                "inputs": inputs,
            }
        )
