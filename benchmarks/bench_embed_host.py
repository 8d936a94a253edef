"""Stage 4, part 1: what the host does for a model that embeds, without the model's arithmetic.

The model is replaced by one that returns ones, so that what remains is tokenising, sorting,
padding, tensors and the array of vectors. "library" does the same by the tokenizer's own call,
lists sorted in Python and the tokenizer's own `pad`. Beside it: the files around a block, how long
Python takes to start the kernels of one batch, and the model's arithmetic on one core.

    python benchmarks/bench_embed_host.py [--quick]
"""

import statistics
import time
from collections.abc import Callable
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from bench_embed import texts, write_vectors
from harness import Result, arguments, interleave, ratio, spread, with_one_thread

from vitw_ray.inference.embedder import load_embedder
from vitw_ray.inference.sentence_model import BATCH_TOKENS
from vitw_ray.inference.text_pieces import length_batches
from vitw_ray.storage import Storage

STARTS = 20  # batches of one short text, whose arithmetic is nothing
ARITHMETIC_TEXTS = 100


class NoArithmetic:
    """Stands for the model and returns ones."""

    def __init__(self, model: Any, dim: int) -> None:
        self.device, self._dim = model.device, dim

    def __call__(self, features: dict[str, Any]) -> dict[str, Any]:
        """Ones, a row for each text."""
        import torch

        return {"sentence_embedding": torch.ones(len(features["input_ids"]), self._dim)}


class Given:
    """An embedder whose vectors are there already."""

    name = "given"

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def encode(self, texts: list[str]) -> np.ndarray:
        """The same vector for each text."""
        rows = np.zeros((len(texts), self.dim), np.float32)
        rows[:, 0] = 1
        return rows


def as_the_library(tokenizer: Any, model: Any, budget: int, sample: list[str]) -> np.ndarray:
    """What `SentenceModel.encode` did with the calls of transformers."""
    import torch

    pieces = tokenizer(sample, truncation=True, max_length=256)["input_ids"]
    order = sorted(range(len(pieces)), key=lambda i: (len(pieces[i]), pieces[i]))
    found, start = [], 0
    for end in range(1, len(order) + 1):
        longest = len(pieces[order[end]]) if end < len(order) else budget + 1
        if (end - start + 1) * longest > budget:
            batch = [pieces[i] for i in order[start:end]]
            features = tokenizer.pad({"input_ids": batch}, return_tensors="pt")
            found.append(model(dict(features))["sentence_embedding"])
            start = end
    rows = np.empty((len(sample), 384), np.float32)
    rows[order] = torch.nn.functional.normalize(torch.cat(found), dim=1).numpy()
    return rows


def through_files(sample: list[str]) -> None:
    """The texts of a block, its digest, and the files of texts and vectors."""
    with TemporaryDirectory() as folder:
        write_vectors(Storage(folder), Given(384), sample, len(sample))


def cpu(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def start_of_a_batch(model: Any) -> float:
    """CPU seconds of a forward pass over three tokens: Python, and next to no arithmetic."""
    import torch

    ids = torch.tensor([[101, 2000, 102]])
    features = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    with torch.inference_mode():
        model(dict(features))
        return statistics.median(cpu(lambda: model(dict(features))) for _ in range(STARTS))


def main() -> None:
    quick = arguments(__doc__).quick
    with_one_thread()
    sample = sorted(set(texts(16_384 if quick else 65_536)))
    embedder: Any = load_embedder("minilm")
    model, tokenizer = embedder._model, embedder._model.tokenizer
    pieces = embedder._pieces(sample)
    millions = len(pieces.ids) / 1e6
    batches = length_batches(pieces, BATCH_TOKENS["gpu"])
    padded = sum(rows * longest for rows, longest in (batch.shape for batch in batches))
    arithmetic = texts(ARITHMETIC_TEXTS)
    whole = cpu(lambda: embedder.encode(arithmetic)) / len(embedder._pieces(arithmetic).ids) * 1e6
    start_s = start_of_a_batch(model)
    nothing = NoArithmetic(model, embedder.dim)
    embedder._model, embedder._batch_tokens = nothing, BATCH_TOKENS["gpu"]
    seconds = interleave(
        {
            "ours": lambda: embedder.encode(sample),
            "ours again": lambda: embedder.encode(sample),
            "library": lambda: as_the_library(tokenizer, nothing, BATCH_TOKENS["gpu"], sample),
            "files": lambda: through_files(sample),
        }
    )
    per_million = {name: statistics.median(s) / millions for name, s in seconds.items()}
    result = Result(
        "embed_host",
        quick,
        work={"texts": len(sample), "tokens": len(pieces.ids), "batches": len(batches)},
        ratios={
            "host_saving": ratio(seconds["library"], seconds["ours"]),
            "padding_efficiency_gpu": len(pieces.ids) / padded,
        },
        rates={
            "host_cpu_s_per_million_tokens": per_million["ours"],
            "library_cpu_s_per_million_tokens": per_million["library"],
            "files_cpu_s_per_million_tokens": per_million["files"],
            "start_of_a_batch_ms": start_s * 1e3,
            "starts_cpu_s_per_million_tokens": start_s * len(batches) / millions,
            "model_cpu_s_per_million_tokens": whole,
        },
        aa_spread=spread(seconds["ours"], seconds["ours again"]),
    )
    for name, rate in result.rates.items():
        result.rows.append((name.replace("_", " "), f"{rate:.3f}"))
    result.report(("what", "of minilm"))


if __name__ == "__main__":
    main()
