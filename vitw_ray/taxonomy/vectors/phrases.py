"""Value labels embedded inside short phrases: one or two words alone say little to an encoder."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

PHRASES = (  # ours: each says that a label is a value, in another construction
    "{}",
    "the value of {}",
    "a commitment to {}",
    "{} is important to me",
    "She values {}.",
    "what matters here is {}",
)


def in_phrases(labels: Sequence[str]) -> list[str]:
    """The texts to embed for some labels: every phrase of the first, of the second, and so on."""
    return [phrase.format(label) for label in labels for phrase in PHRASES]


def mean_of_phrases(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """One vector per label from those of its phrases.

    Args:
        vectors: (n * len(PHRASES), d) unit rows of the texts that `in_phrases` gives.

    Returns:
        (n, d) unit rows.
    """
    sums = vectors.reshape(-1, len(PHRASES), vectors.shape[1]).sum(axis=1, dtype=np.float64)
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    return (sums / np.maximum(norms, np.finfo(np.float32).tiny)).astype(np.float32)
