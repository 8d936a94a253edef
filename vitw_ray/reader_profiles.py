"""Open-weight readers by name: how each is asked, what it needs, and where that is written.

A profile holds only what a public source says (`sources`); `tried` says whether it has been run
here. GPU memory is that of the weights (`weights_gib`) and of a full batch: 32 GiB per GPU from 7
billion parameters on, 12 GiB below, rounded up to tens. The first seven profiles are rounded by
hand.

The settings of the engine have vLLM's own names. `language_model_only` leaves out the parts of a
model that read pictures or sound; none are sent. Weights in fp8 halve the memory and raise the
speed by a third at no measured loss; vLLM converts at load ("quantization"), unless the published
weights are quantised already. Small models keep bfloat16, so that they also run on a CPU.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Precision = Literal["bfloat16", "fp8", "MXFP4"]

BYTES_PER_PARAMETER: Mapping[Precision, float] = {
    "bfloat16": 2.0,
    "fp8": 1.15,  # embeddings stay in bfloat16: 30.9 GB of Qwen3.8-27B-FP8
    "MXFP4": 0.66,  # all but the experts stays in bfloat16: 13.8 GB of gpt-oss-20b
}


@dataclass(frozen=True, kw_only=True)
class ReaderProfile:
    """One model.

    Attributes:
        model: id on the hub, or a folder.
        revision: what is read when a run names none; None: the newest.
        engine: arguments of vLLM's engine.
        template: variables of the chat template.
        answer_prefix: stands at the head of the model's turn; skips its reasoning.
        tensor_parallel: GPUs that one engine is spread over.
        context_tokens: that the model was trained for; None: as its files say.
        gpu_memory_gib: what weights and a full batch need, over all GPUs of an engine.
        architecture: name in vLLM's registry of models.
        billions: parameters, all experts included.
        precision: of the weights as the engine holds them.
        licence: of the weights, as its owner names it.
        sources: addresses of the pages that the settings and the licence are from.
        seen: date on which the sources were read.
        tried: date and kind of machine of a run with the real weights; None: never.
    """

    model: str
    revision: str | None = None
    engine: Mapping[str, Any] = field(default_factory=dict)
    template: Mapping[str, Any] = field(default_factory=dict)
    answer_prefix: str = ""
    tensor_parallel: int = 1
    context_tokens: int | None = None
    gpu_memory_gib: int | None = None
    architecture: str | None = None
    billions: float | None = None
    precision: Precision | None = None
    licence: str | None = None
    sources: tuple[str, ...] = ()
    seen: str = "2026-11-28"
    tried: str | None = None

    def deciding(self) -> dict[str, Any]:
        """What decides an answer, beside the weights; the rest only informs or refuses."""
        return {
            "engine": self.engine,
            "template": self.template,
            "answer_prefix": self.answer_prefix,
            "tensor_parallel": self.tensor_parallel,
        }

    @property
    def weights_gib(self) -> float | None:
        """Memory of the weights alone."""
        if self.billions is None or self.precision is None:
            return None
        return self.billions * 1e9 * BYTES_PER_PARAMETER[self.precision] / 2**30


def _recipe(name: str) -> str:
    """A page of vLLM's collection of settings that were run, as of 2026-08-20."""
    commit = "8959cf64189c71d36e11c6a30335f923f261b1f7"
    return f"https://github.com/vllm-project/recipes/blob/{commit}/models/{name}.yaml"


def _hub(page: str) -> str:
    return f"https://huggingface.co/{page}"


def _licence(model: str) -> str:
    return _hub(f"{model}/blob/main/LICENSE")


_SUPPORTED = "https://docs.vllm.ai/en/latest/models/supported_models.html"
_GEMMA_LICENCE = "https://ai.google.dev/gemma/apache_2"

_FP8 = {"dtype": "bfloat16", "quantization": "fp8"}
_TEXT = {"dtype": "bfloat16", "language_model_only": True}
_MISTRAL = {
    "tokenizer_mode": "mistral",
    "config_format": "mistral",
    "load_format": "mistral",  # consolidated*.safetensors; the folder holds the weights twice
    "language_model_only": True,
}
_NO_THINKING = {"enable_thinking": False}

READER_PROFILES: dict[str, ReaderProfile] = {
    "qwen3-8b": ReaderProfile(
        model="Qwen/Qwen3-8B",
        engine=_FP8,
        template=_NO_THINKING,
        context_tokens=32_768,
        gpu_memory_gib=40,
        architecture="Qwen3ForCausalLM",
        billions=8.2,
        precision="fp8",
        licence="Apache-2.0",
        sources=(_recipe("Qwen/Qwen3-8B"), _hub("Qwen/Qwen3-8B")),
    ),
    "qwen3-30b-a3b": ReaderProfile(  # never thinks; 3 of 30 billion weights a token
        model="Qwen/Qwen3-30B-A3B-Instruct-2507",
        engine=_FP8,
        context_tokens=262_144,
        gpu_memory_gib=70,
        architecture="Qwen3MoeForCausalLM",
        billions=30.5,
        precision="fp8",
        licence="Apache-2.0",
        sources=(_hub("Qwen/Qwen3-30B-A3B-Instruct-2507"),),
    ),
    "llama-3.1-8b": ReaderProfile(
        model="meta-llama/Llama-3.1-8B-Instruct",
        engine=_FP8,
        context_tokens=131_072,
        gpu_memory_gib=40,
        architecture="LlamaForCausalLM",
        billions=8.0,
        precision="fp8",
        licence="Llama 3.1 Community License",
        sources=(_recipe("meta-llama/Llama-3.1-8B-Instruct"),),
    ),
    "gemma-3-12b": ReaderProfile(  # reads pictures too; none are sent
        model="google/gemma-3-12b-it",
        engine={"dtype": "bfloat16", "limit_mm_per_prompt": {"image": 0}},
        context_tokens=131_072,
        gpu_memory_gib=60,
        architecture="Gemma3ForConditionalGeneration",
        billions=12.2,
        precision="bfloat16",
        licence="Gemma Terms of Use",
        sources=(_SUPPORTED,),
    ),
    "mistral-small-24b": ReaderProfile(
        model="mistralai/Mistral-Small-24B-Instruct-2501",
        engine=_FP8 | {"tokenizer_mode": "hf"},
        context_tokens=32_768,
        gpu_memory_gib=70,
        architecture="MistralForCausalLM",
        billions=23.6,
        precision="fp8",
        licence="Apache-2.0",
        sources=(_SUPPORTED,),
    ),
    "gpt-oss-20b": ReaderProfile(  # published in MXFP4; its final channel is opened for it
        model="openai/gpt-oss-20b",
        template={"reasoning_effort": "low"},
        answer_prefix="<|channel|>final<|message|>",
        context_tokens=131_072,
        gpu_memory_gib=40,
        architecture="GptOssForCausalLM",
        billions=20.9,
        precision="MXFP4",
        licence="Apache-2.0",
        sources=(_recipe("openai/gpt-oss-20b"),),
    ),
    "llama-3.3-70b": ReaderProfile(  # for comparison, where two GPUs of 80 GB are at hand
        model="meta-llama/Llama-3.3-70B-Instruct",
        engine=_FP8,
        tensor_parallel=2,
        context_tokens=131_072,
        gpu_memory_gib=150,
        architecture="LlamaForCausalLM",
        billions=70.6,
        precision="fp8",
        licence="Llama 3.3 Community License",
        sources=(_recipe("meta-llama/Llama-3.3-70B-Instruct"),),
    ),
    # Published in 2026.
    "qwen3.5-9b": ReaderProfile(
        model="Qwen/Qwen3.5-9B",
        engine=_TEXT,
        template=_NO_THINKING,
        context_tokens=262_144,
        gpu_memory_gib=50,
        architecture="Qwen3_5ForConditionalGeneration",
        billions=9.0,
        precision="bfloat16",
        licence="Apache-2.0",
        sources=(_recipe("Qwen/Qwen3.5-9B"), _licence("Qwen/Qwen3.5-9B")),
    ),
    "qwen3.6-27b": ReaderProfile(
        model="Qwen/Qwen3.6-27B-FP8",
        engine=_TEXT,
        template=_NO_THINKING,
        context_tokens=262_144,
        gpu_memory_gib=70,
        architecture="Qwen3_5ForConditionalGeneration",
        billions=27.0,
        precision="fp8",
        licence="Apache-2.0",
        sources=(_recipe("Qwen/Qwen3.6-27B"), _licence("Qwen/Qwen3.6-27B")),
    ),
    "qwen3.6-35b-a3b": ReaderProfile(  # 3 of 35 billion weights a token
        model="Qwen/Qwen3.6-35B-A3B-FP8",
        engine=_TEXT,
        template=_NO_THINKING,
        context_tokens=262_144,
        gpu_memory_gib=70,
        architecture="Qwen3_5MoeForConditionalGeneration",
        billions=35.0,
        precision="fp8",
        licence="Apache-2.0",
        sources=(_recipe("Qwen/Qwen3.6-35B-A3B"), _licence("Qwen/Qwen3.6-35B-A3B")),
    ),
    "qwen3.8-27b": ReaderProfile(
        model="Qwen/Qwen3.8-27B-FP8",
        engine=_TEXT,
        template=_NO_THINKING,
        context_tokens=262_144,
        gpu_memory_gib=70,
        architecture="Qwen3_5ForConditionalGeneration",
        billions=27.0,
        precision="fp8",
        licence="Apache-2.0",
        sources=(_recipe("Qwen/Qwen3.8-27B"), _licence("Qwen/Qwen3.8-27B-FP8")),
    ),
    "gemma-4-e4b": ReaderProfile(
        model="google/gemma-4-E4B-it",
        engine=_TEXT,
        template=_NO_THINKING,
        context_tokens=131_072,
        gpu_memory_gib=50,
        architecture="Gemma4ForConditionalGeneration",
        billions=8.0,
        precision="bfloat16",
        licence="Apache-2.0",
        sources=(_recipe("Google/gemma-4-E4B-it"), _GEMMA_LICENCE),
    ),
    "gemma-4-12b": ReaderProfile(
        model="google/gemma-4-12B-it",
        engine=_TEXT,
        template=_NO_THINKING,
        context_tokens=131_072,
        gpu_memory_gib=60,
        architecture="Gemma4UnifiedForConditionalGeneration",
        billions=11.95,
        precision="bfloat16",
        licence="Apache-2.0",
        sources=(_recipe("Google/gemma-4-12B-it"), _GEMMA_LICENCE),
    ),
    "gemma-4-26b-a4b": ReaderProfile(  # 4 of 25 billion weights a token
        model="google/gemma-4-26B-A4B-it",
        engine=_TEXT,
        template=_NO_THINKING,
        context_tokens=131_072,
        gpu_memory_gib=80,
        architecture="Gemma4ForConditionalGeneration",
        billions=25.2,
        precision="bfloat16",
        licence="Apache-2.0",
        sources=(_recipe("Google/gemma-4-26B-A4B-it"), _GEMMA_LICENCE),
    ),
    "gemma-4-31b": ReaderProfile(
        model="google/gemma-4-31B-it",
        engine=_TEXT,
        template=_NO_THINKING,
        tensor_parallel=2,
        context_tokens=262_144,
        gpu_memory_gib=130,
        architecture="Gemma4ForConditionalGeneration",
        billions=30.7,
        precision="bfloat16",
        licence="Apache-2.0",
        sources=(_recipe("Google/gemma-4-31B-it"), _GEMMA_LICENCE),
    ),
    "gpt-oss-120b": ReaderProfile(  # fits one GPU of 80 GB, with no room for a full batch
        model="openai/gpt-oss-120b",
        template={"reasoning_effort": "low"},
        answer_prefix="<|channel|>final<|message|>",
        tensor_parallel=2,
        context_tokens=131_072,
        gpu_memory_gib=140,
        architecture="GptOssForCausalLM",
        billions=117.0,
        precision="MXFP4",
        licence="Apache-2.0",
        sources=(
            _recipe("openai/gpt-oss-120b"),
            "https://developers.openai.com/api/docs/models/gpt-oss-120b.md",
        ),
    ),
    "ministral-3-8b": ReaderProfile(  # published in fp8
        model="mistralai/Ministral-3-8B-Instruct-2512",
        engine=_MISTRAL,
        context_tokens=262_144,
        gpu_memory_gib=50,
        architecture="PixtralForConditionalGeneration",
        billions=8.0,
        precision="fp8",
        licence="Apache-2.0",
        sources=(
            _recipe("mistralai/Ministral-3-14B-Instruct-2512"),
            _hub("mistralai/Ministral-3-3B-Instruct-2512/tree/main"),
        ),
    ),
    "ministral-3-14b": ReaderProfile(  # published in fp8
        model="mistralai/Ministral-3-14B-Instruct-2512",
        engine=_MISTRAL,
        context_tokens=262_144,
        gpu_memory_gib=50,
        architecture="PixtralForConditionalGeneration",
        billions=14.0,
        precision="fp8",
        licence="Apache-2.0",
        sources=(
            _recipe("mistralai/Ministral-3-14B-Instruct-2512"),
            _hub("mistralai/Ministral-3-14B-Instruct-2512/discussions/20"),
        ),
    ),
    "muse-glimmer-30b": ReaderProfile(  # Meta's, after Llama; its turn to the user is opened for it
        model="meta-models/Muse-Glimmer-30B",
        engine=_TEXT,
        template={"reasoning_strength": "low"},
        answer_prefix=" to=user<|message|>",
        tensor_parallel=2,
        context_tokens=131_072,
        gpu_memory_gib=120,
        architecture="MuseGlimmerForConditionalGeneration",
        billions=29.6,
        precision="bfloat16",
        licence="Apache-2.0",
        sources=(
            _recipe("meta-models/Muse-Glimmer-30B"),
            "https://vercel.com/ai-gateway/models/muse-glimmer-30b.md",
        ),
    ),
    "olmo-3-7b": ReaderProfile(  # training data are public too
        model="allenai/Olmo-3-7B-Instruct",
        engine={"dtype": "bfloat16"},
        context_tokens=65_536,
        gpu_memory_gib=50,
        architecture="Olmo3ForCausalLM",
        billions=7.0,
        precision="bfloat16",
        licence="Apache-2.0",
        sources=(_hub("allenai/Olmo-3-1025-7B"), _SUPPORTED),
    ),
    # Small: for a GPU of 24 GB, or a CPU.
    "qwen3.5-4b": ReaderProfile(
        model="Qwen/Qwen3.5-4B",
        engine=_TEXT,
        template=_NO_THINKING,
        context_tokens=262_144,
        gpu_memory_gib=20,
        architecture="Qwen3_5ForConditionalGeneration",
        billions=4.0,
        precision="bfloat16",
        licence="Apache-2.0",
        sources=(_recipe("Qwen/Qwen3.5-4B"), _hub("Qwen/Qwen3.5-4B")),
    ),
    "qwen3-4b": ReaderProfile(  # never thinks
        model="Qwen/Qwen3-4B-Instruct-2507",
        engine={"dtype": "bfloat16"},
        context_tokens=262_144,
        gpu_memory_gib=20,
        architecture="Qwen3ForCausalLM",
        billions=4.0,
        precision="bfloat16",
        licence="Apache-2.0",
        sources=(_hub("Qwen/Qwen3-4B-Instruct-2507"), _licence("Qwen/Qwen3-4B-Instruct-2507")),
    ),
    "qwen3-1.7b": ReaderProfile(
        model="Qwen/Qwen3-1.7B",
        engine={"dtype": "bfloat16"},
        template=_NO_THINKING,
        context_tokens=32_768,
        gpu_memory_gib=20,
        architecture="Qwen3ForCausalLM",
        billions=1.7,
        precision="bfloat16",
        licence="Apache-2.0",
        sources=(_recipe("Qwen/Qwen3-1.7B"), _licence("Qwen/Qwen3-1.7B")),
    ),
    "qwen3-0.6b": ReaderProfile(
        model="Qwen/Qwen3-0.6B",
        engine={"dtype": "bfloat16"},
        template=_NO_THINKING,
        context_tokens=32_768,
        gpu_memory_gib=20,
        architecture="Qwen3ForCausalLM",
        billions=0.6,
        precision="bfloat16",
        licence="Apache-2.0",
        sources=("https://featherless.ai/models/ArchiveStudio/Qwen3-0.6B",),
    ),
    "smollm3-3b": ReaderProfile(
        model="HuggingFaceTB/SmolLM3-3B",
        engine={"dtype": "bfloat16"},
        template=_NO_THINKING,
        context_tokens=65_536,
        gpu_memory_gib=20,
        architecture="SmolLM3ForCausalLM",
        billions=3.0,
        precision="bfloat16",
        licence="Apache-2.0",
        sources=(_hub("HuggingFaceTB/SmolLM3-3B"), _SUPPORTED),
    ),
    "smollm2-1.7b": ReaderProfile(
        model="HuggingFaceTB/SmolLM2-1.7B-Instruct",
        engine={"dtype": "bfloat16"},
        context_tokens=8192,
        gpu_memory_gib=20,
        architecture="LlamaForCausalLM",
        billions=1.7,
        precision="bfloat16",
        licence="Apache-2.0",
        sources=(_hub("HuggingFaceTB/SmolLM2-1.7B-Instruct"),),
    ),
}
