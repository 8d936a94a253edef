"""The direction of a speaker's words: cheap evidence from all of a text, not only from its start.

A word's vector is that of the word alone. A text's vector is the sum over its words, weighted by
how rare a word is, and of length 1.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np

from vitw_ray.extraction.lexicon.phrases import plain_words
from vitw_ray.inference.embedder import Embedder, embed_unique


class WordVectors:
    """Vectors of the known words, and of texts made of them."""

    def __init__(self, rarity: Mapping[str, float], embedder: Embedder) -> None:
        """Embed the words (a second or two).

        Args:
            rarity: known words, and their weights.
            embedder: of words.
        """
        self._position = {word: position for position, word in enumerate(rarity)}
        weights = np.array(list(rarity.values()), np.float32)[:, None]
        self._rows = embed_unique(embedder, list(rarity)) * weights

    def vector(self, texts: Iterable[str]) -> np.ndarray:
        """Shape (dim,); zeros if no word is known."""
        counts = Counter(word for text in texts for word in plain_words(text))
        known = {self._position[word]: n for word, n in counts.items() if word in self._position}
        order = sorted(known)
        # The square root: a word that is repeated ten times is not ten times the evidence.
        weights = np.sqrt(np.array([known[position] for position in order], np.float32))
        total = weights @ self._rows[order] if order else np.zeros(self._rows.shape[1], np.float32)
        return total / max(float(np.linalg.norm(total)), 1e-9)
