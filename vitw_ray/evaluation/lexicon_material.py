"""Measured examples with their labels as vectors, and matched to the vocabulary."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vitw_ray.agreement.measures import MATCH_COSINE
from vitw_ray.evaluation.lexicon_examples import Example
from vitw_ray.extraction.lexicon.heads import SAME_COSINE, Labels, labels_of
from vitw_ray.extraction.lexicon.vocabulary import Speaker, vocabulary
from vitw_ray.inference.embedder import Embedder, embed_unique

FACETS: dict[Speaker, str] = {"assistant": "ai_values", "user": "human_values"}


@dataclass(frozen=True)
class Material:
    """Examples, and their labels as vectors."""

    examples: Sequence[Example]
    labels: Labels
    shown: Mapping[Speaker, np.ndarray]  # the label matches a true one, shape (examples, values)
    points: Mapping[Speaker, np.ndarray]  # sum of the true labels' vectors, (examples, dim)
    phrases: Mapping[str, np.ndarray]  # vectors of all true labels
    same: np.ndarray  # synonyms in the vocabulary, shape (values, values)

    @property
    def groups(self) -> np.ndarray:
        """Group of each example."""
        return np.array([example.group for example in self.examples])


def material(found: Sequence[Example], embedder: Embedder) -> Material:
    """Embed the true labels, and match the vocabulary to them."""
    labels = labels_of(vocabulary(), embedder)
    phrases = sorted({p for e in found for facet in FACETS.values() for p in e.labels(facet)})
    vectors = dict(zip(phrases, embed_unique(embedder, phrases), strict=True))
    shown: dict[Speaker, np.ndarray] = {}
    points: dict[Speaker, np.ndarray] = {}
    for speaker, facet in FACETS.items():
        shown[speaker] = np.zeros((len(found), len(labels.names)))
        points[speaker] = np.zeros((len(found), labels.names.shape[1]))
        for number, example in enumerate(found):
            rows = np.array([vectors[label] for label in example.labels(facet)])
            if len(rows):
                near = (labels.names @ rows.T).max(axis=1) >= MATCH_COSINE
                shown[speaker][number] = near
                points[speaker][number] = rows.sum(axis=0)
    same = labels.names @ labels.names.T >= SAME_COSINE
    return Material(found, labels, shown, points, vectors, same)
