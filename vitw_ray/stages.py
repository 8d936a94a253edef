"""What a stage is: a function of tables and settings, and all that decides its content."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from vitw_ray.config import RunConfig
from vitw_ray.keys import Keyed, content_key
from vitw_ray.run_folder import StageFolder, StageReport, TableRef
from vitw_ray.source_code import code_digest, module_name
from vitw_ray.storage import Storage


@dataclass(frozen=True)
class SourceFile:
    """An input file. `name` is relative to the folder that all inputs have in common."""

    url: str
    name: str
    size_bytes: int
    version: str
    """Changes with the content: the ETag, or the time of the last change in ns."""


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
    manifests: Mapping[str, Mapping[str, Any]]  # of the stages before, by name, in order


def without(config: Any, *fields: str) -> dict[str, Any]:
    """The settings of a stage but those that enter its key in another form."""
    return {name: value for name, value in asdict(config).items() if name not in fields}


@dataclass(frozen=True)
class Stage:
    """One step of the pipeline."""

    number: int
    name: str
    run: Callable[[StageContext], StageReport]
    settings: Callable[[RunConfig], Any]  # the part of the configuration that decides the content
    reads: tuple[str, ...] = ()
    reads_private: bool = True  # or makes keyed hashes: it cannot be made after a purge
    distributed: bool = True  # works through Ray
    depends_on_run: bool = False  # tells of the stages before, so their keys are part of its own

    def inputs(self, tables: Mapping[str, TableRef]) -> dict[str, str]:
        """Digest of each table it reads."""
        return {name: tables[name].digest for name in self.reads}

    @property
    def code(self) -> str:
        """Hash of the source code that decides its content: the closure of its function."""
        return code_digest(module_name(self.run.__module__))

    def key(self, config: RunConfig, inputs: Any) -> str:
        """Hash of all that decides what this stage writes."""
        return content_key(
            {
                "stage": self.name,
                "settings": self.settings(config),
                "code": self.code,
                "inputs": inputs,
            }
        )
