"""On a GPU, the embedder's vectors are those of the CPU up to half precision."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tiny_embedder import make_tiny_embedder, texts

from vitw_ray.inference.embedder import load_embedder

pytestmark = pytest.mark.gpu

MIN_COSINE = 0.999  # ours: half precision has three digits


@pytest.fixture(scope="module")
def pair(gpu, tmp_path_factory):
    pytest.importorskip("sentence_transformers")
    folder = str(make_tiny_embedder(tmp_path_factory.mktemp("tiny") / "model"))
    return load_embedder(folder, "gpu"), load_embedder(folder, "cpu")


def test_half_precision_changes_vectors_only_slightly(pair):
    gpu, cpu = pair
    sample = texts(5_000)
    rows = gpu.encode(sample)
    assert rows.dtype == np.float32
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert (rows * cpu.encode(sample)).sum(axis=1).min() > MIN_COSINE


def test_two_concurrent_blocks_have_the_same_vectors_as_one_at_a_time(pair):
    gpu, _ = pair
    samples = [texts(2_000, seed) for seed in range(4)]
    alone = [gpu.encode(sample) for sample in samples]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(gpu.encode, samples))
    assert all((a == b).all() for a, b in zip(alone, together, strict=True))
