"""A logistic head over the features of conversations: fitted by scikit-learn, applied by numpy.

Weights are rounded when a head is made, so that a head that was stored and read again gives the
very same scores as the one that was fitted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vitw_ray.errors import StageFailed

REGULARISATION = 1.0  # scikit-learn's C (ours: best or close to it on planted and labelled data)
ITERATIONS = 1000
DIGITS = 6  # significant digits of a stored weight (ours: far below what a score needs)


@dataclass(frozen=True, eq=False)
class Head:
    """Weights of a head: one row per class, or a single row for the second of two classes."""

    classes: tuple[str, ...]
    weights: np.ndarray  # (rows, features) float64
    bias: np.ndarray  # (rows,) float64

    def scores(self, features: np.ndarray) -> np.ndarray:
        """Logits, float64, shape (n, rows).

        A row is a sum of its own, so it does not depend on the other rows as a product of matrices
        may.
        """
        products = [(self.weights * row).sum(axis=1) for row in features.astype(np.float64)]
        return np.array(products).reshape(len(features), len(self.bias)) + self.bias

    def predict(self, features: np.ndarray) -> list[str]:
        """The most probable class of each conversation."""
        scores = self.scores(features)
        if len(self.bias) == 1:
            return [self.classes[int(score > 0)] for score in scores[:, 0]]
        return [self.classes[best] for best in scores.argmax(axis=1)]

    def as_json(self) -> dict[str, Any]:
        """Plain numbers, for a file."""
        return {
            "classes": list(self.classes),
            "weights": [[float(f"{w:.{DIGITS}g}") for w in row] for row in self.weights],
            "bias": [float(f"{b:.{DIGITS}g}") for b in self.bias],
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Head":
        """What `as_json` wrote.

        Raises:
            KeyError, ValueError, TypeError: the record is not one of a head.
        """
        weights = np.array(record["weights"], dtype=np.float64)
        bias = np.array(record["bias"], dtype=np.float64)
        classes = tuple(str(name) for name in record["classes"])
        rows = 1 if len(classes) == 2 else len(classes)  # of one class there is no head
        fits = weights.ndim == 2 and bias.shape == (rows,) and len(weights) == rows
        if len(classes) < 2 or not fits:
            raise ValueError("weights, bias and classes of a head do not fit each other")
        return cls(classes, weights, bias)


def fit_head(features: np.ndarray, labels: Sequence[str]) -> Head:
    """Fit a head; the same rows in the same order give the same weights.

    Raises:
        StageFailed: all labels are the same.
    """
    from sklearn.linear_model import LogisticRegression

    if len(set(labels)) < 2:
        raise StageFailed(
            "a head needs answers of two kinds, and the reader gave one kind to all conversations",
            "look at the reader's answers; drop --screen to go on with them",
        )
    model = LogisticRegression(C=REGULARISATION, max_iter=ITERATIONS)
    model.fit(features.astype(np.float64), np.array(labels))
    classes = tuple(str(name) for name in model.classes_)
    fitted = Head(classes, np.asarray(model.coef_), np.asarray(model.intercept_))
    return Head.from_json(fitted.as_json())


def fit_binary(features: np.ndarray, subjective: np.ndarray) -> Head:
    """A head for subjective or not: the score is higher the more subjective it looks."""
    return fit_head(features, np.where(subjective, "subjective", "objective").tolist())


def undecided(features: int) -> Head:
    """A head that gives every conversation the same score, so that none can be screened out."""
    return Head(("objective", "subjective"), np.zeros((1, features)), np.zeros(1))
