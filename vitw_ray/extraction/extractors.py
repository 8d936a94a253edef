"""The extractor of a run: the key of everything that determines its answers, and its creation."""

import math
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from types import MappingProxyType
from typing import Any

from vitw_ray.config import ExtractionConfig, RunConfig
from vitw_ray.extraction.answers import Extractor
from vitw_ray.extraction.screen.stored import screen_settings
from vitw_ray.extractor_kinds import EXTRACTORS
from vitw_ray.facets import FACETS
from vitw_ray.inference.weights import resolve_revision
from vitw_ray.keys import content_key
from vitw_ray.profiles import profile_of
from vitw_ray.source_code import code_digest

NOT_ANSWERS: Mapping[str, str] = MappingProxyType(
    {
        "facets": "what decides an answer is in the key by value; the rest are names for people",
        "records": "schemas of tables; an answer depends on none of them",
        "inference.recovery": "when an engine is restarted, and which requests are then repeated",
        "inference.child_processes": "how the processes of an engine are ended",
    }
)
"""Modules that extractors import but the key of their answers leaves out, each with the reason.

After a change to one of them `extractions` is rebuilt from the committed answers; no conversation
is read again.
"""


def extractor_key(config: RunConfig) -> str:
    """Hash of everything that determines the answer to a conversation."""
    extraction = config.extraction
    kind = EXTRACTORS[extraction.extractor]
    parts: dict[str, Any] = {
        "extractor": extraction.extractor,
        "transcript_tokens": extraction.transcript_tokens,
        "device": config.execution.device,
        "code": code_digest(*kind.code, leaving_out=tuple(NOT_ANSWERS)),
        "facets": [(f.field, f.kind, f.speaker, f.most, f.codes) for f in FACETS],
    }
    if kind.has_model:
        parts |= _model_parts(extraction)
    return content_key(parts)


def _model_parts(extraction: ExtractionConfig) -> dict[str, Any]:
    assert extraction.model is not None
    parts: dict[str, Any] = {
        name: getattr(extraction, name)
        for name in (
            "model",
            "questions",
            "explicit_only",
            "salience",
            "evidence",
            "max_output_tokens",
            "temperature",
            "sampling_kwargs",
            "subjective_from",  # the gate, after which all other facets are asked for
        )
    }
    if extraction.extractor == "vllm":
        profile = profile_of(extraction.model)
        revision = resolve_revision(profile.model, extraction.revision or profile.revision)
        # A local folder is identified by its content, so it may be moved.
        parts["model"] = None if revision.startswith("sha256:") else profile.model
        parts["revision"] = revision
        parts["profile"] = replace(profile, model="")
        parts["engine_kwargs"] = extraction.engine_kwargs
    return parts


def extractor_settings(config: RunConfig) -> dict[str, Any]:
    """What determines the content of `extractions`: extractor, subjectivity gate, screen."""
    settings = {
        "extractor_key": extractor_key(config),
        "code": code_digest(*EXTRACTORS[config.extraction.extractor].code),
        "subjective_from": config.extraction.subjective_from,
    }
    screen = screen_settings(config)
    return settings if screen is None else {**settings, "screen": screen}


def make_extractor(config: RunConfig) -> Extractor:
    """Create the extractor of a run. Called inside the actor, since it may load a model."""
    module = import_module(f"vitw_ray.{EXTRACTORS[config.extraction.extractor].module}")
    return module.make_extractor(config)


def concurrent_units(config: RunConfig) -> int:
    """Units that one actor works on concurrently: enough to keep its model busy."""
    if not EXTRACTORS[config.extraction.extractor].has_model:
        return 1
    return math.ceil(config.execution.requests_in_flight / config.execution.unit_rows) + 1
