"""Open-weight models by name: what each needs to be asked well and to fit its GPUs.

`--model qwen3-8b` takes all of it; any other `--model org/name` or folder runs without a profile,
on vLLM's own reading of the model's files. Weights are safetensors, and no code that comes with a
model is run.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One model. `gpu_memory_gib` is what weights and a full batch ask for, over all its GPUs."""

    model: str
    revision: str | None = None
    context_tokens: int | None = None  # trained for; None: as the model's files say
    engine: Mapping[str, Any] = field(default_factory=dict)  # vLLM's own names
    template: Mapping[str, Any] = field(default_factory=dict)  # variables of the chat template
    answer_prefix: str = ""  # stands at the head of the model's turn: what skips its reasoning
    gpu_memory_gib: int | None = None
    tensor_parallel: int = 1


# Weights in fp8 halve the memory and raise the speed by a third at no measured loss; vLLM converts
# at load ("fp8"), unless the published weights are quantised already.
PROFILES: dict[str, Profile] = {
    "qwen3-8b": Profile(
        model="Qwen/Qwen3-8B",
        context_tokens=32_768,
        engine={"dtype": "bfloat16", "quantization": "fp8"},
        template={"enable_thinking": False},
        gpu_memory_gib=40,
    ),
    "qwen3-30b-a3b": Profile(  # the variant that never thinks; 3 of 30 billion weights a token
        model="Qwen/Qwen3-30B-A3B-Instruct-2507",
        context_tokens=262_144,
        engine={"dtype": "bfloat16", "quantization": "fp8"},
        gpu_memory_gib=70,
    ),
    "llama-3.1-8b": Profile(
        model="meta-llama/Llama-3.1-8B-Instruct",
        context_tokens=131_072,
        engine={"dtype": "bfloat16", "quantization": "fp8"},
        gpu_memory_gib=40,
    ),
    "gemma-3-12b": Profile(  # reads pictures too; none are sent
        model="google/gemma-3-12b-it",
        context_tokens=131_072,
        engine={"dtype": "bfloat16", "limit_mm_per_prompt": {"image": 0}},
        gpu_memory_gib=60,
    ),
    "mistral-small-24b": Profile(
        model="mistralai/Mistral-Small-24B-Instruct-2501",
        context_tokens=32_768,
        engine={"dtype": "bfloat16", "quantization": "fp8", "tokenizer_mode": "hf"},
        gpu_memory_gib=70,
    ),
    "gpt-oss-20b": Profile(  # published in MXFP4; its final channel is opened for it
        model="openai/gpt-oss-20b",
        context_tokens=131_072,
        template={"reasoning_effort": "low"},
        answer_prefix="<|channel|>final<|message|>",
        gpu_memory_gib=40,
    ),
    "llama-3.3-70b": Profile(  # for comparison, where two GPUs of 80 GB are at hand
        model="meta-llama/Llama-3.3-70B-Instruct",
        context_tokens=131_072,
        engine={"dtype": "bfloat16", "quantization": "fp8"},
        gpu_memory_gib=150,
        tensor_parallel=2,
    ),
}


def profile_of(model: str) -> Profile:
    """The profile of this name, or one that knows only the model's id or folder."""
    return PROFILES.get(model) or Profile(model=model)
