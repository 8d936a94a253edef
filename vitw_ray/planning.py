"""The plan of a run: which folder each stage writes to, and whether that is done already."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vitw_ray import paper
from vitw_ray.config import RunConfig
from vitw_ray.extractor_kinds import EXTRACTORS
from vitw_ray.keys import Keyed
from vitw_ray.lease import Lease
from vitw_ray.run_folder import StageFolder, TableRef, tables_of
from vitw_ray.stages import SourceFile, Stage
from vitw_ray.storage import Storage


@dataclass(frozen=True)
class Planned:
    """One line of the plan. The folder of a stage is known once its inputs are."""

    stage: Stage
    folder: str
    state: str


@dataclass(frozen=True)
class RunSetup:
    """What stays the same over the stages of one run."""

    config: RunConfig
    storage: Storage
    keyed: Keyed
    lease: Lease
    inputs: tuple[SourceFile, ...]
    shapes: Mapping[str, str]

    def folder(
        self, stage: Stage, tables: Mapping[str, TableRef], before: list[str]
    ) -> StageFolder:
        """Where a stage writes, given the tables and the folders of the stages before it."""
        inputs: Any = stage.inputs(tables)
        if stage.number == 1:
            files = [(f.name, f.size_bytes, f.version) for f in self.inputs]
            inputs = {"files": files, "shapes": self.shapes, "secret": self.keyed.fingerprint}
        if stage.depends_on_run:
            inputs = {**inputs, "stages": before}
        key = stage.key(self.config, inputs)
        return StageFolder(self.storage, f"{stage.number}_{stage.name}-{key}")


def plan(this: RunSetup, stages: Sequence[Stage]) -> list[Planned]:
    """What is done and what is to do."""
    lines, tables, before = [], {}, []
    for stage in stages:
        if len(lines) > len(before):
            lines.append(Planned(stage, f"{stage.number}_{stage.name}-...", "to do"))
            continue
        folder = this.folder(stage, tables, before)
        manifest = folder.manifest()
        lines.append(Planned(stage, folder.name, "to do" if manifest is None else "done"))
        if manifest is not None:
            before.append(folder.name)
            tables.update(tables_of(manifest))
    return lines


def describe(this: RunSetup, planned: list[Planned]) -> list[str]:
    """The plan for a person."""
    config = this.config
    shapes = ", ".join(sorted(set(this.shapes.values()))) or "none"
    size = sum(file.size_bytes for file in this.inputs)
    labels = config.labels
    extractor = config.extraction.extractor
    if EXTRACTORS[config.extraction.extractor].has_model:
        extractor += f" with {config.extraction.model}"
    return [
        f"input   {len(this.inputs)} files, {size / 1e6:,.1f} MB, shape: {shapes}",
        f"output  {config.execution.output}",
        f"reader  {extractor} on {config.execution.device}, {config.execution.actors} actors",
        f"support a label is kept from {labels.min_conversations} conversations"
        + (
            f" (scaled down: the paper's threshold is {paper.MIN_CONVERSATIONS})"
            if labels.min_conversations < paper.MIN_CONVERSATIONS
            else ""
        ),
        *(f"{p.stage.number}  {p.stage.name:<14} {p.folder:<32} {p.state}" for p in planned),
    ]
