"""Tokens of many texts in one flat array, and batches of similar lengths.

Most texts of a run are short and share their words. Where a tokenizer treats the words between
spaces one by one, each distinct word is tokenised once and texts are put together from arrays.
Otherwise the tokenizer's Rust code encodes all texts in one call, on all cores, without offsets.
Either way the tokens are those that the tokenizer itself gives a text.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

WORDS_KEPT = 2**17  # ours: about 30 MB; more distinct words than this start anew
STEPS = np.array([4, 16, 64])  # ours: of padded lengths where shapes are to be few ...
STEP_ENDS = np.array([32, 128])  # ... up to these lengths
# Normalizers and pre-tokenizers that never look beyond a space.
_LOCAL_NORMALIZERS = {None, "BertNormalizer", "Lowercase", "StripAccents", "NFD"}
_LOCAL_SPLITTERS = {"BertPreTokenizer", "Whitespace", "WhitespaceSplit"}


@dataclass(frozen=True, slots=True)
class Pieces:
    """Token ids of n texts: those of one text after those of the text before it."""

    ids: NDArray[np.int32]
    starts: NDArray[np.int64]  # (n,) where the ids of each text start
    lengths: NDArray[np.int64]  # (n,)

    def padded(
        self, texts: NDArray[np.int64], pad: int, left: bool, shape: tuple[int, int]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Ids of these texts in an array of this shape, and a mask that is 1 where a token is.

        Rows after those of the texts are padding with one token, as attention needs one.
        """
        lengths = np.ones(shape[0], np.int64)
        lengths[: len(texts)] = self.lengths[texts]
        places = np.arange(shape[1])
        mask = places >= (shape[1] - lengths)[:, None] if left else places < lengths[:, None]
        rows = np.full(shape, pad, np.int64)
        rows[: len(texts)][mask[: len(texts)]] = self.ids[
            _spans(self.starts[texts], self.lengths[texts])
        ]
        return rows, mask.astype(np.int64)


class TextPieces:
    """Tokenises lists of texts; any number of threads may call it at once."""

    def __init__(self, tokenizer: Any, prompt: str, max_tokens: int) -> None:
        """Take a tokenizer of transformers, which is not changed.

        Args:
            tokenizer: slow ones, which have no Rust code, are called as they are.
            prompt: stands before each text.
            max_tokens: of a text with its special tokens; the rest is cut.
        """
        self._prompt, self._max_tokens = prompt, max_tokens
        self._slow, self._calling = tokenizer, Lock()
        self._known: dict[str, list[int]] = {}
        self._rust = _own_copy(tokenizer)
        if self._rust is not None:
            ends = _special_ends(self._rust)
            by_words = ends is not None and tokenizer.truncation_side == "right"
            self._ends = ends if by_words and _words_are_independent(self._rust) else None
            if self._ends is None:
                self._rust.enable_truncation(max_tokens, direction=tokenizer.truncation_side)

    def __call__(self, texts: Sequence[str]) -> Pieces:
        """The tokens of each text, special tokens included."""
        prompted = [self._prompt + text for text in texts] if self._prompt else list(texts)
        if not prompted:
            return pieces_of([])
        if self._rust is None:
            with self._calling:  # a call changes the tokenizer's truncation state
                limits = {"truncation": True, "max_length": self._max_tokens}
                return pieces_of(self._slow(prompted, **limits)["input_ids"])
        if self._ends is None:
            return pieces_of([found.ids for found in self._rust.encode_batch_fast(prompted)])
        return self._from_words(prompted, *self._ends)

    def _from_words(self, texts: list[str], before: list[int], after: list[int]) -> Pieces:
        split = [text.split(" ") for text in texts]
        counts = np.fromiter(map(len, split), np.int64, len(split))
        words = list(chain.from_iterable(split))
        number = dict.fromkeys(words)
        dictionary = self._tokens_of(list(number))
        number.update(zip(number, range(len(number)), strict=True))
        used = np.fromiter(map(number.__getitem__, words), np.int64, len(words))
        sizes = dictionary.lengths[used]
        inner = dictionary.ids[_spans(dictionary.starts[used], sizes)]
        ends = np.append(0, sizes.cumsum())[counts.cumsum()]
        starts = np.append(0, ends[:-1])
        lengths = np.minimum(ends - starts, self._max_tokens - len(before) - len(after))
        made = _empty(lengths + len(before) + len(after))
        first = made.starts
        for place, token in enumerate(before):
            made.ids[first + place] = token
        made.ids[_spans(first + len(before), lengths)] = inner[_spans(starts, lengths)]
        for place, token in enumerate(after):
            made.ids[first + len(before) + lengths + place] = token
        return made

    def _tokens_of(self, words: list[str]) -> Pieces:
        known = self._known
        if len(known) > WORDS_KEPT:
            known = self._known = {}  # a thread that is at work keeps the one it has
        missing = [word for word in words if word not in known]
        found = self._rust.encode_batch_fast(missing, add_special_tokens=False)
        known.update(zip(missing, (one.ids for one in found), strict=True))
        return pieces_of([known[word] for word in words])


@dataclass(frozen=True, slots=True)
class Batch:
    """Indices of texts that are computed together, and the (rows, tokens) they are padded to."""

    texts: NDArray[np.int64]
    shape: tuple[int, int]


def length_batches(pieces: Pieces, budget: int, few_shapes: bool = False) -> list[Batch]:
    """Batches of texts of similar lengths, at most `budget` padded tokens per batch.

    The order within and between batches depends only on the contents. A text without tokens is in
    no batch.

    Args:
        pieces: the tokens.
        budget: one text that is longer is a batch alone.
        few_shapes: pad to one of some twenty shapes, so that code compiled for a shape is used
            again.
    """
    order = _by_length_and_ids(pieces)
    lengths = pieces.lengths[order]
    if few_shapes:
        step = STEPS[np.searchsorted(STEP_ENDS, lengths)]
        lengths = -(-lengths // step) * step
    batches, start = [], 0
    while start < len(order):
        ahead = lengths[start : start + max(1, budget // lengths[start])]
        fitting = np.arange(1, len(ahead) + 1) * ahead <= budget
        size = len(ahead) if fitting.all() else max(1, int(fitting.argmin()))
        longest = int(ahead[size - 1])
        rows = max(1, budget // longest) if few_shapes else size
        batches.append(Batch(order[start : start + size], (rows, longest)))
        start += size
    return batches


def _by_length_and_ids(pieces: Pieces) -> NDArray[np.int64]:
    """Indices of texts with tokens, by length; of one length, by their ids in turn."""
    order = pieces.lengths.argsort(kind="stable")
    sorted_lengths = pieces.lengths[order]
    order = order[sorted_lengths > 0]
    starts = pieces.starts
    edges = np.flatnonzero(np.diff(pieces.lengths[order], prepend=0, append=0))
    for begin, end in pairwise(edges):
        same = order[begin:end]
        if len(same) > 1:
            length = int(pieces.lengths[same[0]])
            rows = pieces.ids[starts[same][:, None] + np.arange(length)]
            # Bytes in big-endian order compare as the ids do, one after the other.
            keys = np.ascontiguousarray(rows, ">u4").view(f"S{4 * length}")[:, 0]
            order[begin:end] = same[keys.argsort(kind="stable")]
    return order


def _spans(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The places of all spans, one span after the other."""
    offsets = starts - (lengths.cumsum() - lengths)
    return np.repeat(offsets, lengths) + np.arange(lengths.sum())


def pieces_of(rows: Sequence[Sequence[int]]) -> Pieces:
    """Lists of token ids as arrays."""
    made = _empty(np.fromiter(map(len, rows), np.int64, len(rows)))
    made.ids[:] = np.fromiter(chain.from_iterable(rows), np.int32, len(made.ids))
    return made


def _empty(lengths: NDArray[np.int64]) -> Pieces:
    """Texts of these lengths whose ids are yet to be written."""
    return Pieces(np.empty(int(lengths.sum()), np.int32), lengths.cumsum() - lengths, lengths)


def _own_copy(tokenizer: Any) -> Any:
    """The tokenizer's Rust object, copied and without padding; None if it has none."""
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    if not hasattr(backend, "encode_batch_fast"):
        return None
    copy = type(backend).from_str(backend.to_str())
    copy.encode_special_tokens = bool(getattr(tokenizer, "split_special_tokens", False))
    copy.no_padding()
    copy.no_truncation()
    return copy


def _special_ends(rust: Any) -> tuple[list[int], list[int]] | None:
    """The special tokens before and after any text; None if they cannot be told apart."""
    without = rust.encode("a", add_special_tokens=False).ids
    whole = rust.encode("a").ids
    around = rust.encode("").ids
    for place in range(len(around) + 1):
        if without and whole == around[:place] + without + around[place:]:
            return around[:place], around[place:]
    return None


def _words_are_independent(rust: Any) -> bool:
    """Whether the tokens of a text are those of the words between its spaces, put together."""
    parts = json.loads(rust.to_str())
    normalizer, splitter = parts["normalizer"] or {}, parts["pre_tokenizer"] or {}
    return (
        normalizer.get("type") in _LOCAL_NORMALIZERS
        and splitter.get("type") in _LOCAL_SPLITTERS
        and parts["model"].get("type") == "WordPiece"
        and not any(" " in token["content"] for token in parts["added_tokens"])
    )
