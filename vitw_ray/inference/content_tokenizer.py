"""A second tokenizer for what people wrote: the same pieces and ids, but no control tokens.

A tokenizer looks for its added vocabulary (`<|im_end|>`, `<think>`, `</tool_call>`) before anything
else, so that a person who types such a word ends a turn or opens another. Switching off special
tokens leaves the added tokens that are not marked special. What is made here has no added
vocabulary at all, and its core model cannot reach a control token's id either.

Works on the tokenizer's own description, the parsed `tokenizer.json`.
"""

import json
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Description = dict[str, Any]

META_SPACE = "\u2581"
"""What sentencepiece writes for a space."""


def control_tokens(description: Description) -> frozenset[int]:
    """Ids of all added tokens, special or not, except runs of white space, which are text."""
    return frozenset(
        token["id"]
        for token in description["added_tokens"]
        if token["content"].replace(META_SPACE, " ").strip()
    )


def template_tokenizer(description: Description) -> "Tokenizer":
    """The whole tokenizer for pieces of a chat template, which stand inside of a prompt.

    A piece gets no begin and no end token and no space before it.
    """
    return _made({**description, **_for_the_inside(description)})


def content_tokenizer(description: Description) -> "Tokenizer":
    """The tokenizer without its control tokens.

    Raises:
        ValueError: The model is neither BPE nor Unigram, or cannot write every text.
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
    inside = _for_the_inside(description)
    return _made({**description, **inside, "model": model, "added_tokens": blanks})


def _made(description: Description) -> "Tokenizer":
    from tokenizers import Tokenizer

    return Tokenizer.from_str(json.dumps(description))


def _bpe_without(
    model: Description, control: Collection[int], blanks: Collection[Description]
) -> Description:
    """A BPE model that knows no control token, neither as a whole word nor as a merge.

    White space that is an added token keeps its id only by standing in the model's vocabulary.
    """
    vocab = {piece: index for piece, index in model["vocab"].items() if index not in control}
    gone = model["vocab"].keys() - vocab.keys()
    merges = [
        (left, right)
        for left, right in model["merges"]
        if not gone.intersection((left, right, left + right))
    ]
    vocab |= {token["content"]: token["id"] for token in blanks}
    return {**model, "vocab": vocab, "merges": merges, "unk_token": None}


def _unigram_without(model: Description, control: Collection[int]) -> Description:
    """A Unigram model whose control tokens have no letters, so that no text leads to them.

    An id is a position in the list, so a piece cannot be left out. A low score would not do: the
    way through an unknown letter scores lower still.
    """
    pieces = enumerate(model["vocab"])
    vocab = [("" if index in control else piece, score) for index, (piece, score) in pieces]
    return {**model, "vocab": vocab}


def _for_the_inside(description: Description) -> Description:
    """Steps that leave a text as it is when it stands inside of a prompt."""
    return {
        "normalizer": _without_prefix(description["normalizer"]),
        "pre_tokenizer": _without_prefix(description["pre_tokenizer"]),
        "post_processor": None,
        "padding": None,
        "truncation": None,
    }


def _without_prefix(step: Description | None) -> Description | None:
    """A normalizer or pre-tokenizer that puts no space before a text."""
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
