"""Stage 4, part 1, on a GPU: tokens/s of our model next to the stock encode loop.

Wall seconds over blocks of distinct texts, two at once as a worker has them; the stock loop encodes
batches of 32 as they come, on a sixteenth of the texts. `--device cpu --quick` shows that it runs.

    python benchmarks/embed_gpu.py [--quick] [--device cpu] [--compiled] [--precision bfloat16]
"""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from bench_embed import BATCH, MIN_COSINE, texts
from harness import ROUNDS, Result, parser_of, ratio

from vitw_ray.inference.embedder_files import find_embedder
from vitw_ray.inference.sentence_model import PRECISION, SentenceModel
from vitw_ray.taxonomy.vectors.blocks import BLOCK_TEXTS, UNITS_AT_ONCE

HALF_COSINE = 0.999  # half precision has three digits


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu")
    parser.add_argument("--compiled", action="store_true", help="few shapes, as CUDA graphs")
    parser.add_argument("--precision", choices=("float32", "float16", "bfloat16"))
    parser.add_argument("--texts", type=int, default=262_144)
    given = parser.parse_args()
    import torch
    from sentence_transformers import SentenceTransformer

    if given.device == "gpu" and not torch.cuda.is_available():
        raise SystemExit("no GPU that torch can use: give --device cpu --quick to try it here")
    count = 64 if given.quick else given.texts
    files = find_embedder("minilm")
    ours: Any = SentenceModel(files, given.device, given.precision, given.compiled)
    place = "cuda" if given.device == "gpu" else "cpu"
    stock: Any = SentenceTransformer(str(files.folder()), device=place, local_files_only=True)
    unique = sorted(set(texts(count)))
    tokens = len(ours._pieces(unique).ids)
    some = unique[:: 1 if given.quick else 16]
    some_tokens = len(ours._pieces(some).ids)
    size = BLOCK_TEXTS[given.device]
    blocks = [unique[i : i + size] for i in range(0, len(unique), size)]

    def blockwise() -> np.ndarray:
        with ThreadPoolExecutor(UNITS_AT_ONCE[given.device]) as pool:
            return np.concatenate(list(pool.map(ours.encode, blocks)))

    def loop() -> np.ndarray:
        starts = range(0, len(some), BATCH)
        return np.concatenate(
            [stock.encode(some[i : i + BATCH], show_progress_bar=False) for i in starts]
        )

    row_of = {text: row for row, text in enumerate(unique)}
    vectors = blockwise()[[row_of[text] for text in some]]  # the first round is the warm-up
    cosine = float((vectors * loop()).sum(axis=1).min())
    if cosine < (MIN_COSINE if given.device == "cpu" else HALF_COSINE):
        raise SystemExit(f"vectors differ: lowest cosine {cosine}")
    ours_s: list[float] = []
    loop_s: list[float] = []
    for _ in range(1 if given.quick else ROUNDS):
        for work, taken, number in ((blockwise, ours_s, tokens), (loop, loop_s, some_tokens)):
            start = time.perf_counter()
            work()
            taken.append((time.perf_counter() - start) / number)
    form = given.precision or PRECISION[given.device]
    name = f"embed_{given.device}_{form}{'_compiled' if given.compiled else ''}"
    result = Result(name, given.quick, work={"texts": len(unique), "tokens": tokens})
    result.work["min_cosine"] = cosine
    result.ratios["over_stock_loop"] = ratio(loop_s, ours_s)
    result.rates = {
        "tokens_per_s": 1 / float(np.median(ours_s)),
        "stock_tokens_per_s": 1 / float(np.median(loop_s)),
    }
    result.rows = [(name, f"{rate:,.0f}") for name, rate in result.rates.items()]
    result.report(("what", "per second"))


if __name__ == "__main__":
    main()
