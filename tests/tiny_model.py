"""A chat model with 0.6 million random weights, created on the fly, that an engine can load.

It has all parts of a real one: Qwen3 layers as safetensors, a byte-level tokenizer trained on a few
invented lines, and a chat template. Its next token is almost uniform over the allowed ones. This is
a hard case for constrained decoding: it takes every path that a grammar allows.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from vitw_ray.extraction.questions import PROMPTS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

MAX_TOKENS = 16_384  # instructions, conversation and the longest answer, at 1 to 2 bytes per token

_PAD, _START, _END = _SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}"
)
_WORDS = (
    *("a", "for", "how", "i", "is", "me", "my", "of", "please", "that", "the", "to", "what", "you"),
    *("bread", "clarity", "explain", "garden", "honesty", "kindness", "learn", "patience", "rules"),
)


def make_tiny_model(
    folder: Path,
    seed: int = 0,
    *,
    lines: Sequence[str] = (),
    vocab_size: int = 2048,
    layers: int = 2,
) -> Path:
    """Write the model and its tokenizer into `folder`, which is returned.

    `lines` is further training text for the tokenizer. The default vocabulary size (ours) has all
    bytes, and words, pieces and JSON punctuation of several bytes.
    """
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    tokenizer = _tokenizer([*_lines(seed), *lines], vocab_size)
    tokenizer.save_pretrained(folder)
    config = Qwen3Config(
        vocab_size=-(-len(tokenizer) // 64) * 64,  # padded, as published models are
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=MAX_TOKENS,
        eos_token_id=_SPECIAL.index(_END),
        pad_token_id=_SPECIAL.index(_PAD),
        bos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen3ForCausalLM(config)
    model.bfloat16().save_pretrained(folder)
    return folder


def terse(folder: Path, ends: str = '"]') -> str:
    """Sampling arguments, as JSON, that make the model in `folder` end texts and lists early.

    Without them it would generate up to twenty values of forty letters. `ends` are the preferred
    characters; a full stop among them shortens sentences.
    """
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    endings = [index for token, index in vocabulary.items() if token[0] in ends]
    return json.dumps({"logit_bias": dict.fromkeys(endings, 20.0)})


def _tokenizer(lines: Sequence[str], vocab_size: int) -> "PreTrainedTokenizerFast":
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=_SPECIAL,  # these get the first ids
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(lines, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=_END,
        pad_token=_PAD,
        model_max_length=MAX_TOKENS,
        chat_template=_TEMPLATE,
    )


def _lines(seed: int) -> list[str]:
    """Prose and JSON, so that tokens span punctuation and words as in real tokenizers.

    The package's prompts are included, so that instructions do not take one token per letter.
    """
    rng = Random(seed)
    prose = [" ".join(rng.choices(_WORDS, k=rng.randint(4, 12))) + "." for _ in range(300)]
    values = [{"label": rng.choice(_WORDS), "explicit": rng.random() < 0.5} for _ in range(300)]
    objects = [json.dumps({"subjectivity": 3, "ai_values": [value]}) for value in values]
    return prose + objects + [prompt.read_text() for prompt in sorted(PROMPTS.glob("*.md"))]
