"""The extractor of a run: the key of everything that determines its answers, and its creation."""

import hashlib
from collections.abc import Mapping
from importlib import import_module
from importlib.resources import files
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

CALIBRATION_SET = files("vitw_ray.extraction.calibration") / "conversations.jsonl"
NOT_ANSWERS: Mapping[str, str] = MappingProxyType(
    {
        "facets": "what decides an answer is in the key by value; the rest are names for people",
        "records": "schemas of tables; an answer depends on none of them",
        "inference.recovery": "when an engine is restarted, and which requests are then repeated",
        "inference.memory": "how many requests an engine can hold at once",
        "inference.server_retries": "which failed requests are sent again, and how often",
        "inference.time_limits": "when a request has failed; a later run asks it again",
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
        "strict": extraction.strict,
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
            "answer_form",
            "paraphrase",
            "explicit_only",
            "salience",
            "evidence",
            "max_output_tokens",
            "temperature",
            "sampling_kwargs",
            "subjective_from",  # the gate, after which all other facets are asked for
        )
    }
    if extraction.questions == "short":  # closed answers are fitted to it
        parts["calibration_set"] = hashlib.sha256(CALIBRATION_SET.read_bytes()).hexdigest()
    if extraction.extractor == "vllm":
        profile = profile_of(extraction.model)
        revision = resolve_revision(profile.model, extraction.revision or profile.revision)
        # A local folder is identified by its content, so it may be moved.
        parts["model"] = None if revision.startswith("sha256:") else profile.model
        parts["revision"] = revision
        parts["profile"] = profile.deciding()
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


def settings_without_start(config: RunConfig) -> dict[str, Any]:
    """What a run knows of its model without starting it: every answer was there already."""
    extraction = config.extraction
    if not EXTRACTORS[extraction.extractor].has_model:
        return {}
    if extraction.extractor != "vllm":
        return {"model": extraction.model}
    assert extraction.model is not None
    profile = profile_of(extraction.model)
    revision = resolve_revision(profile.model, extraction.revision or profile.revision)
    return {"model": profile.model, "revision": revision}
