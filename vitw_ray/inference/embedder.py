"""Sentence embeddings: unit vectors that are bit-identical for any order of the texts.

A transformer's floating-point result depends on the shape of its batch, so two runs agree only if
they form the same batches. `embed_unique` therefore encodes the sorted unique strings in fixed
blocks. The blocks can be distributed over workers without changing a vector.
"""

import zlib
from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

import numpy as np

from vitw_ray.profiles import HASHING

BLOCK_TEXTS = 4096  # ours: enough texts to sort by length, small enough to spread over workers


class Embedder(Protocol):
    """Holds an embedding model."""

    name: str
    dim: int

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Embed texts: float32, shape (len(texts), dim), rows of length 1, in the given order."""
        ...


def load_embedder(
    name: str, device: Literal["cpu", "gpu"] = "cpu", revision: str | None = None
) -> Embedder:
    """Load an embedder in this process.

    Args:
        name: a profile, a model id on the hub, a folder, or `hashing`.
        device: `gpu` is the GPU visible to this process.
        revision: of a model on the hub; default: the profile's, else the newest.

    Raises:
        ConfigError: the embedder does not exist, or its files are missing, changed or unsafe.
    """
    if name == HASHING:
        return Hashing()
    from vitw_ray.inference.embedder_files import find_embedder
    from vitw_ray.inference.sentence_model import SentenceModel

    return SentenceModel(find_embedder(name, revision), device)


def embed_unique(embedder: Embedder, texts: Sequence[str]) -> np.ndarray:
    """Embed texts, each distinct text once: float32, shape (len(texts), dim).

    A row depends only on the set of distinct texts, not on their order or repetition.
    """
    if not texts:
        return np.empty((0, embedder.dim), dtype=np.float32)
    unique = sorted(set(texts))
    position = {text: index for index, text in enumerate(unique)}
    rows = np.concatenate(
        [embedder.encode(unique[i : i + BLOCK_TEXTS]) for i in range(0, len(unique), BLOCK_TEXTS)]
    )
    return rows[np.fromiter((position[text] for text in texts), np.int64, len(texts))]


class Hashing:
    """Signed hashes of words and character trigrams: no model and no semantics, but very fast."""

    name = HASHING
    dim = 384  # the same as MiniLM, so that measurements with it are comparable

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Embed texts; a row depends only on its own text."""
        rows = np.zeros((len(texts), self.dim), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for feature in _features(text):
                code = zlib.crc32(feature.encode("utf-8", "surrogatepass"))
                row[(code >> 1) % self.dim] += 1.0 if code & 1 else -1.0
            if not row.any():  # no features, or they cancel out
                row[0] = 1.0
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _features(text: str) -> Iterator[str]:
    for word in text.lower().split():
        yield word
        marked = f"^{word}$"
        for start in range(len(marked) - 2):
            yield marked[start : start + 3]
