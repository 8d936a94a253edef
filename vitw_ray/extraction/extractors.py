"""Which extractor a run has: all that decides its answers, and how it is made."""

import math
from dataclasses import replace
from typing import Any

from vitw_ray.config import ExtractionConfig, RunConfig
from vitw_ray.extraction.answers import Extractor
from vitw_ray.extraction.model_files import resolve_revision
from vitw_ray.extraction.profiles import profile_of
from vitw_ray.extraction.questions import questions_for
from vitw_ray.keys import code_digest, content_key
from vitw_ray.taxonomy.embedding.embedder_profiles import EMBEDDER_CODE

# Source and data files that decide what an extractor answers, relative to the package.
_ASKED = (
    "extraction/prompts",
    "extraction/questions.py",
    "extraction/asking.py",
    "extraction/parsing.py",
    "conversations/transcript.py",
)
EXTRACTOR_CODE = {
    "vllm": (
        *_ASKED,
        "extraction/vllm_model.py",
        "extraction/vllm_engine.py",
        "extraction/chat_prompt.py",
        "extraction/content_tokenizer.py",
    ),
    "openai": (*_ASKED, "extraction/openai_server.py", "extraction/openai_client.py"),
    "lexicon": (
        "extraction/lexicon",
        "conversations/transcript.py",
        *EMBEDDER_CODE,
        "taxonomy/embedding/embedder_profiles.py",
        "taxonomy/embedding/embedder_files.py",
    ),
    "simulated": ("extraction/simulated.py",),
}
MODEL_EXTRACTORS = ("vllm", "openai")
IN_FLIGHT = 1.5  # of the requests that an engine works on: the rest waits at its door (ours)


def extractor_key(config: RunConfig) -> str:
    """Hash of all that decides an extractor's answer to a conversation."""
    extraction = config.extraction
    parts: dict[str, Any] = {
        "extractor": extraction.extractor,
        "transcript_tokens": extraction.transcript_tokens,
        "device": config.execution.device,
        "code": code_digest("extraction/answers.py", *EXTRACTOR_CODE[extraction.extractor]),
    }
    if extraction.extractor in MODEL_EXTRACTORS:
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
        "subjective_from": config.extraction.subjective_from,
    }


def make_extractor(config: RunConfig) -> Extractor:
    """The extractor of a run; called inside the actor, as it may load a model."""
    extraction = config.extraction
    if extraction.extractor in MODEL_EXTRACTORS:
        from vitw_ray.extraction.model_extractor import EventLoop, ModelExtractor
        from vitw_ray.extraction.models import make_language_model

        model, loop = make_language_model(config), EventLoop()
        loop.run(model.open())
        return ModelExtractor(
            model,
            loop,
            questions_for(extraction),
            gate=extraction.subjective_from,
            in_flight=_in_flight(config),
        )
    if extraction.extractor == "lexicon":
        from vitw_ray.extraction.lexicon import LexiconExtractor

        return LexiconExtractor(extraction, config.execution.device)
    from vitw_ray.extraction.simulated import SimulatedExtractor

    return SimulatedExtractor(extraction)


def _in_flight(config: RunConfig) -> int:
    return math.ceil(IN_FLIGHT * config.execution.requests_at_once)


def concurrent_units(config: RunConfig) -> int:
    """Units that one actor works on at once: enough that its model never waits for the next."""
    if config.extraction.extractor not in MODEL_EXTRACTORS:
        return 1
    return math.ceil(_in_flight(config) / config.execution.unit_rows) + 1
