"""What a stage is: a function from tables to tables, and a key of everything that determines it."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from vitw_ray.config import RunConfig
from vitw_ray.kept_results import KeptResults
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
    """Changes with the content: the ETag, or the modification time in ns."""
    content: str = "lines"
    """How it is packed and laid out, as its first bytes say; not detected again by later steps."""
    member: str = ""
    """Which file of an archive; empty for a file of its own."""


@dataclass(frozen=True)
class RunSetup:
    """What stays the same over the stages of one run."""

    config: RunConfig
    storage: Storage
    keyed: Keyed
    epoch: int  # of the driver's lease; part of the names of files written before the manifest
    inputs: tuple[SourceFile, ...]
    shapes: Mapping[str, str]  # name of an input file -> shape of its rows
    passed_over: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    """Name of what the input holds and the run does not read -> why."""
    not_read: tuple[str, ...] = field(default=(), kw_only=True)
    """Columns of the input that its shapes do not read."""


@dataclass(frozen=True)
class StageContext(RunSetup):
    """The argument of a stage's function: the run, and what the earlier stages left."""

    folder: StageFolder
    tables: Mapping[str, TableRef]
    manifests: Mapping[str, Mapping[str, Any]]  # of the earlier stages, by name, in order

    @property
    def kept(self) -> KeptResults:
        """What a killed attempt of the stage has left."""
        return KeptResults(self.storage, self.folder.name, self.keyed)


def without(config: Any, *fields: str) -> dict[str, Any]:
    """The settings of a stage without some fields: those whose key uses another form of them."""
    return {name: value for name, value in asdict(config).items() if name not in fields}


@dataclass(frozen=True)
class Stage:
    """One step of the pipeline."""

    number: int
    name: str
    run: Callable[[StageContext], StageReport]
    settings: Callable[[RunConfig], Any]  # the part of the configuration that determines it
    reads: tuple[str, ...] = ()  # names of its input tables
    reads_private: bool = True  # or makes keyed hashes: it cannot run after a purge
    distributed: bool = True  # works through Ray
    depends_on_run: bool = False  # reports on all earlier stages: their keys are part of its key

    def inputs(self, tables: Mapping[str, TableRef]) -> dict[str, str]:
        """Digest of each input table."""
        return {name: tables[name].digest for name in self.reads}

    @property
    def code(self) -> str:
        """Hash of the source code that determines its output: the closure of its module."""
        return code_digest(module_name(self.run.__module__))

    def key(self, config: RunConfig, inputs: Any) -> str:
        """Hash of everything that determines what this stage writes."""
        return content_key(
            {
                "stage": self.name,
                "settings": self.settings(config),
                "code": self.code,
                "inputs": inputs,
            }
        )
