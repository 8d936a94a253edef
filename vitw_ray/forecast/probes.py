"""What a run needs and whether it is there: each asked by the check that the run itself makes."""

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vitw_ray.config import RunConfig
from vitw_ray.errors import VitwRayError
from vitw_ray.extraction.questions import questions_for
from vitw_ray.extractor_kinds import EXTRACTORS
from vitw_ray.inference.make import make_language_model
from vitw_ray.inference.weights import refuse_incomplete_reader
from vitw_ray.preflight import (
    check_memory,
    check_packages,
    check_places,
    find_models,
    machine_memory,
)
from vitw_ray.profiles import profile_of
from vitw_ray.stages import SourceFile, Stage
from vitw_ray.storage import Storage

_GPUS = Path("/proc/driver/nvidia/gpus")


@dataclass(frozen=True, slots=True)
class Probe:
    """One thing that a run needs.

    Attributes:
        name: what was looked for.
        found: whether it is there; None: nobody can tell before the run.
        text: what was found, or what is wrong.
        fix: what to do about it.
    """

    name: str
    found: bool | None
    text: str
    fix: str = ""


def probe(config: RunConfig, stages: Sequence[Stage], inputs: Sequence[SourceFile]) -> list[Probe]:
    """Look for what a run needs on this machine; a cluster's nodes may have it all the same.

    A bucket is written to once, and what was written is deleted; a folder is not.
    """
    return list(_probes(config, stages, inputs))


def _probes(
    config: RunConfig, stages: Sequence[Stage], inputs: Sequence[SourceFile]
) -> Iterator[Probe]:
    names = [stage.name for stage in stages]
    packages = _tried("packages", lambda: check_packages(config, names), "all installed here")
    yield packages
    if config.execution.device == "gpu":
        count = len(list(_GPUS.iterdir())) if _GPUS.is_dir() else 0
        fix = "" if count else "submit the job to a cluster with GPUs, or set --device cpu"
        yield Probe("GPU", count > 0, f"{count} on this machine", fix)
    model = config.extraction.model
    if config.extraction.extractor == "vllm" and model is not None:
        name = profile_of(model).model
        where = "folder, complete" if Path(name).is_dir() else "found on the hub or in its cache"

        def find() -> None:
            refuse_incomplete_reader(name)
            find_models(config, stages)

        yield _tried("model", find, f"{name}: {where}")
    total, free = machine_memory()
    room = f"{free:.1f} GiB free of {total:.1f}"
    yield _tried("memory", lambda: check_memory(config, total, free), room)
    apart = _tried("output", lambda: check_places(config, inputs), "")
    yield _output(config.execution.output) if apart.found else apart
    if EXTRACTORS[config.extraction.extractor].has_model:
        yield _schema(config, packages)


def _tried(name: str, check: Callable[[], object], good: str) -> Probe:
    try:
        check()
    except VitwRayError as error:
        return Probe(name, False, error.problem, error.fix)
    return Probe(name, True, good)


def _output(address: str) -> Probe:
    try:
        storage = Storage(address)
    except VitwRayError as error:
        return Probe("output", False, error.problem, error.fix)
    if not storage.local:
        good = f"{address} can be written, and keeps two drivers apart"
        return _tried("output", storage.probe_conditional_writes, good)
    folder = Path(storage.root)
    while not folder.exists():
        folder = folder.parent
    if folder.is_dir() and os.access(folder, os.W_OK):
        return Probe("output", True, f"{address} can be written")
    return Probe("output", False, f"{folder} cannot be written", "choose another --output")


def _schema(config: RunConfig, packages: Probe) -> Probe:
    """Whether decoding is held to the form of an answer."""
    if config.extraction.extractor == "vllm":
        text = "xgrammar is pinned; the engine proves it when it starts, and so does --measure"
        return Probe("schema", None, text)
    if not packages.found:
        return Probe("schema", None, "not asked: packages are missing")
    questions = questions_for(config.extraction).all
    try:
        model = make_language_model(config, questions)
        asyncio.run(model.open())
        enforced = model.describe().get("schema_enforced")
    except VitwRayError as error:
        return Probe("schema", False, error.problem, error.fix)
    if enforced:
        return Probe("schema", True, "the server holds answers to their schema")
    fix = "expect more failed answers; --answer-form lines needs no schema"
    return Probe("schema", False, "the server does not enforce schemas", fix)
