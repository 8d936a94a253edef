"""The plan of a run: which folder each stage writes to, and whether that is done already."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vitw_ray import paper
from vitw_ray.certified import standing
from vitw_ray.config import ExtractionConfig, RunConfig
from vitw_ray.conversations.layers import base_of, finished_folder
from vitw_ray.conversations.shapes import KNOWN_COLUMNS, SHAPES
from vitw_ray.extraction.health import is_due, stored_check
from vitw_ray.extractor_kinds import EXTRACTORS
from vitw_ray.inference.memory import LIBRARIES_GIB, actor_memory
from vitw_ray.reader_check import check_lines
from vitw_ray.run_folder import StageFolder, TableRef, tables_of
from vitw_ray.stages import RunSetup, Stage
from vitw_ray.summary import folder_name
from vitw_ray.versions import versions

PAGE = "report"
"""The stage that also shows a certificate, where one stands."""
_NAMES = 3  # ours: of the files that are passed over for one reason


@dataclass(frozen=True)
class Planned:
    """One line of the plan. The folder of a stage is known once its inputs are."""

    stage: Stage
    folder: str
    made_by: str | None = None  # version of vitw_ray that finished it; None: to do

    @property
    def state(self) -> str:
        """What the plan says of the stage."""
        if self.made_by is None:
            return "to do"
        this_version = self.made_by == versions()["vitw_ray"]
        return "done" if this_version else f"done by vitw_ray {self.made_by}"


def stage_folder(
    setup: RunSetup, stage: Stage, tables: Mapping[str, TableRef], before: Sequence[str]
) -> StageFolder:
    """Where a stage writes.

    Args:
        setup: the run.
        stage: the stage.
        tables: of the earlier stages.
        before: folders of the earlier stages that do not depend on the run themselves, so that a
            change of the page leaves the release as it is.
    """
    inputs: Any = stage.inputs(tables)
    if stage.number == 1:
        files = [(f.name, f.size_bytes, f.version) for f in setup.inputs]
        inputs = {"files": files, "shapes": setup.shapes, "secret": setup.keyed.fingerprint}
        if setup.config.conversations.keep_parts:
            if (finished := finished_folder(setup)) is not None:
                return StageFolder(setup.storage, finished, setup.keyed)
            base = base_of(setup)
            inputs |= {"kept_parts_of": base.folder} if base else {}
    if stage.depends_on_run:
        inputs = {**inputs, "stages": before}
    key = stage.key(setup.config, inputs)
    return StageFolder(setup.storage, f"{stage.number}_{stage.name}-{key}", setup.keyed)


def plan(setup: RunSetup, stages: Sequence[Stage]) -> list[Planned]:
    """What is done and what is to do."""
    lines: list[Planned] = []
    tables: dict[str, TableRef] = {}
    before: list[str] = []
    for stage in stages:
        if any(line.made_by is None for line in lines if not line.stage.depends_on_run):
            lines.append(Planned(stage, f"{stage.number}_{stage.name}-..."))
            continue
        of_page = standing(setup.storage, tables) if stage.name == PAGE else {}
        made_of = [*before, *map(folder_name, of_page.values())]
        folder = stage_folder(setup, stage, tables, made_of)
        manifest = folder.manifest()
        made_by = None if manifest is None else manifest["versions"]["vitw_ray"]
        lines.append(Planned(stage, folder.name, made_by))
        if manifest is not None:
            before += [] if stage.depends_on_run else [folder.name]
            tables.update(tables_of(manifest))
    return lines


def _not_read(columns: Sequence[str]) -> list[str]:
    """Columns that are not read: by name if a known shape has them, as keys may be anything."""
    told = [name for name in columns if name in KNOWN_COLUMNS]
    others = len(columns) - len(told)
    told += [f"{others} of the input's own"] if others else []
    return [f"        not read: {', '.join(told)}"] if told else []


def describe(setup: RunSetup, planned: list[Planned]) -> list[str]:
    """The plan for a person."""
    config = setup.config
    shapes = ", ".join(sorted(set(setup.shapes.values()))) or "none"
    size = sum(file.size_bytes for file in setup.inputs)
    labels = config.labels
    extractor = config.extraction.extractor
    if EXTRACTORS[config.extraction.extractor].has_model:
        extractor += f" with {config.extraction.model}"
    return [
        f"input   {len(setup.inputs)} files, {size / 1e6:,.1f} MB, shape: {shapes}",
        *([f"        {passed_over_line(setup.passed_over)}"] if setup.passed_over else []),
        *_not_read(setup.not_read),
        f"rows    {_repeats(config)}",
        *_divided(setup),
        *_kept_parts(setup, planned),
        f"output  {config.execution.output}",
        f"reader  {extractor} on {config.execution.device}, {config.execution.actors} actors",
        *_memory(config),
        *_check(setup, planned),
        *_screen(config.extraction),
        f"support a label is kept from {labels.min_conversations} conversations"
        + (
            f" (scaled down: the paper's threshold is {paper.MIN_CONVERSATIONS})"
            if labels.min_conversations < paper.MIN_CONVERSATIONS
            else ""
        ),
        *(f"{p.stage.number}  {p.stage.name:<14} {p.folder:<32} {p.state}" for p in planned),
    ]


def passed_over_line(passed_over: Mapping[str, str]) -> str:
    """What the input holds and the run does not read, by reason, with some of the names."""
    names: dict[str, list[str]] = {}
    for name, reason in passed_over.items():
        names.setdefault(reason, []).append(name)
    parts = [
        f"{len(of_reason)} {reason}: {', '.join(of_reason[:_NAMES])}"
        + (", ..." if len(of_reason) > _NAMES else "")
        for reason, of_reason in sorted(names.items(), key=lambda item: -len(item[1]))
    ]
    files = "1 file" if len(passed_over) == 1 else f"{len(passed_over)} files"
    return f"passed over: {files} ({'; '.join(parts)})"


def _repeats(config: RunConfig) -> str:
    conversations = config.conversations
    kept = {"longest": "the longest of growing histories stays", "all": "growing histories stay"}
    identical = {"keep": "are all kept", "drop": "are kept once"}
    return (
        f"the latest of versions, and {kept[conversations.growing_histories]};"
        f" identical rows without an id {identical[conversations.identical_rows]}"
    )


def _divided(setup: RunSetup) -> list[str]:
    """That rows are counted otherwise than conversations, where the input has such rows."""
    files = sum(bool(SHAPES[shape].several) for shape in setup.shapes.values())
    of = "1 file" if files == 1 else f"{files} files"
    return [f"        each answer of a row is a conversation ({of})"] if files else []


def _kept_parts(setup: RunSetup, planned: Sequence[Planned]) -> list[str]:
    """Which files need not be read again."""
    if not setup.config.conversations.keep_parts or planned[0].made_by is not None:
        return []
    base = base_of(setup)
    if base is None:
        return ["        kept parts: none to go on from, all files are read"]
    read = f"{len(base.read)} of {len(setup.inputs)} files need not be read again"
    return [f"        kept parts: {read}, from {base.folder}"]


def _memory(config: RunConfig) -> list[str]:
    memory = actor_memory(config)
    if memory is None:
        return []
    return [
        f"memory  about {memory.total:.1f} GiB for each actor: {memory.weights:.1f} weights,"
        f" {memory.kv_cache:.1f} KV cache, {LIBRARIES_GIB:.1f} libraries"
    ]


def _check(setup: RunSetup, planned: Sequence[Planned]) -> list[str]:
    """How well the reader read the calibration set, if that is known already."""
    if not is_due(setup.config):
        return []
    found = stored_check(setup.config, setup.storage, setup.epoch)
    to_do = any(p.stage.name == "extractions" and p.made_by is None for p in planned)
    lines = ["not made yet: the calibration set is read first"] if to_do else []
    return [f"check   {line}" for line in (check_lines(found) if found else lines)]


def _screen(extraction: ExtractionConfig) -> list[str]:
    """What the screen will do, where there is one."""
    if not extraction.screen:
        return []
    return [
        f"screen  the reader reads up to {extraction.screen_sample:,} conversations first; then it"
        " skips what is objective with certainty, losing at most"
        f" {100 * extraction.screen_loss:g} % of subjective ones"
    ]
