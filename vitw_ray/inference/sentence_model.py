"""Fast encoding of many short texts with sentence-transformers: batches of similar lengths.

The library's own loop pads each batch of 32 to its longest text. Here texts are sorted by length, a
batch has the number of tokens that suits the device, and vectors are copied from the device once.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any, Literal

import numpy as np

from vitw_ray.errors import ConfigError, StageFailed
from vitw_ray.inference.embedder_files import EmbedderFiles

# Ours: a CPU core is fastest while a batch fits its cache (256-512; 4096 is a quarter slower). A
# GPU is saturated from a few thousand tokens on, and larger batches only add padding.
BATCH_TOKENS = {"cpu": 512, "gpu": 16_384}
_UNIT = 1e-3  # ours: tolerance of a vector's length around 1


class SentenceModel:
    """A model and its tokenizer: float32 on a CPU, half precision on a GPU.

    On the CPU it uses one thread, so that results do not depend on the number of cores; scale with
    processes. On the GPU two threads may encode at once: one tokenises while the other computes.
    """

    def __init__(self, files: EmbedderFiles, device: Literal["cpu", "gpu"] = "cpu") -> None:
        """Load the weights (seconds).

        Raises:
            ConfigError: sentence-transformers cannot load the files, or cannot batch the model.
        """
        folder = files.folder()
        if not files.on_hub:
            os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when the hub's client is imported
        import torch
        from sentence_transformers import SentenceTransformer

        self.name = files.name
        self._on_gpu = device == "gpu"
        self._batch_tokens = BATCH_TOKENS[device]
        dtype = torch.float16 if self._on_gpu else torch.float32
        try:
            self._model = SentenceTransformer(
                str(folder),
                device="cuda" if self._on_gpu else "cpu",
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True, "dtype": dtype},
            )
        except Exception as error:  # the type depends on the library that reads the file
            raise ConfigError(
                f"--embedder {files.name} cannot be loaded ({type(error).__name__})",
                "give a sentence-transformers model with weights in safetensors",
            ) from error
        self._model.eval()
        self._tokenizer: Any = self._model.tokenizer
        self._tokenising = Lock()  # a call changes the tokenizer's truncation state
        self._prompt = self._prompt_of(files)
        limits = (files.profile.max_tokens, self._model.max_seq_length)
        self._max_tokens = int(min(limit for limit in limits if limit))
        dim = self._model.get_embedding_dimension()
        if not callable(getattr(self._tokenizer, "pad", None)) or dim is None:
            raise ConfigError(
                f"--embedder {files.name} is not a transformer with a tokenizer",
                "choose a profile, or another model",
            )
        self.dim = dim

    def _prompt_of(self, files: EmbedderFiles) -> str:
        prompt = files.profile.prompt
        if prompt is None:
            known = {name.lower(): text for name, text in self._model.prompts.items()}
            default = self._model.default_prompt_name or ""
            prompt = known.get("clustering", known.get(default.lower())) or ""
        if prompt and any(getattr(m, "include_prompt", True) is False for m in self._model):
            raise ConfigError(
                f"--embedder {files.name} excludes its prompt from pooling, which is not supported",
                "choose a profile, or another model",
            )
        return prompt

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Embed texts: float32, shape (len(texts), dim), rows of length 1, in the given order.

        The exact bits of a row depend on the multiset of texts.

        Raises:
            StageFailed: a text has no finite vector.
        """
        rows = np.full((len(texts), self.dim), np.nan, dtype=np.float32)
        pieces = self._pieces(texts)
        batches = list(length_batches(pieces, self._batch_tokens))
        if batches:
            import torch

            with self._one_thread(), torch.inference_mode():
                output = torch.cat([self._forward([pieces[i] for i in batch]) for batch in batches])
                output = torch.nn.functional.normalize(output.float(), dim=1)
                rows[np.concatenate(batches)] = output.cpu().numpy()
        off = np.abs(np.linalg.norm(rows, axis=1) - 1)
        if bad := int(np.count_nonzero(~(off < _UNIT))):
            raise StageFailed(
                f"the embedder {self.name} gave no finite vector for {bad} of {len(texts)} texts",
                "choose another --embedder, or --device cpu if half precision is not enough",
            )
        return rows

    def _pieces(self, texts: Sequence[str]) -> list[list[int]]:
        if not texts:
            return []
        with self._tokenising:
            return self._tokenizer(
                [self._prompt + text for text in texts],
                truncation=True,
                max_length=self._max_tokens,
            )["input_ids"]

    def _forward(self, pieces: list[list[int]]) -> Any:
        padded = self._tokenizer.pad({"input_ids": pieces}, return_tensors="pt")
        features: dict[str, Any] = dict(padded.to(self._model.device))
        return self._model(features)["sentence_embedding"]

    @contextmanager
    def _one_thread(self) -> Iterator[None]:
        if self._on_gpu:
            yield
            return
        import torch

        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def length_batches(pieces: Sequence[Sequence[int]], budget: int) -> Iterator[list[int]]:
    """Yield batches of indices of similar lengths, at most `budget` padded tokens per batch.

    The order within and between batches depends only on the contents. An empty piece is in no
    batch.
    """
    order = sorted(
        (i for i in range(len(pieces)) if pieces[i]), key=lambda i: (len(pieces[i]), pieces[i])
    )
    start = 0
    for end in range(1, len(order) + 1):
        longest = len(pieces[order[end]]) if end < len(order) else budget + 1
        if (end - start + 1) * longest > budget:
            yield order[start:end]
            start = end
