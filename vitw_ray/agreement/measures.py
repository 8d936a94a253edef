"""Agreement of two readers of the same conversations, per facet, and corrected for chance.

Pure functions of two lists of answers, with one entry per conversation, in the same order. One list
may be called gold, but the measures assume no ground truth: they only quantify agreement.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

Similarity = Callable[[Sequence[str], Sequence[str]], np.ndarray]
"""Cosines of all pairs of two lists of phrases: shape (len(first), len(second))."""

MATCH_COSINE = 0.6  # ours, for all-MiniLM-L6-v2: F1 of two annotators is 0.63, if shuffled 0.03

_T = TypeVar("_T")


def kappa(first: Sequence[Hashable], second: Sequence[Hashable]) -> float:
    """Cohen's kappa for unordered categories: 1 = same answers, 0 = chance level.

    NaN if both readers always gave the same single answer, so that agreement by chance is 1.
    """
    return _kappa(first, second, sorted({*first, *second}, key=repr))


def quadratic_kappa(first: Sequence[int], second: Sequence[int], levels: Sequence[int]) -> float:
    """Cohen's kappa for ordinal levels: a disagreement is weighted by its squared distance.

    Distance is counted in levels, so neighbours are equally far apart.
    """
    return _kappa(first, second, levels, weights="quadratic")


def macro_f1(gold: Sequence[Hashable], predicted: Sequence[Hashable]) -> float:
    """Unweighted mean of the F1 scores of all categories that occur."""
    from sklearn.metrics import f1_score  # heavy: only where it is needed

    categories = sorted({*gold, *predicted}, key=repr)
    return float(f1_score(*_codes(gold, predicted, categories), average="macro"))


def ranking(positive: Sequence[bool], score: Sequence[float]) -> float:
    """AUC: share of (positive, negative) pairs in which the positive one scores higher.

    Ties count half: 0.5 is chance level. NaN if all are positive or none is.
    """
    from sklearn.metrics import roc_auc_score  # heavy: only where it is needed

    if len(set(positive)) < 2:
        return float("nan")
    return float(roc_auc_score(np.asarray(positive, bool), np.asarray(score, float)))


@dataclass(frozen=True, slots=True)
class LabelScores:
    """Counts of labels, and of labels matched one to one within each conversation."""

    matched: int
    gold: int
    predicted: int

    @property
    def precision(self) -> float:
        """Share of the predicted labels that match (0 if there are none)."""
        return self.matched / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        """Share of the gold labels that are matched (0 if there are none)."""
        return self.matched / self.gold if self.gold else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; symmetric in the two readers."""
        total = self.gold + self.predicted
        return 2 * self.matched / total if total else 0.0


def label_scores(
    gold: Sequence[Sequence[str]],
    predicted: Sequence[Sequence[str]],
    similarity: Similarity,
    threshold: float = MATCH_COSINE,
) -> LabelScores:
    """Compare free-form labels: two match if their similarity reaches the threshold."""
    matched = sum(
        matches(similarity(g, p), threshold)
        for g, p in zip(gold, predicted, strict=True)
        if g and p
    )
    return LabelScores(matched, sum(map(len, gold)), sum(map(len, predicted)))


def matches(similarities: np.ndarray, threshold: float) -> int:
    """Number of greedy one-to-one matches of rows and columns, most similar pair first."""
    unmatched = similarities.copy()
    count = 0
    while unmatched.size and unmatched.max() >= threshold:
        row, column = np.unravel_index(unmatched.argmax(), unmatched.shape)
        unmatched[row, :] = unmatched[:, column] = -np.inf
        count += 1
    return count


def mean_similarity(gold: Sequence[str], predicted: Sequence[str], similarity: Similarity) -> float:
    """Mean similarity of the two phrases of each conversation."""
    pairs = zip(gold, predicted, strict=True)
    return float(np.mean([similarity([g], [p])[0, 0] for g, p in pairs]))


def similarity_of(phrases: Sequence[str], rows: np.ndarray) -> Similarity:
    """Cosine similarity of phrases with known unit vectors, shape (len(phrases), dim).

    The returned function raises `KeyError` for an unknown phrase.
    """
    position = {phrase: index for index, phrase in enumerate(phrases)}

    def cosines(first: Sequence[str], second: Sequence[str]) -> np.ndarray:
        return rows[[position[p] for p in first]] @ rows[[position[p] for p in second]].T

    return cosines


def by_chance(
    measure: Callable[[Sequence[_T], Sequence[_T]], float],
    gold: Sequence[_T],
    predicted: Sequence[_T],
    seed: int = 0,
    rounds: int = 20,
) -> float:
    """Mean of a measure when the predicted answers are permuted over the conversations."""
    random = np.random.default_rng(seed)
    shuffles = (random.permutation(len(predicted)) for _ in range(rounds))
    return float(np.mean([measure(gold, [predicted[i] for i in order]) for order in shuffles]))


def most_frequent(answers: Sequence[Sequence[str]], count: int) -> list[str]:
    """The labels of the most conversations, most frequent first; ties in alphabetical order."""
    conversations = Counter(label for labels in answers for label in set(labels))
    return sorted(conversations, key=lambda label: (-conversations[label], label))[:count]


def _kappa(
    first: Sequence[Hashable],
    second: Sequence[Hashable],
    categories: Sequence[Hashable],
    weights: str | None = None,
) -> float:
    from sklearn.metrics import cohen_kappa_score  # heavy: only where it is needed

    a, b = _codes(first, second, categories)
    if a.size == 0 or ((a == a[0]).all() and (b == a[0]).all()):
        return float("nan")
    return float(cohen_kappa_score(a, b, labels=range(len(categories)), weights=weights))


def _codes(
    first: Sequence[Hashable], second: Sequence[Hashable], categories: Sequence[Hashable]
) -> tuple[np.ndarray, np.ndarray]:
    """Both readers' answers as positions in `categories`, which scikit-learn takes of any type."""
    position = {category: index for index, category in enumerate(categories)}
    pairs = [(position[a], position[b]) for a, b in zip(first, second, strict=True)]
    codes = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return codes[:, 0], codes[:, 1]
