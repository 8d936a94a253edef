"""Phrases around value labels: one or two words alone are too little context for an embedder."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

PHRASES = (  # ours: each presents the label as a value, in a different construction
    "{}",
    "the value of {}",
    "a commitment to {}",
    "{} is important to me",
    "She values {}.",
    "what matters here is {}",
)


def in_phrases(labels: Sequence[str]) -> list[str]:
    """The texts to embed for labels: all phrases of the first label, then of the second, ..."""
    return [phrase.format(label) for label in labels for phrase in PHRASES]


def mean_of_phrases(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The normalised mean of the vectors of each label's phrases.

    Args:
        vectors: (n * len(PHRASES), d) unit rows of the texts from `in_phrases`.

    Returns:
        (n, d) unit rows.
    """
    sums = vectors.reshape(-1, len(PHRASES), vectors.shape[1]).sum(axis=1, dtype=np.float64)
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    return (sums / np.maximum(norms, np.finfo(np.float32).tiny)).astype(np.float32)
