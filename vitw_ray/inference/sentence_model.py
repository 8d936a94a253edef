"""Fast encoding of many short texts with sentence-transformers: batches of similar lengths.

The library's own loop pads each batch of 32 to its longest text. Here texts are tokenised together
(`text_pieces`) and sorted by length, a batch has the number of tokens that suits the device, and
vectors are copied from the device once. A GPU gets batches from pinned memory and is not waited
for, so the next batch is prepared while it computes.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np

from vitw_ray.errors import ConfigError, StageFailed
from vitw_ray.inference.embedder_files import EmbedderFiles
from vitw_ray.inference.text_pieces import Batch, Pieces, TextPieces, length_batches

# Ours: a CPU core is fastest while a batch fits its cache (256-512; 4096 is a quarter slower). A
# GPU computes a small model's batch faster than Python starts its kernels, so a batch is large.
BATCH_TOKENS = {"cpu": 512, "gpu": 32_768}
PRECISION = {"cpu": "float32", "gpu": "float16"}
_UNIT = 1e-3  # ours: tolerance of a vector's length around 1


class SentenceModel:
    """A model and its tokenizer: float32 on a CPU, half precision on a GPU.

    On the CPU it uses one thread, so that results do not depend on the number of cores; scale with
    processes. On the GPU two threads may encode at once: one tokenises while the other computes.
    """

    def __init__(
        self,
        files: EmbedderFiles,
        device: Literal["cpu", "gpu"] = "cpu",
        precision: Literal["float32", "float16", "bfloat16"] | None = None,
        compiled: bool = False,
    ) -> None:
        """Load the weights (seconds).

        Args:
            files: the model.
            device: `gpu` is the GPU visible to this process.
            precision: of weights and arithmetic; default: that of the device in `PRECISION`.
            compiled: pad to few shapes; on a GPU, compile the model for each of them and replay it
                as a CUDA graph.

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
        dtype = getattr(torch, precision or PRECISION[device])
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
        tokenizer: Any = self._model.tokenizer
        dim = self._model.get_embedding_dimension()
        if not callable(getattr(tokenizer, "pad", None)) or dim is None:
            raise ConfigError(
                f"--embedder {files.name} is not a transformer with a tokenizer",
                "choose a profile, or another model",
            )
        self.dim = dim
        limits = (files.profile.max_tokens, self._model.max_seq_length)
        most = int(min(limit for limit in limits if limit))
        self._pieces = TextPieces(tokenizer, self._prompt_of(files), most)
        self._pad, self._pads_left = tokenizer.pad_token_id or 0, tokenizer.padding_side == "left"
        self._few_shapes, self._graphs = compiled, compiled and self._on_gpu
        if self._graphs:
            inner: Any = self._model[0].model
            inner.forward = torch.compile(inner.forward, mode="reduce-overhead", dynamic=False)

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
        batches = length_batches(pieces, self._batch_tokens, self._few_shapes)
        if batches:
            import torch

            with self._one_thread(), torch.inference_mode():
                output = torch.cat([self._forward(pieces, batch) for batch in batches])
                output = torch.nn.functional.normalize(output.float(), dim=1)
                found = torch.empty(output.shape, pin_memory=self._on_gpu).copy_(output)
                rows[np.concatenate([batch.texts for batch in batches])] = found.numpy()
        off = np.abs(np.sqrt(np.einsum("nd,nd->n", rows, rows)) - 1)
        if bad := int(np.count_nonzero(~(off < _UNIT))):
            raise StageFailed(
                f"the embedder {self.name} gave no finite vector for {bad} of {len(texts)} texts",
                "choose another --embedder, or --device cpu if half precision is not enough",
            )
        return rows

    def _forward(self, pieces: Pieces, batch: Batch) -> Any:
        ids, mask = pieces.padded(batch.texts, self._pad, self._pads_left, batch.shape)
        features = {"input_ids": self._on_device(ids), "attention_mask": self._on_device(mask)}
        vectors = self._model(features)["sentence_embedding"][: len(batch.texts)]
        return vectors.clone() if self._graphs else vectors  # a graph writes over its output

    def _on_device(self, array: np.ndarray) -> Any:
        import torch

        tensor = torch.from_numpy(array)
        if not self._on_gpu:
            return tensor
        # torch keeps pinned memory for later batches, and reuses it when the copy has been made.
        return tensor.pin_memory().to(self._model.device, non_blocking=True)

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
