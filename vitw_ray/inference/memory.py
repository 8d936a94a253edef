"""How much memory an actor with vLLM on a CPU takes: weights, KV cache, and the libraries twice.

Measured with SmolLM2-135M (0.26 GiB of weights, vLLM 0.29, no torch.compile),
in GiB of proportional set size: 3.6 with a KV cache of 2 GiB, 2.6 with one of 1 GiB, 3.8 after a
first batch. Of the rest, 0.6 is the actor's process and 0.8 the engine's: each loads torch and
vLLM. The cache is written to when the engine starts, so it counts in full. The number of tokens per
step hardly matters.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitw_ray.config import RunConfig
from vitw_ray.profiles import profile_of
from vitw_ray.setting_checks import json_object

GIB = 2**30
LIBRARIES_GIB = 1.6  # measured: 1.4, and 0.15 after a first batch
KV_SPACE = "VLLM_CPU_KVCACHE_SPACE"  # GiB; vLLM's own, and stronger than its argument
CONTEXTS = 4  # ours: whole contexts in the KV cache; most conversations take a quarter of one
LARGEST_KV = 2 * GIB  # ours: as much for a model whose contexts would take more ...
ROOM = 1.25  # ... but always one context, and some room for the shared head of all prompts
PROMPT_TOKENS = 1536  # ours: instructions and cue, in the tokens of most models


@dataclass(frozen=True)
class ActorMemory:
    """Estimated memory of one actor, in GiB."""

    weights: float
    kv_cache: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.weights + self.kv_cache + LIBRARIES_GIB


def actor_memory(config: RunConfig) -> ActorMemory | None:
    """The estimate for the actors of a run; None where it is not known.

    It is known for vLLM on a CPU with a model in a folder.
    """
    extraction = config.extraction
    if extraction.extractor != "vllm" or config.execution.device != "cpu":
        return None
    folder = Path(profile_of(extraction.model or "").model)
    model = read_model_config(str(folder))
    if not model:
        return None
    weights = sum(file.stat().st_size for file in folder.glob("*.safetensors")) / GIB
    return ActorMemory(weights, kv_cache_bytes(config, model) / GIB)


def kv_cache_bytes(config: RunConfig, model: Mapping[str, Any], context: int = 0) -> int:
    """Size of an engine's KV cache on a CPU.

    Args:
        config: the run.
        model: the model's `config.json`.
        context: tokens of the longest prompt and answer, where the prompts are known.
    """
    further = json_object("engine_kwargs", config.extraction.engine_kwargs)
    if os.environ.get(KV_SPACE):
        return int(os.environ[KV_SPACE]) * GIB
    if "kv_cache_memory_bytes" in further:
        return int(further["kv_cache_memory_bytes"])
    extraction = config.extraction
    tokens = PROMPT_TOKENS + extraction.transcript_tokens + 2 * extraction.max_output_tokens
    one = max(tokens, context) * _bytes_per_token(model)
    return max(int(ROOM * one), min(CONTEXTS * one, LARGEST_KV))


def read_model_config(model: str) -> Mapping[str, Any]:
    """A folder's `config.json`; empty for a model of the hub."""
    file = Path(model) / "config.json"
    found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return found.get("text_config", found)  # of models that read pictures too


def _bytes_per_token(model: Mapping[str, Any]) -> int:
    """Keys and values of one token over all layers, at two bytes each.

    Without the model's sizes: those of an 8B model.
    """
    layers, heads = model.get("num_hidden_layers") or 36, model.get("num_attention_heads") or 32
    size = model.get("head_dim") or (model.get("hidden_size") or 4096) // heads
    shared = model.get("num_key_value_heads") or (heads if "num_attention_heads" in model else 8)
    return 2 * layers * shared * size * 2
