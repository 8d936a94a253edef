"""A sentence embedder with random weights, created on the fly, for sentence-transformers.

It has two layers as safetensors and a WordPiece tokenizer trained on a few invented lines. Options
cover how published models differ: encoder or decoder, pooling, prompt and padding.
"""

from pathlib import Path
from random import Random

LENGTH = 64  # maximum number of tokens
DIM = 32
_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_WORDS = (
    *("care", "clarity", "courage", "fairness", "honesty", "humour", "kindness", "patience"),
    *("and", "being", "for", "of", "others", "the", "their", "to", "truth", "with", "work"),
)


def make_tiny_embedder(
    folder: Path,
    *,
    pooling: str = "mean",
    normalize: bool = True,
    prompts: dict[str, str] | None = None,
    default_prompt: str | None = None,
    decoder: bool = False,
    seed: int = 0,
) -> Path:
    """Write the model into `folder`, which is returned.

    Args:
        folder: created if needed.
        pooling: pooling mode of sentence-transformers.
        normalize: whether the model itself normalises its output.
        prompts: prefixes of a sentence, by name.
        default_prompt: name of the prompt that is always used.
        decoder: Qwen3 with left padding instead of BERT.
        seed: of the weights.
    """
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling
    from transformers import BertConfig, BertModel, Qwen3Config, Qwen3Model

    tokenizer = _tokenizer("left" if decoder else "right")
    shape = {
        "vocab_size": len(tokenizer),
        "hidden_size": DIM,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": LENGTH,
        "initializer_range": 0.5,  # so that different words give different rows
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if decoder:
            model = Qwen3Model(Qwen3Config(**shape, num_key_value_heads=2, head_dim=8))
        else:
            model = BertModel(BertConfig(**shape))
    parts = folder.with_name(f"{folder.name}-parts")
    model.save_pretrained(parts)
    tokenizer.save_pretrained(parts)
    modules = [Transformer(str(parts)), Pooling(DIM, pooling)]
    modules += [Normalize()] if normalize else []
    SentenceTransformer(
        modules=modules, prompts=prompts, default_prompt_name=default_prompt, device="cpu"
    ).save(str(folder))
    return folder


def _tokenizer(padding_side: str):
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    rng = Random(0)
    lines = [" ".join(rng.choices(_WORDS, k=rng.randint(1, 12))) for _ in range(300)]
    pieces = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    pieces.normalizer = normalizers.BertNormalizer()
    pieces.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=300, special_tokens=_SPECIAL, show_progress=False
    )
    pieces.train_from_iterator(lines, trainer)
    pieces.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return PreTrainedTokenizerFast(
        tokenizer_object=pieces,
        model_max_length=LENGTH,
        padding_side=padding_side,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def texts(count: int, seed: int = 0) -> list[str]:
    """Distinct texts, from one word to more than the model's limit."""
    rng = Random(seed)
    return [f"{' '.join(rng.choices(_WORDS, k=1 + n * n % 90))} {n}" for n in range(count)]
