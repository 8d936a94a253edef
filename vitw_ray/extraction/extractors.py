"""Which extractor a run has: all that decides its answers, and how it is made."""

import math
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from types import MappingProxyType
from typing import Any

from vitw_ray.config import ExtractionConfig, RunConfig
from vitw_ray.extraction.answers import Extractor
from vitw_ray.extractor_kinds import EXTRACTORS
from vitw_ray.inference.weights import resolve_revision
from vitw_ray.keys import content_key
from vitw_ray.profiles import profile_of
from vitw_ray.records import RESPONSE_TYPES, VALUE_FACETS
from vitw_ray.source_code import code_digest

NOT_ANSWERS: Mapping[str, str] = MappingProxyType(
    {
        "records": "tables; an answer takes from them the names that are in the key by value",
        "inference.recovery": "when an engine is started again, and what is then asked again",
        "inference.child_processes": "how the processes of an engine end",
    }
)
"""What an extractor imports and the key of its answers leaves out, each with the reason.

A change there makes `extractions` anew from the answers that are there, and asks nothing again.
"""


def extractor_key(config: RunConfig) -> str:
    """Hash of all that decides an extractor's answer to a conversation."""
    extraction = config.extraction
    kind = EXTRACTORS[extraction.extractor]
    parts: dict[str, Any] = {
        "extractor": extraction.extractor,
        "transcript_tokens": extraction.transcript_tokens,
        "device": config.execution.device,
        "code": code_digest(*kind.code, leaving_out=tuple(NOT_ANSWERS)),
        "names": (VALUE_FACETS, RESPONSE_TYPES),
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
            "subjective_from",  # where the questions end
        )
    }
    if extraction.extractor == "vllm":
        profile = profile_of(extraction.model)
        revision = resolve_revision(profile.model, extraction.revision or profile.revision)
        # A folder is known by its content: it may move.
        parts["model"] = None if revision.startswith("sha256:") else profile.model
        parts["revision"] = revision
        parts["profile"] = replace(profile, model="")
        parts["engine_kwargs"] = extraction.engine_kwargs
    return parts


def extractor_settings(config: RunConfig) -> dict[str, Any]:
    """What decides the content of `extractions`: the extractor, and where the gate stands."""
    return {
        "extractor_key": extractor_key(config),
        "code": code_digest(*EXTRACTORS[config.extraction.extractor].code),
        "subjective_from": config.extraction.subjective_from,
    }


def make_extractor(config: RunConfig) -> Extractor:
    """The extractor of a run; called inside the actor, as it may load a model."""
    module = import_module(f"vitw_ray.{EXTRACTORS[config.extraction.extractor].module}")
    return module.make_extractor(config)


def concurrent_units(config: RunConfig) -> int:
    """Units that one actor works on at once: enough that its model never waits for the next."""
    if not EXTRACTORS[config.extraction.extractor].has_model:
        return 1
    return math.ceil(config.execution.requests_in_flight / config.execution.unit_rows) + 1
