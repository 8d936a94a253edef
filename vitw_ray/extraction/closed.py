"""Closed answers from probabilities: how subjective a conversation is, and its response type.

The likeliest code of a closed question is biased: small models give one code to every conversation.
Its probability still orders conversations. Several short questions are therefore asked about each
decision, and a logistic regression over the log-probabilities of their codes decides. It is fitted
once per reader, on the labelled conversations of `calibration/`.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vitw_ray.facets import RESPONSE_TYPES, ResponseType

PENALTY = 0.3  # inverse strength of the ridge penalty (ours: 64 labelled rows, up to nine features)
FOLDS = 8  # ours: of predictions for conversations that the fit has seen
LEVELS = (1, 2, 3, 4)

Logprobs = Mapping[str, Sequence[float]]
"""Of one conversation: for each closed question, the log-probabilities of its codes."""


@dataclass(frozen=True)
class ClosedFit:
    """A multinomial logistic regression over standardised log-odds.

    Attributes:
        questions: names of the closed questions, in the order of the features. A question with k
            codes has k - 1 features: the log-odds of each code against the last one.
        classes: what is decided.
        centre: mean of each feature, shape (features,).
        scale: standard deviation of each feature, shape (features,).
        coefficients: shape (classes, features).
        intercepts: shape (classes,).
    """

    questions: tuple[str, ...]
    classes: tuple[Any, ...]
    centre: tuple[float, ...]
    scale: tuple[float, ...]
    coefficients: tuple[tuple[float, ...], ...]
    intercepts: tuple[float, ...]

    def probabilities(self, logprobs: Logprobs) -> dict[Any, float]:
        """The probability of each class."""
        features = _features(self.questions, logprobs)
        standard = (features - np.asarray(self.centre)) / np.asarray(self.scale)
        scores = np.asarray(self.coefficients) @ standard + np.asarray(self.intercepts)
        weights = np.exp(scores - scores.max())
        return dict(zip(self.classes, (weights / weights.sum()).tolist(), strict=True))


def fit_closed(
    questions: Sequence[str], rows: Sequence[Logprobs], truth: Sequence[Hashable]
) -> ClosedFit:
    """Fit a decision to labelled conversations.

    Args:
        questions: the closed questions that it depends on.
        rows: one entry per conversation.
        truth: the class of each conversation.
    """
    from sklearn.linear_model import LogisticRegression

    features = np.stack([_features(questions, row) for row in rows])
    centre, scale = features.mean(axis=0), features.std(axis=0)
    scale[scale < 1e-6] = 1.0  # a question that is always answered alike tells nothing
    classes = sorted(set(truth), key=repr)
    positions = [classes.index(value) for value in truth]
    coefficients = np.zeros((len(classes), features.shape[1]))
    intercepts = np.zeros(len(classes))
    if len(classes) > 1:
        model = LogisticRegression(C=PENALTY, max_iter=2_000)
        model.fit((features - centre) / scale, positions)
        if len(classes) == 2:  # scikit-learn keeps the second class alone
            coefficients[1], intercepts[1] = model.coef_[0], model.intercept_[0]
        else:
            coefficients, intercepts = model.coef_, model.intercept_
    return ClosedFit(
        tuple(questions),
        tuple(classes),
        tuple(centre.tolist()),
        tuple(scale.tolist()),
        tuple(map(tuple, coefficients.tolist())),
        tuple(intercepts.tolist()),
    )


def _features(questions: Sequence[str], logprobs: Logprobs) -> np.ndarray:
    return np.concatenate(
        [np.asarray(logprobs[name][:-1]) - logprobs[name][-1] for name in questions]
    )


@dataclass(frozen=True)
class Calibration:
    """How closed answers are read off probabilities, for one reader.

    Attributes:
        at_least: for each level above the first, the fit of "at least this level".
        response_type: the fit of the response type.
    """

    at_least: Mapping[int, ClosedFit]
    response_type: ClosedFit

    def level(self, logprobs: Logprobs, gate: int) -> tuple[int, float]:
        """The level of subjectivity, and the probability of its side of the gate."""
        reached = {
            n: fit.probabilities(logprobs).get(True, 0.0) for n, fit in self.at_least.items()
        }
        subjective = reached.get(gate, 1.0)  # no fit at level 1: everything reaches it
        passed = 1 + sum(probability >= 0.5 for probability in reached.values())
        if subjective >= 0.5:
            return max(passed, gate), subjective
        return min(passed, gate - 1), 1 - subjective

    def response(self, logprobs: Logprobs) -> ResponseType:
        """The likeliest response type."""
        chances = self.response_type.probabilities(logprobs)
        return max(RESPONSE_TYPES, key=lambda kind: chances.get(kind, 0.0))

    def as_json(self) -> dict[str, Any]:
        """In the form in which it is stored."""
        return {
            "at_least": {str(level): vars(fit) for level, fit in self.at_least.items()},
            "response_type": vars(self.response_type),
        }

    @staticmethod
    def of_json(stored: Mapping[str, Any]) -> "Calibration":
        """Read what `as_json` wrote."""
        levels = {int(level): ClosedFit(**fit) for level, fit in stored["at_least"].items()}
        return Calibration(levels, ClosedFit(**stored["response_type"]))


def calibrate(
    first: Sequence[str],
    all_questions: Sequence[str],
    rows: Sequence[Logprobs],
    levels: Sequence[int],
    responses: Sequence[ResponseType | None],
) -> Calibration:
    """Fit all closed decisions of a reader.

    Args:
        first: the closed questions that decide the level.
        all_questions: these and the ones that are asked from the gate on.
        rows: log-probabilities of labelled conversations.
        levels: their levels.
        responses: their response types; conversations without one count as `no_values`.
    """
    at_least = {n: fit_closed(first, rows, [level >= n for level in levels]) for n in LEVELS[1:]}
    kinds = [kind or "no_values" for kind in responses]
    return Calibration(at_least, fit_closed(all_questions, rows, kinds))


def held_out(
    first: Sequence[str],
    all_questions: Sequence[str],
    rows: Sequence[Logprobs],
    levels: Sequence[int],
    responses: Sequence[ResponseType | None],
) -> list[Calibration]:
    """For each conversation, a calibration that has not seen it: `FOLDS` folds, in turn."""
    found = []
    for fold in range(FOLDS):
        seen = [n for n in range(len(rows)) if n % FOLDS != fold] or list(range(len(rows)))
        found.append(
            calibrate(
                first,
                all_questions,
                [rows[n] for n in seen],
                [levels[n] for n in seen],
                [responses[n] for n in seen],
            )
        )
    return [found[n % FOLDS] for n in range(len(rows))]


# --- Without a calibration: as the model answers.


def plain_level(logprobs: Logprobs, gate: int) -> int:
    """The level that the answers themselves give, by the mean of the questions' probabilities."""
    rating = [math.exp(value) for value in logprobs["rating"]]
    chances = [sum(rating[gate - 1 :])]
    chances += [math.exp(logprobs[name][-1]) for name in ("kind", "values")]
    side = LEVELS[gate - 1 :] if sum(chances) / len(chances) >= 0.5 else LEVELS[: gate - 1]
    return max(side or LEVELS, key=lambda level: rating[level - 1])


def plain_response(logprobs: Logprobs) -> ResponseType:
    """The response type that the answers themselves give."""
    best = {name: max(range(len(of)), key=lambda n: of[n]) for name, of in logprobs.items()}
    if best["stance"] == 2:
        return "strong_resistance" if best["resists"] else "mild_resistance"
    if not best["personal"]:
        return "no_values"
    if best["stance"] == 0:
        return "strong_support" if best["affirms"] else "mild_support"
    return "neutral_acknowledgment"
