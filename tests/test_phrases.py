"""Labels in phrases: one vector per label, with any embedder."""

import numpy as np

from vitw_ray.inference.embedder import embed_unique, load_embedder
from vitw_ray.taxonomy.vectors.phrases import PHRASES, in_phrases, mean_of_phrases


def test_every_label_is_in_every_phrase_and_once_alone():
    texts = in_phrases(["honesty", "care"])
    assert len(texts) == len(set(texts)) == 2 * len(PHRASES)
    assert all("honesty" in text for text in texts[: len(PHRASES)])
    assert {"honesty", "care"} < set(texts)


def test_the_vector_of_a_label_is_the_mean_over_its_own_phrases():
    embedder = load_embedder("hashing")
    labels = ["honesty", "care", "thrift"]
    found = mean_of_phrases(embed_unique(embedder, in_phrases(labels)))
    alone = embed_unique(embedder, in_phrases(["care"])).sum(axis=0)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert np.allclose(found[1], alone / np.linalg.norm(alone), atol=1e-6)


def test_without_labels_there_are_no_vectors():
    assert mean_of_phrases(np.empty((0, 384), np.float32)).shape == (0, 384)
