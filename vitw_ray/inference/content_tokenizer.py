"""A tokenizer for untrusted content: the same pieces and ids, but no control tokens.

A tokenizer matches its added vocabulary (`<|im_end|>`, `<think>`, `</tool_call>`) before anything
else, so a person who types such a token could end a turn or open another. Disabling special tokens
is not enough, as some added tokens are not marked special. The tokenizer built here has no added
vocabulary except white space, and its core model cannot produce a control token's id either.

It is built from the tokenizer's description, the parsed `tokenizer.json`.
"""

import json
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Description = dict[str, Any]

META_SPACE = "\u2581"
"""The character that SentencePiece uses for a space."""


def control_tokens(description: Description) -> frozenset[int]:
    """Ids of all added tokens, special or not, except white space, which counts as text."""
    return frozenset(
        token["id"]
        for token in description["added_tokens"]
        if token["content"].replace(META_SPACE, " ").strip()
    )


def template_tokenizer(description: Description) -> "Tokenizer":
    """The full tokenizer, for the pieces of a chat template.

    It adds no begin or end token and no leading space.
    """
    return _build({**description, **_without_additions(description)})


def content_tokenizer(description: Description) -> "Tokenizer":
    """The tokenizer without its control tokens.

    Raises:
        ValueError: The model is neither BPE nor Unigram.
    """
    model = description["model"]
    control = control_tokens(description)
    blanks = [token for token in description["added_tokens"] if token["content"].isspace()]
    if model.get("type") == "BPE":
        model = _bpe_without(model, control, blanks)
    elif model.get("type") == "Unigram":
        model = _unigram_without(model, control)
        blanks = [token for token in blanks if token["id"] < len(model["vocab"])]
    else:
        raise ValueError(f"its model is {model.get('type')}, not BPE or Unigram")
    steps = _without_additions(description)
    return _build({**description, **steps, "model": model, "added_tokens": blanks})


def _build(description: Description) -> "Tokenizer":
    from tokenizers import Tokenizer

    return Tokenizer.from_str(json.dumps(description))


def _bpe_without(
    model: Description, control: Collection[int], blanks: Collection[Description]
) -> Description:
    """A BPE model without control tokens in its vocabulary or its merges.

    Added white-space tokens go into the vocabulary, because otherwise they would lose their ids.
    """
    vocab = {piece: index for piece, index in model["vocab"].items() if index not in control}
    removed = model["vocab"].keys() - vocab.keys()
    merges = [
        (left, right)
        for left, right in model["merges"]
        if not removed.intersection((left, right, left + right))
    ]
    vocab |= {token["content"]: token["id"] for token in blanks}
    return {**model, "vocab": vocab, "merges": merges, "unk_token": None}


def _unigram_without(model: Description, control: Collection[int]) -> Description:
    """A Unigram model whose control tokens are empty strings, so that no text matches them.

    An id is a position in the list, so a piece cannot be removed. A low score would not be enough:
    a path through an unknown character scores even lower.
    """
    pieces = enumerate(model["vocab"])
    vocab = [("" if index in control else piece, score) for index, (piece, score) in pieces]
    return {**model, "vocab": vocab}


def _without_additions(description: Description) -> Description:
    """The processing steps changed so that they add nothing to a text."""
    return {
        "normalizer": _without_prefix(description["normalizer"]),
        "pre_tokenizer": _without_prefix(description["pre_tokenizer"]),
        "post_processor": None,
        "padding": None,
        "truncation": None,
    }


def _without_prefix(step: Description | None) -> Description | None:
    """The normalizer or pre-tokenizer without the step that adds a leading space."""
    match step:
        case {"type": "Sequence"}:
            (name,) = step.keys() - {"type"}
            kept = [_without_prefix(inner) for inner in step[name]]
            return {**step, name: [inner for inner in kept if inner is not None]}
        case {"type": "Prepend"}:
            return None
        case {"type": "Metaspace"}:
            return {**step, "prepend_scheme": "never"}
        case {"type": "ByteLevel"}:
            return {**step, "add_prefix_space": False}
    return step
